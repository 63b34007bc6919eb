"""A selector over the inventory: who is chosen, and of the others, by which of its terms each was left out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from workflows.contracts.errors import EmptySelection, UnknownThing
from workflows.contracts.inventory import Asset
from workflows.decisions.selectors import Term, parse_selector


@dataclass(frozen=True)
class Choice:
    """`left_out`: how many assets the first term that does not hold left out, by its words."""

    chosen: list[Asset]
    left_out: dict[str, int]


def choose(selector: str, assets: Iterable[Asset]) -> Choice:
    """Raises InvalidRequest, UnknownThing (an id nobody has) or EmptySelection."""
    wanted = parse_selector(selector)
    chosen: list[Asset] = []
    left_out: Counter[str] = Counter()
    for asset in assets:
        if wanted.matches(asset.id, asset.labels):
            chosen.append(asset)
        else:
            # By the ids, where it names ids: it has no terms then.
            left_out[next((in_words(term) for term in wanted.terms if not term.holds(asset.labels)), "id")] += 1
    if missing := (wanted.ids or frozenset()) - {asset.id for asset in chosen}:
        raise UnknownThing("asset", min(missing))
    if not chosen:
        raise EmptySelection(selector)
    return Choice(chosen, dict(left_out))


def in_words(term: Term) -> str:
    """As a selector writes it."""
    if not term.values:
        return f"!{term.key}" if term.negated else term.key
    if len(term.values) == 1:
        return f"{term.key}{'!=' if term.negated else '='}{next(iter(term.values))}"
    return f"{term.key} {'notin' if term.negated else 'in'} ({','.join(sorted(term.values))})"
