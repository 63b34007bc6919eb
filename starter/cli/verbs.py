"""`vulnzero promote|pause|resume|cancel`: the verbs that steer a deployment."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_temporal, example

if TYPE_CHECKING:
    from starter.client import Deployment


def _verb(name: str, doc: str, option: Callable[[Any], Any] = lambda command: command) -> click.Command:
    @click.argument("deployment_id", metavar="ID", type=click.IntRange(min=1))
    @click.option("--reason", default="", metavar="TEXT", help="why; kept with the deployment")
    @option
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

    text = example(f"vulnzero {name} 12 --reason 'the dashboards look good'")
    return click.command(name, help=doc, epilog=text)(command)


promote = _verb(
    "promote",
    "End the current wait of deployment ID. Refused where nothing waits, and while it is paused.",
    click.option("--wait-id", metavar="ID", help="end this wait only; 'vulnzero show' names the current one"),
)
pause = _verb("pause", "Start nothing new in deployment ID; hosts in hand finish, waits stand still.")
resume = _verb("resume", "Go on with deployment ID after a pause.")
cancel = _verb("cancel", "End deployment ID: hosts in hand finish, the rest is not started, nothing is rolled back.")
