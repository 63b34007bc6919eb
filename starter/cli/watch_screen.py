"""A deployment on one screen, whatever its size: what is wrong first, then what runs, then the rest as a sum."""

from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from starter.cli import tactics
from starter.cli.deployments import is_gate, sentence
from starter.cli.human import PUT_BACK, TROUBLE, clock, duration, in_order, lower, plain, tally
from starter.cli.output import STYLES
from starter.cli.watch_lines import event_line, is_told
from workflows.contracts.names import HostState

if TYPE_CHECKING:
    from activities.database.views import HostLine, LogLine, WaveLine
    from starter.follow import Snapshot

_TROUBLE = tuple(HostState(state) for state in TROUBLE)
_PUT_BACK = tuple(HostState(state) for state in PUT_BACK)
_FIXED_LINES = 10  # head, blank lines, column heads, foot
_BAR = 20


class Screen:
    """Takes snapshots, and draws the newest one with the last events of all."""

    def __init__(self) -> None:
        self._events: deque[LogLine] = deque(maxlen=30)
        self._snapshot: Snapshot | None = None

    def take(self, snapshot: "Snapshot") -> None:
        self._snapshot = snapshot
        self._events.extend(event for event in snapshot.events if is_told(event))

    def render(self, width: int, height: int, now: datetime | None = None) -> Group:
        """At most `height` lines of at most `width` columns."""
        assert self._snapshot is not None
        shown, now = self._snapshot, now or datetime.now(UTC)
        free = max(height - _FIXED_LINES, 3)
        wave_lines = _waves(shown.view.waves, max(free // 4, 1))
        event_rows = min(len(self._events), max(free // 3, free - len(wave_lines) - len(shown.hosts), 1))
        host_rows = max(free - len(wave_lines) - event_rows, 1)
        lines = [
            *_head(shown, width, now),
            Text(),
            *wave_lines,
            Text(),
            *_hosts(shown.hosts, host_rows),
            Text(),
            *(Text(event_line(event), style="dim") for event in list(self._events)[-event_rows:] if event_rows),
        ]
        lines = lines[: height - 1]
        lines += [Text() for _ in range(height - 1 - len(lines))]
        lines.append(_foot(shown))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
            line.truncate(width, overflow="ellipsis")
        return Group(*lines)


def _head(shown: "Snapshot", width: int, now: datetime) -> list[Text]:
    view = shown.view
    end = view.finished_at or now
    took = duration((end - (view.started_at or view.created_at)).total_seconds())
    left = Text.assemble((f"deployment {view.id}", "bold"), f"  {view.patch} to {plain(view.selection)}  ")
    right = Text.assemble((view.state, STYLES.get(view.state, "bold")), f" {took}")
    left.truncate(max(width - right.cell_len - 1, 10), overflow="ellipsis")
    left.append(" " * max(width - left.cell_len - right.cell_len, 1))
    asked = Text(f"{tactics.in_short(view)}; by {plain(view.requested_by)}", style="dim")
    wait, said = _wait_line(shown, now), Text(sentence(view, shown.status))
    # One or the other says what it waits for; the line that is free then tells who asked for all this.
    told = [line for line in (said, wait) if line.plain]
    return [left + right, *told, *([asked] if len(told) < 2 else []), _progress(shown), _budgets(shown)]


def _wait_line(shown: "Snapshot", now: datetime) -> Text:
    status = shown.status
    if status is None or status.waits_for is None:
        return Text()
    wait = status.waits_for
    if is_gate(wait):
        return Text(f"waits: {plain(wait.what)}: vulnzero promote {shown.view.id}", style=STYLES["GATED"])
    if wait.until is None:
        return Text(
            f"waits: {plain(wait.what)}, stands still with {duration(wait.remaining_seconds)} left", style="yellow"
        )
    left = duration((wait.until - now).total_seconds())
    return Text(f"waits: {plain(wait.what)}, {left} left, until {clock(wait.until)}", style="blue")


def _progress(shown: "Snapshot") -> Text:
    view = shown.view
    line = Text("hosts    ")
    line.append_text(_bar(view.counts.by_state, view.hosts_total))
    line.append(f"  {view.hosts_done} of {view.hosts_total} done" if view.hosts_total else "  the plan is not made yet")
    for state in (HostState.RUNNING, *_TROUBLE, *_PUT_BACK):
        if number := view.counts.by_state.get(state):
            line.append(f"  {number} {lower(state)}", style=STYLES[state])
    return line


def _budgets(shown: "Snapshot") -> Text:
    limits, counts = shown.view.thresholds, shown.view.counts
    if limits is None:
        return Text()
    failed = counts.of(HostState.FAILED)
    lost = counts.of(HostState.UNREACHABLE, HostState.UNKNOWN)
    line = Text("budgets  ")
    for used, limit, what in ((failed, limits.max_failures, "failed"), (lost, limits.max_unreachable, "unreachable")):
        line.append(f"{what} {used} of {limit}", style="bold red" if used >= limit else "")
        line.append("   ")
    line.append(f"in hand {counts.of(HostState.RUNNING)} of {limits.max_concurrency}")
    return line


def _bar(by_state: dict[HostState, int], total: int) -> Text:
    """One cell per share of the hosts; each state that has a host has at least one cell, or it could not be seen."""
    bar = Text()
    order = (HostState.SUCCEEDED, HostState.SKIPPED, HostState.RUNNING, *_TROUBLE, *_PUT_BACK)
    for state in order:
        if number := by_state.get(state, 0):
            cells = min(max(number * _BAR // max(total, 1), 1), _BAR - bar.cell_len)
            bar.append("█" * cells, style=STYLES[state])
    bar.append("░" * (_BAR - bar.cell_len), style="dim")
    return bar


def _waves(waves: "Sequence[WaveLine]", rows: int) -> list[Text]:
    """The wave in hand in the middle; waves before and after it that do not fit become a number."""
    if not waves:
        return [Text("no waves yet", style="dim")]
    # A rollback begins with the last wave, so the first that is not done may not be the one in hand.
    in_hand = (index for index, wave in enumerate(waves) if wave.counts.of(HostState.RUNNING))
    to_come = (index for index, wave in enumerate(waves) if wave.counts.of(HostState.PENDING))
    current = next(in_hand, next(to_come, len(waves) - 1))
    first = max(0, min(current - rows // 2, len(waves) - rows))
    lines = [_wave(wave, index == current) for index, wave in enumerate(waves)][first : first + rows]
    hidden = len(waves) - len(lines)
    if hidden:
        lines[-1].append(f"   (+ {hidden} more waves)", style="dim")
    return lines


def _wave(wave: "WaveLine", current: bool) -> Text:
    line = Text(f"{'>' if current else ' '} wave {wave.number:<4}", style="bold" if current else "")
    line.append_text(_bar(wave.counts.by_state, wave.hosts))
    for state, number in in_order(wave.counts.by_state):
        line.append(f"  {number} {lower(state)}", style=STYLES.get(state, ""))
    return line


def _hosts(hosts: "Sequence[HostLine]", rows: int) -> list[Text]:
    """Heads, `rows` lines of hosts at most, and the last of them says what is not shown."""
    chosen = _by_interest(hosts, rows)
    name_width = min(max((len(host.name) for host in chosen), default=4), 30)
    state_width = max((len(host.state) for host in chosen), default=9)
    lines = [Text(f"{'HOST':<{name_width}}  WAVE  {'STATE':<{state_width}}  {'FOR':>10}  MESSAGE", style="bold")]
    if len(hosts) > rows:
        chosen = chosen[: rows - 1]
    for host in chosen:
        name = host.name if len(host.name) <= name_width else host.name[: name_width - 1] + "…"
        line = Text(f"{name:<{name_width}}  {host.wave:>4}  ")
        line.append(f"{host.state:<{state_width}}", style=STYLES.get(host.state, ""))
        line.append(f"  {duration(host.seconds):>10}  {_versions(host)}{plain(host.message)}")
        lines.append(line)
    rest = Counter(host.state for host in hosts) - Counter(host.state for host in chosen)
    if rest:
        lines.append(Text(f"and {sum(rest.values())} more: {tally(rest)}", style="dim"))
    return lines


def _versions(host: "HostLine") -> str:
    return plain(f"{host.before} -> {host.after}  ") if host.before and host.after and host.before != host.after else ""


def _by_interest(hosts: "Sequence[HostLine]", rows: int) -> "list[HostLine]":
    """Trouble first, but not so much of it that nothing else is seen; then running, newly ended, and those to come."""
    trouble = [host for host in hosts if host.state in TROUBLE]
    running = [host for host in hosts if host.state is HostState.RUNNING]
    ended = [host for host in hosts if host.finished_at is not None and host.state not in TROUBLE]
    ended.sort(key=lambda host: host.finished_at.timestamp() if host.finished_at else 0.0, reverse=True)
    waiting = [host for host in hosts if host.state in (HostState.PENDING, HostState.NOT_STARTED)]
    half = max(rows // 2, rows - 1 - len(running))
    return [*trouble[:half], *running, *trouble[half:], *ended, *waiting][:rows]


def _foot(shown: "Snapshot") -> Text:
    if shown.trouble:
        return Text(f"! {plain(shown.trouble)}", style="yellow")
    return Text("Ctrl-C ends the watching, not the deployment", style="dim")
