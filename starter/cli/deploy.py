"""`vulnzero deploy`: shows the plan, asks, and starts the workflow."""

import sys
from typing import TYPE_CHECKING, Any

import click

from starter.cli import human
from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_temporal, example
from starter.cli.output import Output
from starter.cli.plan import preview_of, summary
from starter.cli.strategy import StrategyCommand, parsed, strategy_options

if TYPE_CHECKING:
    from starter.preview import Preview
    from workflows.contracts.strategies import StrategyParams


@click.command(
    "deploy",
    cls=StrategyCommand,
    epilog=example("vulnzero deploy acme-healthd-1.0.1 --to 'env=prod,tier!=db' --batch-size 20% --watch"),
)
@click.argument("patch")
@strategy_options
@click.option("--reason", default="", metavar="TEXT", help="why; shown in Temporal's Web UI")
@click.option("--watch", "watching", is_flag=True, help="follow it to the end; the exit code tells the result")
@click.option("--yes", is_flag=True, help="do not ask; needed where no terminal is there to ask on")
@asks_temporal
def deploy(
    patch: str, selector: str, strategy: str, reason: str, watching: bool, yes: bool, session: Session, **given: Any
) -> int:
    """Put PATCH (id or name) on the assets that SELECTOR names, at once or wave after wave."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm the plan: add --yes", click.get_current_context())
    deployment_id = wait_for(_start(session, patch, selector, parsed(strategy, given), reason, yes, watching))
    if not watching:
        return 0
    from starter.cli.watch import follow

    return follow(session, deployment_id)


async def _start(
    session: Session, patch: str, selector: str, strategy: "StrategyParams", reason: str, yes: bool, watching: bool
) -> int:
    out = session.out
    async with session.ledger() as ledger:
        plan = await preview_of(ledger, patch, selector, strategy)
    if not out.is_json or not yes:
        for line in summary(plan, strategy):
            click.echo(line, err=out.is_json)
    if not yes:
        # On standard error, so that `-o json` keeps standard output to itself.
        click.confirm(f"Deploy to {human.hosts(len(plan.hosts))}?", abort=True, err=True)
    async with await session.client() as client:
        deployment = await client.deploy(plan.patch.id, selector=selector, strategy=strategy, reason=reason)
        idle = await client.without_worker()
    for queue in idle:
        out.note(f"warning: no worker polls {queue}: the deployment waits until one does (vulnzero worker)")
    _say_started(out, deployment.id, deployment.workflow_id, plan, watching)
    return deployment.id


def _say_started(out: Output, deployment_id: int, workflow: str, plan: "Preview", watching: bool) -> None:
    if out.is_json:
        if not watching:  # else the one object is the result
            counts = {"hosts": len(plan.hosts), "waves": len(plan.waves)}
            out.json({"deployment_id": deployment_id, "workflow_id": workflow} | counts)
        return
    out.line(f"deployment {deployment_id} is started")
    if not watching:
        out.line(f"follow it:  vulnzero watch {deployment_id}")
