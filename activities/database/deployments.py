"""Deployments: registered once, planned once, their state and verbs recorded, closed once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.events import Events, NewEvent
from activities.database.tables import (
    LATEST_RUN,
    AttemptRow,
    BatchRow,
    DeploymentRow,
    HostRunRow,
    LeaseRow,
    PlanHostRow,
    QueueRow,
    fits_id,
)
from workflows.contracts.errors import InvalidRequest, Refused, UnknownThing
from workflows.contracts.model import Contract
from workflows.contracts.names import Control, DeploymentState, HostState, workflow_id
from workflows.contracts.plans import Plan
from workflows.contracts.steps import Counts, EnterState, RecordVerb, Register

RESERVED = "deployment-"
_REGISTERING = 0x72656769  # first half of an advisory lock; the second is the workflow's id


class OpenDeployment(Contract):
    id: int
    workflow_id: str
    first_run_id: str | None
    strategy: str
    state: DeploymentState
    request: dict[str, Any]


class Deployments:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._events = Events(session)

    async def enqueue(self, strategy: str, request: dict[str, Any]) -> int:
        """The client's one row: QUEUED, before its workflow is started. Returns the id that names the workflow."""
        row = DeploymentRow(
            strategy=strategy, patch_id=request["patch_id"], request=request,
            requested_by=request["requested_by"], state=DeploymentState.QUEUED,
        )  # fmt: skip
        self._session.add(row)
        await self._session.flush()
        row.workflow_id = workflow_id(row.id)
        self._session.add(QueueRow(deployment_id=row.id))
        await self._events.add(row.id, NewEvent(kind="state", message=f"queued by {row.requested_by}"))
        return row.id

    async def register(self, ask: Register) -> int:
        """Finds this workflow's row, or makes it where a raw Temporal client started the workflow.

        Safe to repeat: the key is (workflow id, first run id). Raises InvalidRequest where the workflow id is one
        of those that are reserved for rows the ledger made itself, Refused where the queued row is closed already.
        """
        # Two tries that overlap would each see no row, and the later one would fail its workflow for that.
        await self._session.execute(select(func.pg_advisory_xact_lock(_REGISTERING, func.hashtext(ask.workflow_id))))
        mine = select(DeploymentRow).where(DeploymentRow.workflow_id == ask.workflow_id).with_for_update()
        row = await self._session.scalar(mine.where(DeploymentRow.first_run_id == ask.first_run_id))
        if row is None:
            row = await self._session.scalar(mine.where(DeploymentRow.first_run_id.is_(None)))
            if row is not None:
                if row.finished_at is not None:
                    raise Refused(f"deployment {row.id} is closed as {row.state}: {row.message}")
                row.first_run_id = ask.first_run_id
            elif ask.workflow_id.removeprefix(RESERVED).isdecimal() and ask.workflow_id.startswith(RESERVED):
                raise InvalidRequest(
                    "workflow id", f"{ask.workflow_id} is reserved for the ledger's own numbers", "choose another id"
                )
            else:
                request = ask.request.model_dump(mode="json")
                new = await self.enqueue(ask.strategy, request)
                row = await self.locked(new)
                row.workflow_id, row.first_run_id = ask.workflow_id, ask.first_run_id
            self._session.add(AttemptRow(deployment_id=row.id, number=row.attempt, run_id=ask.run_id))
        if row.finished_at is not None:
            raise Refused(f"deployment {row.id} is closed as {row.state}: {row.message}")
        return row.id

    async def locked(self, deployment_id: int) -> DeploymentRow:
        """The row, locked until the transaction ends. Raises UnknownThing."""
        mine = select(DeploymentRow).where(DeploymentRow.id == deployment_id).with_for_update()
        row = await self._session.scalar(mine) if fits_id(deployment_id) else None
        if row is None:
            raise UnknownThing("deployment", deployment_id, "'vulnzero list' shows deployments")
        return row

    async def freeze(self, row: DeploymentRow, plan: Plan, plan_hash: str, environments: list[str]) -> None:
        """Stores the plan; hosts go to a table of their own, so that the row stays small."""
        row.plan = plan.model_dump(mode="json", exclude={"hosts"}) | {"environments": environments}
        row.plan_hash = plan_hash
        wave_of = {wave.first + index: wave.number for wave in plan.waves for index in range(wave.hosts)}
        await self._session.execute(
            insert(PlanHostRow),
            [
                {"deployment_id": row.id, "position": position, "wave": wave_of[position], "asset_id": asset_id}
                for position, asset_id in enumerate(plan.hosts)
            ],
        )
        message = f"planned {len(plan.hosts)} hosts in {len(plan.waves)} waves, plan {plan_hash[:12]}"
        await self._events.add(row.id, NewEvent(kind="plan", message=message))

    async def enter(self, change: EnterState) -> None:
        """Records a state. The same write again, or an older one that comes late, changes nothing."""
        row = await self.locked(change.deployment_id)
        if row.finished_at is not None or change.write <= row.state_write:
            return
        row.state, row.message, row.state_write = change.state, change.message, change.write
        await self._events.add(row.id, _state_event(change.state, change.message))

    async def set_control(self, deployment_id: int, control: Control, sequence: int) -> None:
        """What claims are told. An older verb's late write changes nothing, nor does any once the row is closed."""
        await self._session.execute(
            update(DeploymentRow)
            .where(
                DeploymentRow.id == deployment_id,
                DeploymentRow.control_sequence < sequence,
                DeploymentRow.finished_at.is_(None),
            )
            .values(control=control, control_sequence=sequence)
        )

    async def record_verb(self, verb: RecordVerb) -> None:
        row = await self.locked(verb.deployment_id)
        if await self._events.find_verb(row.id, verb.sequence) is not None:
            return
        # At the same sequence too: a batch's later try may have brought the workflow's word before the verb came.
        if row.finished_at is None and verb.sequence >= row.control_sequence:
            row.control, row.control_sequence = verb.control, verb.sequence
        if row.finished_at is None and verb.write > row.state_write:
            row.state, row.message, row.state_write = verb.state, verb.sentence, verb.write
        why = f" ({verb.reason})" if verb.reason else ""
        ignored = "" if verb.applied else ", ignored"
        await self._events.add(
            row.id,
            NewEvent(
                kind="verb",
                message=f"{verb.verb} by {verb.by}{why}{ignored}: {verb.message}",
                data=verb.model_dump(mode="json"),
            ),
        )

    async def close(self, deployment_id: int, state: DeploymentState, message: str) -> DeploymentRow:
        """Ends a deployment and frees its hosts and slot; a second close changes nothing."""
        row = await self.locked(deployment_id)
        if row.finished_at is None:
            row.state, row.message, row.control = state, message, Control.STOP
            row.finished_at = await self._session.scalar(select(func.clock_timestamp()))
            await self._session.execute(delete(LeaseRow).where(LeaseRow.deployment_id == deployment_id))
            await self._session.execute(delete(QueueRow).where(QueueRow.deployment_id == deployment_id))
            # A batch that its worker did not end would be looked after for ever.
            await self._session.execute(
                update(BatchRow)
                .where(BatchRow.deployment_id == deployment_id, BatchRow.ended_at.is_(None))
                .values(ended_at=func.clock_timestamp())
            )
            await self._events.add(deployment_id, _state_event(state, message))
        return row

    async def orphaned(self, deployment_id: int, message: str) -> None:
        """Closes a deployment whose workflow is gone. Its hosts in hand are UNKNOWN: nobody waits for their word."""
        await self.locked(deployment_id)
        await self.lose(deployment_id, "the deployment's workflow ended while this host was in hand")
        await self.close(deployment_id, DeploymentState.FAILED, message)

    async def lose(self, deployment_id: int, message: str, batch_id: int | None = None) -> None:
        """Makes hosts in hand (of one batch, or of all) UNKNOWN. The caller holds the deployment's row lock."""
        lost = update(HostRunRow).where(
            HostRunRow.deployment_id == deployment_id, HostRunRow.latest, HostRunRow.state == HostState.RUNNING
        )
        if batch_id is not None:
            lost = lost.where(HostRunRow.batch_id == batch_id)
        rows = await self._session.execute(
            lost.values(state=HostState.UNKNOWN, message=message, finished_at=func.clock_timestamp()).returning(
                HostRunRow.asset_id, HostRunRow.fence
            )
        )
        events = [
            NewEvent(kind="host", asset_id=asset_id, message=message, data={"state": HostState.UNKNOWN, "fence": fence})
            for asset_id, fence in rows
        ]
        await self._events.add(deployment_id, *events)

    async def open_ones(self, older_than: timedelta) -> list[OpenDeployment]:
        rows = await self._session.scalars(
            select(DeploymentRow).where(
                DeploymentRow.finished_at.is_(None), DeploymentRow.created_at < func.now() - older_than
            )
        )
        return [
            OpenDeployment(
                id=row.id,
                workflow_id=row.workflow_id or workflow_id(row.id),
                first_run_id=row.first_run_id,
                strategy=row.strategy,
                state=DeploymentState(row.state),
                request=row.request,
            )
            for row in rows
        ]

    async def counts(self, deployment_id: int, first: int = 0, hosts: int | None = None) -> Counts:
        """Current host states of the plan's positions `first` to `first + hosts` (all where None)."""
        state = func.coalesce(HostRunRow.state, HostState.PENDING)
        query = (
            select(state, func.count())
            .select_from(PlanHostRow)
            .outerjoin(HostRunRow, LATEST_RUN)
            .where(PlanHostRow.deployment_id == deployment_id, PlanHostRow.position >= first)
            .group_by(state)
        )
        if hosts is not None:
            query = query.where(PlanHostRow.position < first + hosts)
        found: Sequence[tuple[str, int]] = [(row[0], row[1]) for row in await self._session.execute(query)]
        return Counts(by_state={HostState(name): number for name, number in found})

    async def wave_counts(self, deployment_id: int, wave: int) -> Counts:
        first, hosts = (
            await self._session.execute(
                select(func.min(PlanHostRow.position), func.count()).where(
                    PlanHostRow.deployment_id == deployment_id, PlanHostRow.wave == wave
                )
            )
        ).one()
        return await self.counts(deployment_id, first or 0, hosts)


def _state_event(state: DeploymentState, message: str) -> NewEvent:
    return NewEvent(kind="state", message=f"{state}: {message}", data={"state": state})
