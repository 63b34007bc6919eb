"""`vulnzero list` and `vulnzero show`."""

import asyncio
from typing import TYPE_CHECKING

import click

from starter.cli import human
from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_ledger, asks_temporal, example

if TYPE_CHECKING:
    from activities.database.views import DeploymentView, HostLine
    from workflows.contracts.status import Status, Waiting

_STATUS_SECONDS = 3.0


@click.command("list", epilog=example("vulnzero list --active"))
@click.option("--active", is_flag=True, help="only those that are not closed")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="at most so many")
@asks_ledger
def list_(active: bool, limit: int, session: Session) -> None:
    """List deployments, newest first."""

    async def read() -> None:
        async with session.ledger() as ledger:
            found = await ledger.deployments(active, limit)
        if session.out.is_json:
            return session.out.json(found)
        if not found:
            return session.out.line("no deployment is open" if active else "no deployments yet: vulnzero deploy --help")
        rows = [
            (
                one.id, one.state.value, one.patch, f"{one.hosts_done}/{one.hosts_total}" if one.hosts_total else "-",
                human.moment(one.created_at), _took(one.started_at, one.finished_at), one.requested_by, one.message,
            )
            for one in found
        ]  # fmt: skip
        heads = ("ID", "STATE", "PATCH", "DONE", "CREATED", "TOOK", "BY", "MESSAGE")
        return session.out.table(heads, rows, state_column=1)

    wait_for(read())


@click.command("show", epilog=example("vulnzero show 12 -o json"))
@click.argument("deployment_id", metavar="ID", type=click.IntRange(min=1))
@asks_temporal
def show(deployment_id: int, session: Session) -> None:
    """Show deployment ID: its plan, what it waits for, its waves and hosts."""

    async def read() -> None:
        async with session.ledger() as ledger:
            view = await ledger.deployment(deployment_id)
            hosts = await ledger.hosts(deployment_id)
        status, silence = None, ""
        if view.finished_at is None:
            status, silence = await _ask(session, view)
        if session.out.is_json:
            shown = view.model_dump(mode="json") | {"hosts": [host.model_dump(mode="json") for host in hosts]}
            return session.out.json(shown | {"status": status.model_dump(mode="json") if status else None})
        return _print(session, view, hosts, status, silence)

    wait_for(read())


async def _ask(session: Session, view: "DeploymentView") -> "tuple[Status | None, str]":
    """The workflow's own status, or why there is none. The ledger is shown all the same."""
    from starter import calls
    from workflows.contracts.errors import VulnzeroError

    try:
        async with asyncio.timeout(_STATUS_SECONDS):
            temporal = await session.where.temporal().connect()
            handle = temporal.get_workflow_handle(view.workflow_id or "")
            return await calls.ask_status(temporal, handle), ""
    except TimeoutError:
        return None, "unknown: the workflow did not answer (does a worker run?)"
    except VulnzeroError as error:
        return None, f"unknown: {error.message}"


def _print(
    session: Session, view: "DeploymentView", hosts: "list[HostLine]", status: "Status | None", silence: str
) -> None:
    from starter.cli import tactics

    out, limits, plan = session.out, view.thresholds, "not made yet"
    if view.plan_hash:
        waits = f", {human.duration(view.wait_seconds)} between" if view.wait_seconds else ""
        waves = "1 wave" if len(view.waves) == 1 else f"{len(view.waves)} waves"
        plan = f"{human.hosts(view.hosts_total)} in {waves}{waits}, {view.plan_hash[:12]}"
    cves = f", {', '.join(view.cves)}" if view.cves else ""
    out.fields(
        [
            ("deployment", str(view.id)),
            ("patch", f"{view.patch} ({view.severity}{cves})"),
            ("strategy", tactics.given(view)),
            ("to", view.selection),
            ("state", out.state(view.state) + (f": {said}" if (said := sentence(view, status)) else "")),
            ("waits for", silence or (waiting(status) if status else "")),
            ("asked by", f"{human.plain(view.requested_by)}, {human.moment(view.created_at)}"),
            ("started", human.moment(view.started_at) if view.started_at else ""),
            ("finished", human.moment(view.finished_at) if view.finished_at else ""),
            ("took", _took(view.started_at, view.finished_at) if view.started_at else ""),
            ("plan", plan),
            *tactics.details(view),
            *(zip(("ends at", "limits"), human.limits(limits), strict=True) if limits else ()),
            *(("note", note) for note in view.notes),
        ]
    )  # fmt: skip
    if view.waves:
        out.line()
        out.table(
            ("WAVE", "HOSTS", "STATES"),
            [(one.number, one.hosts, human.tally(one.counts.by_state)) for one in view.waves],
        )
    if hosts:
        out.line()
        rows = [
            (one.name, one.wave, one.state.value, human.duration(one.seconds), _versions(one), one.message)
            for one in hosts
        ]
        out.table(("HOST", "WAVE", "STATE", "TOOK", "VERSION", "MESSAGE"), rows, state_column=2)


def waiting(status: "Status") -> str:
    """What a deployment waits for, and until when, in local time; of a gate, who can end it."""
    wait = status.waits_for
    if wait is None:
        return ""
    if is_gate(wait):
        return f"{human.plain(wait.what)}: vulnzero promote {status.deployment_id} ({wait.wait_id})"
    left = human.duration(wait.remaining_seconds)
    until = f"until {human.clock(wait.until)}" if wait.until else "standing still"
    return f"{human.plain(wait.what)}, {left} left, {until} ({wait.wait_id})"


def is_gate(wait: "Waiting") -> bool:
    """No time ends it, paused or not: a wait that stands still has some left."""
    return wait.until is None and not wait.remaining_seconds


def sentence(view: "DeploymentView", status: "Status | None") -> str:
    """What the deployment says of itself, without what it waits for where `status` tells that, and better.

    A wait that stands still while paused has another end by now than the one its sentence was made with.
    """
    if status is not None and status.waits_for is not None:
        if view.state in ("WAITING", "GATED"):
            return ""
        if view.state == "PAUSED":
            return human.plain(view.message.partition("; it was: ")[0])
    return human.plain(view.message)


def _versions(host: "HostLine") -> str:
    return human.plain(f"{host.before or '?'} -> {host.after}" if host.after else host.before or "-")


def _took(start: "datetime | None", end: "datetime | None") -> str:
    from datetime import UTC, datetime

    return "-" if start is None else human.duration(((end or datetime.now(UTC)) - start).total_seconds())


if TYPE_CHECKING:
    from datetime import datetime
