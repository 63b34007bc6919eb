"""Numbers and times as people say them."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflows.contracts.names import HostState
    from workflows.contracts.plans import Thresholds


def duration(seconds: float | None) -> str:
    """ "4.2 s", "2 min 5 s", "3 h 20 min", "2 d 4 h"; "-" where there is none."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def moment(at: datetime | None) -> str:
    """Date and local time with its zone; "-" where there is none."""
    return "-" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def clock(at: datetime) -> str:
    """Local time alone, for lines of one evening."""
    return at.astimezone().strftime("%H:%M:%S")


def limits(of: "Thresholds") -> tuple[str, str]:
    """When a deployment ends, and how it goes about until then."""
    return (
        f"{of.max_failures} failed or {of.max_unreachable} unreachable hosts",
        f"{of.max_concurrency} at once, {of.min_healthy} must stay in service, {duration(of.host_timeout)} a host",
    )


TROUBLE = ("ROLLBACK_FAILED", "FAILED", "UNKNOWN", "UNREACHABLE")  # host states that a person has to look at
PUT_BACK = ("ROLLED_BACK", "SUPERSEDED")
_ORDER = (
    "SUCCEEDED", "SKIPPED", "RUNNING", "FAILED", "ROLLBACK_FAILED", "UNREACHABLE", "UNKNOWN",
    "ROLLED_BACK", "SUPERSEDED", "PENDING", "NOT_STARTED",
)  # fmt: skip


def in_order(by_state: "Mapping[HostState, int]") -> "list[tuple[HostState, int]]":
    """Good first, then what runs, what is broken, what was put back, what is left, what is not known here."""
    return sorted(by_state.items(), key=lambda item: (_ORDER.index(item[0]) if item[0] in _ORDER else 99, item[0]))


def tally(by_state: "Mapping[HostState, int]") -> str:
    return ", ".join(f"{number} {lower(state)}" for state, number in in_order(by_state))


def lower(state: str) -> str:
    """A state inside a sentence."""
    return state.lower().replace("_", " ")


def hosts(number: int) -> str:
    return "1 host" if number == 1 else f"{number} hosts"


def plain(text: str) -> str:
    """Without control characters: words that came from a host must not steer the terminal they are shown on."""
    return "".join(char if char.isprintable() else " " for char in text)
