"""`vulnzero watch` and `deploy --watch`: follows a deployment to its end; leaving it leaves the deployment alone."""

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from starter.cli import human
from starter.cli.exits import Exit, wait_for
from starter.cli.options import Session, asks_temporal, example

if TYPE_CHECKING:
    from starter.follow import Follower, Snapshot

_PUT_BACK_SHOWN = 20  # a rollback may be of the whole fleet; what is broken is never cut


@click.command("watch", epilog=example("vulnzero watch 12"))
@click.argument("deployment_id", metavar="ID", type=click.IntRange(min=1))
@asks_temporal
def watch(deployment_id: int, session: Session) -> int:
    """Follow deployment ID to its end; exit 0 only if it succeeded.

    On a terminal a screen that renews itself, else one line per event. Ctrl-C ends the watching, not the deployment.
    With -o json the lines go to standard error, and the result is the one object on standard output.
    """
    return follow(session, deployment_id)


def follow(session: Session, deployment_id: int) -> int:
    """Returns the exit code."""
    try:
        return wait_for(_follow(session, deployment_id))
    except KeyboardInterrupt:
        session.out.note(
            f"\ndeployment {deployment_id} goes on without you; come back with: vulnzero watch {deployment_id}"
        )
        session.out.note(f"to end it: vulnzero cancel {deployment_id}")
        return Exit.INTERRUPTED


async def _follow(session: Session, deployment_id: int) -> int:
    from starter.follow import Follower

    async with session.ledger() as ledger:
        follower = Follower(ledger, session.where, deployment_id)
        on_screen = sys.stdout.isatty() and sys.stdin.isatty() and not session.out.is_json
        last = await (_on_screen(follower, session) if on_screen else _in_lines(follower, session))
    tell_result(session, last)
    return Exit.DONE if last.view.state == "SUCCEEDED" else Exit.NOT_SUCCEEDED


async def _in_lines(follower: "Follower", session: Session) -> "Snapshot":
    from starter.cli.watch_lines import Lines

    lines = Lines()
    async with aclosing(follower.snapshots()) as snapshots:
        async for snapshot in snapshots:
            for line in lines.of(snapshot):
                click.echo(line, err=session.out.is_json)
            (sys.stderr if session.out.is_json else sys.stdout).flush()
    return snapshot


async def _on_screen(follower: "Follower", session: Session) -> "Snapshot":
    from rich.console import Console
    from rich.live import Live

    from starter.cli.watch_screen import Screen

    console = Console(no_color=not session.out.colour, highlight=False)
    screen = Screen()
    async with aclosing(follower.snapshots()) as snapshots:
        # The alternate screen: on resize and at the end nothing half drawn stays behind in the scrollback.
        with Live(console=console, screen=True, auto_refresh=False) as live:
            async for snapshot in snapshots:
                screen.take(snapshot)
                live.update(screen.render(console.width, console.height), refresh=True)
    return snapshot


def tell_result(session: Session, last: "Snapshot") -> None:
    view, out = last.view, session.out
    if out.is_json:
        return out.json(view.model_dump(mode="json") | {"hosts": [host.model_dump(mode="json") for host in last.hosts]})
    took = ""
    if view.started_at and view.finished_at:
        took = f" in {human.duration((view.finished_at - view.started_at).total_seconds())}"
    out.line(f"deployment {view.id}: {out.state(view.state)}{took}: {human.plain(view.message)}")
    trouble = [host for host in last.hosts if host.state in human.TROUBLE]
    put_back = [host for host in last.hosts if host.state in human.PUT_BACK]
    if told := [*trouble, *put_back[:_PUT_BACK_SHOWN]]:
        rows = [(host.name, host.wave, host.state.value, host.message) for host in told]
        out.table(("HOST", "WAVE", "STATE", "MESSAGE"), rows, state_column=2)
    if (more := len(put_back) - _PUT_BACK_SHOWN) > 0:
        out.line(f"and {more} more that were put back: vulnzero show {view.id}")
    return None
