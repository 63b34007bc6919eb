"""Words of the command line that are numbers or lists, as the contracts expect them."""

import re
from collections.abc import Sequence

# A comma inside parentheses belongs to a selector, and so does one between the numbers of id=1,2,3.
_COMMA = re.compile(r",(?![^(]*\))")
_IDS = re.compile(r"id\s*=\s*\d+(\s*,\s*\d+)*")


def number_or_words(text: str) -> str | float | int:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def split_stages(values: Sequence[str]) -> list[str | float | int]:
    """Stages of one or several --stages: "10%,50%,1", or 'ring in (0,1)' and 1, each on its own.

    Raises InvalidRequest where two selectors follow each other in the only --stages: "ring=0,tier=web" may be one
    stage, of hosts that both hold for, or two. Where the option is repeated, it is one.
    """
    from workflows.contracts.errors import InvalidRequest

    found: list[str] = []
    for value in values:
        stages: list[str] = []
        for part in (part.strip() for part in _COMMA.split(value)):
            last = stages[-1] if stages else ""
            if part.isdecimal() and _IDS.fullmatch(last):
                # All hosts are never meant by id=2,1: where it could be either, fewer hosts are taken.
                stages[-1] = f"{last},{part}"
            elif last and _is_selector(last) and _is_selector(part):
                if len(values) == 1:
                    raise InvalidRequest(
                        "stages", f"'{last},{part}' may be one stage or two", "write --stages once for each stage"
                    )
                stages[-1] = f"{last},{part}"
            else:
                stages.append(part)
        found += stages
    return [number_or_words(stage) for stage in found]


def _is_selector(part: str) -> bool:
    from workflows.contracts.strategies import Stage

    try:
        return Stage.parse(number_or_words(part)).selector is not None
    except ValueError:
        return False
