"""A deployment as plain lines, for logs and pipes: one per event, and a sign of life where nothing happens."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starter.cli.deployments import waiting
from starter.cli.human import clock, plain
from workflows.contracts.names import HostState

if TYPE_CHECKING:
    from activities.database.views import LogLine
    from starter.follow import Snapshot

SILENCE_SECONDS = 10.0  # CI systems end jobs that say nothing, and a person wonders


class Lines:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._spoke_at = now()
        self._trouble = ""

    def of(self, snapshot: "Snapshot") -> Iterator[str]:
        """The lines that this snapshot adds."""
        lines = [event_line(event) for event in snapshot.events if is_told(event)]
        if snapshot.trouble != self._trouble:
            self._trouble = snapshot.trouble
            if snapshot.trouble:
                lines.append(f"{clock(datetime.now(UTC))}  trouble: {plain(snapshot.trouble)}")
        if not lines and self._now() - self._spoke_at >= SILENCE_SECONDS:
            lines.append(_sign_of_life(snapshot))
        if lines:
            self._spoke_at = self._now()
        return iter(lines)


def is_told(event: "LogLine") -> bool:
    """Ansible's tasks are for the logs: beside the host's own states they say everything twice."""
    return event.kind != "task"


def event_line(event: "LogLine") -> str:
    """Time, then what happened; a host's event begins with its name and state."""
    state = (event.data or {}).get("state")
    if event.host is None:
        return f"{clock(event.at)}  {plain(event.message)}"
    said = "" if event.message == "claimed" else f": {plain(event.message)}"
    return f"{clock(event.at)}  {event.host} {state or event.kind}{said}"


def _sign_of_life(snapshot: "Snapshot") -> str:
    view = snapshot.view
    parts = [f"still {view.state}", f"{view.hosts_done} of {view.hosts_total} hosts done"]
    for state, what in ((HostState.RUNNING, "in hand"), (HostState.ROLLED_BACK, "rolled back")):
        if number := view.counts.of(state):
            parts.append(f"{number} {what}")
    if snapshot.status and (wait := waiting(snapshot.status)):
        parts.append(f"waits for {wait}")
    return f"{clock(datetime.now(UTC))}  {', '.join(parts)}"
