"""`vulnzero logs`: what the tasks on each host said, as the ledger has it; live too, and from any offset on."""

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from starter.cli import human
from starter.cli.exits import Exit, wait_for
from starter.cli.options import Session, asks_ledger, example

if TYPE_CHECKING:
    from activities.database.views import HostLine, LogLine

_BAD = (*human.TROUBLE, "failed", "unreachable")


@click.command("logs", epilog=example("vulnzero logs 12 --host web-1 --follow"))
@click.argument("deployment_id", metavar="ID", type=click.IntRange(min=1))
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="of this host alone (repeatable)")
@click.option("--failed", is_flag=True, help="only what tells of a failed task or a lost host")
@click.option("--follow", "-f", is_flag=True, help="go on until the deployment is closed")
@click.option(
    "--since", default=0, show_default=True, metavar="OFFSET", type=click.IntRange(0, 2**31 - 1),
    help="only lines after this number, the first in each line",
)  # fmt: skip
@asks_ledger
def logs(deployment_id: int, hosts: tuple[str, ...], failed: bool, follow: bool, since: int, session: Session) -> int:
    """Print the log of deployment ID, oldest line first: number, time, host, and what happened.

    Numbers have no gap of their own: a line that is missing was left out by --host or --failed. With -o json one array,
    whose elements come as they happen.
    """
    log = _Log(session)
    try:
        wait_for(_print(session, log, deployment_id, hosts, failed, follow, since))
    except KeyboardInterrupt:
        chosen = "".join(f" --host {host}" for host in hosts) + (" --failed" if failed else "")
        session.out.note(
            f"\nthe deployment goes on; the log goes on with: "
            f"vulnzero logs {deployment_id}{chosen} --follow --since {max(log.offset, since)}"
        )
        return Exit.INTERRUPTED
    finally:
        log.end()
    return Exit.DONE


async def _print(
    session: Session, log: "_Log", deployment_id: int, hosts: tuple[str, ...], failed: bool, follow: bool, since: int
) -> None:
    from starter.feed import Feed

    async with session.ledger() as ledger:
        await ledger.deployment(deployment_id)  # an unknown one must not look like a silent one
        planned = await ledger.hosts(deployment_id)
        _check_hosts(hosts, planned, deployment_id)
        log.begin(max((len(host.name) for host in planned), default=0))
        if not follow:
            async for line in ledger.events(deployment_id, since, hosts, failed):
                log.line(line)
            return
        feed = Feed(ledger, deployment_id, since, hosts, failed, trouble=lambda words: session.out.note(f"! {words}"))
        async with aclosing(feed.lines()) as lines:
            async for line in lines:
                log.line(line)


def _check_hosts(hosts: tuple[str, ...], planned: "list[HostLine]", deployment_id: int) -> None:
    from workflows.contracts.errors import UnknownThing

    names = {host.name for host in planned}
    for host in hosts:
        # Before the plan is frozen nobody can know; a follower may well wait for it.
        if names and host not in names:
            raise UnknownThing(
                "host", f"{host} in deployment {deployment_id}", f"'vulnzero show {deployment_id}' names them"
            )


class _Log:
    """Lines, or the elements of one JSON array, written as they come. `offset` is the last one's."""

    def __init__(self, session: Session) -> None:
        self._out = session.out
        self._width = 0
        self._array: str | None = None
        self.offset = 0

    def begin(self, host_width: int) -> None:
        self._width = min(host_width, 40)
        self._array = "["

    def line(self, line: "LogLine") -> None:
        self.offset = line.offset
        if self._out.is_json:
            click.echo(f"{self._array}\n{json.dumps(line.model_dump(mode='json'), ensure_ascii=False)}", nl=False)
            self._array = ","
        else:
            said = f"{line.offset:>6}  {human.clock(line.at)}  {line.host or '-':<{self._width}}  {_words(line)}"
            bad = _state(line.data) in _BAD
            click.echo(self._out.styled(said, "red" if bad else None))

    def end(self) -> None:
        """Closes the array, also of no line; where nothing was begun, an error is all there is to say."""
        if self._out.is_json and self._array is not None:
            click.echo("\n]" if self._array == "," else "[]")


def _words(line: "LogLine") -> str:
    state = _state(line.data) if line.kind == "host" else None
    message = human.plain(line.message)
    return f"{state}: {message}" if state else message


def _state(data: dict[str, Any] | None) -> str | None:
    return (data or {}).get("state") or (data or {}).get("status")
