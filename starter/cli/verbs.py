"""`vulnzero promote|pause|resume|cancel|rollback`: the verbs that steer a deployment."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_temporal, example

if TYPE_CHECKING:
    from starter.client import Deployment


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _verb(name: str, why: str, doc: str, *options: _Decorator) -> click.Command:
    """`why` is the reason in its example."""

    @click.argument("deployment_id", metavar="ID", type=click.IntRange(min=1))
    @click.option("--reason", default="", metavar="TEXT", help="why; kept with the deployment")
    @asks_temporal
    def command(deployment_id: int, reason: str, session: Session, **more: Any) -> None:
        async def send() -> None:
            async with await session.client() as client:
                deployment: Deployment = await client.deployment(deployment_id)
                answer = await getattr(deployment, name)(reason=reason, **more)
            if session.out.is_json:
                session.out.json(answer)
            else:
                state = session.out.state(answer.state)
                session.out.line(f"deployment {answer.deployment_id} is {state}: {answer.message}")

        wait_for(send())

    decorated: Callable[..., Any] = command
    for option in reversed(options):
        decorated = option(decorated)
    return click.command(name, help=doc, epilog=example(f"vulnzero {name} 12 --reason '{why}'"))(decorated)


promote = _verb(
    "promote",
    "the dashboards look good",
    "End the current wait or gate of deployment ID. Refused where nothing waits, and while it is paused.",
    click.option("--wait-id", metavar="ID", help="end this wait only; 'vulnzero show' names the current one"),
    click.option("--full", is_flag=True, help="end all later waits and gates too"),
)
pause = _verb(
    "pause", "the database is slow", "Start nothing new in deployment ID; hosts in hand finish, waits stand still."
)
resume = _verb("resume", "all is well again", "Go on with deployment ID after a pause.")
cancel = _verb(
    "cancel",
    "the wrong fleet",
    "End deployment ID: hosts in hand finish, the rest is not started, nothing is rolled back.",
)
rollback = _verb(
    "rollback",
    "customers see errors",
    "Take deployment ID back: hosts in hand finish, then every host that it changed gets back what it ran before, the "
    "last wave first. Only while the deployment is open: a closed one is refused in this version.",
)
