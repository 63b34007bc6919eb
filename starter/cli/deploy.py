"""`vulnzero deploy`: shows the plan, asks, and starts the workflow."""

import sys
from typing import TYPE_CHECKING, Any

import click

from starter.cli import human
from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_temporal, example
from starter.cli.output import Output

if TYPE_CHECKING:
    from starter.preview import Preview

_WAVES_SHOWN, _HOSTS_SHOWN = 4, 6


@click.command(
    "deploy",
    epilog=example("vulnzero deploy acme-healthd-1.0.1 --to 'env=prod,tier!=db' --batch-size 20% --watch"),
)
@click.argument("patch")
@click.option("--to", "selector", required=True, metavar="SELECTOR", help="all, id=1,2,3 or labels: env=prod,tier!=db")
@click.option("--strategy", type=click.Choice(["rolling"]), default="rolling", show_default=True)
@click.option("--batch-size", metavar="SIZE", help="hosts per wave: 0.2, '20%' or '4 hosts'")
@click.option("--wait-seconds", type=click.FloatRange(min=0), help="between waves")
@click.option("--max-failures", type=click.IntRange(min=1), help="failed hosts that end the deployment")
@click.option("--continue-on-error", is_flag=True, help="go on after the first failed host")
@click.option("--max-concurrency", type=click.IntRange(1, 1000), help="hosts in hand at once")
@click.option("--max-unreachable", type=click.IntRange(min=1), help="unreachable hosts that end the deployment")
@click.option("--min-healthy", metavar="SIZE", help="hosts that must stay in service: 0.8, '80%' or '4 hosts'")
@click.option("--host-timeout", type=click.IntRange(min=1), metavar="SECONDS", help="one host may take")
@click.option("--reason", default="", metavar="TEXT", help="why; shown in Temporal's Web UI")
@click.option("--watch", "watching", is_flag=True, help="follow it to the end; the exit code tells the result")
@click.option("--yes", is_flag=True, help="do not ask; needed where no terminal is there to ask on")
@asks_temporal
def deploy(
    patch: str, selector: str, strategy: str, reason: str, watching: bool, yes: bool, session: Session, **given: Any
) -> int:
    """Put PATCH (id or name) on the assets that SELECTOR names, wave after wave."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm the plan: add --yes", click.get_current_context())
    params = strategy_params(given)
    deployment_id = wait_for(_start(session, patch, selector, params, reason, yes, watching))
    if not watching:
        return 0
    from starter.cli.watch import follow

    return follow(session, deployment_id)


def strategy_params(given: dict[str, Any]) -> dict[str, Any]:
    """What was written on the command line, and nothing else: the worker fills in the rest."""
    found = {name: value for name, value in given.items() if value is not None and value is not False}
    for name in ("batch_size", "min_healthy"):
        if name in found:
            found[name] = _number_or_words(found[name])
    return found


def _number_or_words(text: str) -> str | float | int:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


async def _start(
    session: Session, patch: str, selector: str, params: dict[str, Any], reason: str, yes: bool, watching: bool
) -> int:
    from starter.preview import preview
    from workflows.contracts.strategies import Rolling

    # Read before anything is asked of the servers: a typing error must not wait for a connection.
    strategy = Rolling.read(params, "strategy_params")
    out = session.out
    async with session.ledger() as ledger:
        found = await ledger.patch(patch)
        plan = await preview(ledger, found, selector, strategy)
    if not out.is_json or not yes:
        _show_plan(plan, strategy, selector, to_errors=out.is_json)
    if not yes:
        # On standard error, so that `-o json` keeps standard output to itself.
        click.confirm(f"Deploy to {human.hosts(len(plan.names))}?", abort=True, err=True)
    async with await session.client() as client:
        deployment = await client.deploy(found.id, selector=selector, strategy=strategy, reason=reason)
        idle = await client.without_worker()
    for queue in idle:
        out.note(f"warning: no worker polls {queue}: the deployment waits until one does (vulnzero worker)")
    _say_started(out, deployment.id, deployment.workflow_id, plan, watching)
    return deployment.id


def _say_started(out: Output, deployment_id: int, workflow: str, preview: "Preview", watching: bool) -> None:
    if out.is_json:
        if not watching:  # else the one object is the result
            waves = len(preview.plan.waves)
            out.json(
                {"deployment_id": deployment_id, "workflow_id": workflow, "hosts": len(preview.names), "waves": waves}
            )
        return
    out.line(f"deployment {deployment_id} is started")
    if not watching:
        out.line(f"follow it:  vulnzero watch {deployment_id}")


def _show_plan(preview: "Preview", strategy: Any, selector: str, to_errors: bool) -> None:
    plan = preview.plan
    ends_at, limits = human.limits(plan.thresholds)
    given = strategy.model_fields_set
    cves = f", {', '.join(preview.patch.cves[:5])}" if preview.patch.cves else ""

    def default(*names: str) -> str:
        return "" if given & set(names) else " (default)"

    lines = [
        f"patch    {preview.patch.name} ({preview.patch.severity}{cves})",
        f"to       {human.hosts(len(preview.names))} ({selector})",
        f"waves    {len(plan.waves)}{default('batch_size')}, "
        f"{human.duration(plan.wait_seconds)} between{default('wait_seconds')}",
    ]
    for wave in plan.waves[:_WAVES_SHOWN]:
        names = preview.names_of(wave.number)
        more = f" and {len(names) - _HOSTS_SHOWN} more" if len(names) > _HOSTS_SHOWN else ""
        lines.append(f"         {wave.number}: {', '.join(names[:_HOSTS_SHOWN])}{more}")
    if len(plan.waves) > _WAVES_SHOWN:
        lines.append(f"         and {len(plan.waves) - _WAVES_SHOWN} more waves")
    lines += [
        f"ends at  {ends_at}",
        f"limits   {limits}",
        *(f"note     {note}" for note in plan.notes if "max_failures" in given or "max_failures" not in note),
    ]
    for line in lines:
        click.echo(line, err=to_errors)
