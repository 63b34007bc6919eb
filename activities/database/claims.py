"""Claims and outcomes: the rows behind "no finished host is run again, and never two runs on one host at a time"."""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.deployments import Deployments
from activities.database.events import Events, NewEvent
from activities.database.inventory import asset_of
from activities.database.spoken import storable
from activities.database.tables import LATEST_RUN, AssetRow, BatchRow, DeploymentRow, HostRunRow, PlanHostRow
from workflows.contracts.errors import StaleAttempt
from workflows.contracts.inventory import Asset
from workflows.contracts.model import Contract
from workflows.contracts.names import Control, HostState, Kind
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts
from workflows.decisions.claims import BROKEN, CHANGED, Answer, Decision, Host, may_start

ABANDONED = "ABANDONED"  # of a run, not of a host: a later claim took over
UNSETTLED = (HostState.RUNNING, HostState.UNKNOWN)
_GATING = (HostState.RUNNING, HostState.FAILED, HostState.UNREACHABLE, HostState.UNKNOWN)


class Claim(Contract):
    """`fence` is set where the answer is start. `again`: an earlier run of this host was left behind."""

    decision: Decision
    fence: int | None = None
    again: bool = False


class BatchHost(Contract):
    asset: Asset
    left_behind: bool


class Claims:
    """All claims of one try of one batch."""

    def __init__(
        self, session: AsyncSession, deployment_id: int, batch_id: int, batch_attempt: int, kind: Kind = Kind.PATCH
    ) -> None:
        self._session = session
        self._deployment_id = deployment_id
        self._batch_id = batch_id
        self._batch_attempt = batch_attempt
        self._kind = kind

    async def remaining(self, offset: int, limit: int, broken_only: bool = False) -> list[BatchHost]:
        """Hosts of the batch that the ledger does not show finished: those that are not patched, or not put back.

        Those that an earlier try left in hand come first: they fill the concurrency limit, so a host that waits for
        a free place in front of them would wait for ever. Next come those it lost: they are the likeliest to be half
        patched.
        """
        rows = await self._session.execute(
            select(AssetRow, HostRunRow)
            .join(PlanHostRow, PlanHostRow.asset_id == AssetRow.id)
            .outerjoin(HostRunRow, LATEST_RUN)
            .where(
                PlanHostRow.deployment_id == self._deployment_id,
                PlanHostRow.position >= offset,
                PlanHostRow.position < offset + limit,
            )
            .order_by(PlanHostRow.position)
        )
        wanted = [(asset, run) for asset, run in rows if self._wanted(run, broken_only)]
        wanted.sort(key=lambda pair: self._urgency(pair[1]))
        return [
            BatchHost(asset=asset_of(asset), left_behind=run is not None and self._left_behind(run, settling=False))
            for asset, run in wanted
        ]

    async def claim(self, asset_id: int, settling: bool = False) -> Claim:
        """One short transaction under the deployment's row lock: decide, and write the run where the answer is yes.

        `settling`: this same try lost the host, or the answer to its first claim, and asks for it once more.
        """
        deployment = await Deployments(self._session).locked(self._deployment_id)
        assert deployment.plan is not None, "a batch runs only after the plan is frozen"
        if deployment.finished_at is not None:
            # Its leases are free: the host may be another deployment's by now, left behind by this one or not.
            return Claim(decision=Decision(answer=Answer.NO, reason=f"the deployment is closed as {deployment.state}"))
        newest = await self._session.scalar(select(BatchRow.attempt).where(BatchRow.id == self._batch_id))
        if newest != self._batch_attempt:
            return Claim(decision=Decision(answer=Answer.NO, reason="a newer attempt took this batch over"))
        run = await self._latest(asset_id)
        left_behind = run is not None and self._left_behind(run, settling)
        decision = may_start(
            Control(deployment.control),
            await self._gating_counts(),
            Thresholds.model_validate(deployment.plan["thresholds"]),
            sum(wave["hosts"] for wave in deployment.plan["waves"]),
            Host(state=HostState(run.state) if run else HostState.PENDING, left_behind=left_behind),
            self._kind,
        )
        if decision.answer is not Answer.START:
            return Claim(decision=decision)
        if run is not None:
            run.latest = False
            if run.state in UNSETTLED:
                run.state = ABANDONED
                run.finished_at = await self._session.scalar(select(func.clock_timestamp()))
            await self._session.flush()
        fence = await self._insert(deployment, asset_id)
        return Claim(decision=decision, fence=fence, again=left_behind)

    async def settle(
        self, fence: int, state: HostState, message: str, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        """Writes a run's outcome; the same again changes nothing. Raises StaleAttempt where a later claim owns it."""
        await Deployments(self._session).locked(self._deployment_id)
        found = await self._session.execute(
            update(HostRunRow)
            .where(HostRunRow.fence == fence, HostRunRow.latest, HostRunRow.state.in_(UNSETTLED))
            .values(
                state=state, message=storable(message), before=storable(before), after=storable(after),
                finished_at=func.clock_timestamp(),
            )
            .returning(HostRunRow.asset_id)
        )  # fmt: skip
        asset_id = found.scalar_one_or_none()
        if asset_id is None:
            run = await self._session.get(HostRunRow, fence)
            if run is not None and run.latest and run.state == state:
                return
            raise StaleAttempt(f"run {fence} is closed already: a later claim owns the host")
        await Events(self._session).add(
            self._deployment_id,
            NewEvent(kind="host", asset_id=asset_id, message=message, data={"state": state, "fence": fence}),
        )

    async def _insert(self, deployment: DeploymentRow, asset_id: int) -> int:
        run = HostRunRow(
            deployment_id=deployment.id, asset_id=asset_id, attempt=deployment.attempt, batch_id=self._batch_id,
            batch_attempt=self._batch_attempt, state=HostState.RUNNING, kind=self._kind, latest=True,
        )  # fmt: skip
        self._session.add(run)
        await self._session.flush()
        await Events(self._session).add(
            deployment.id,
            NewEvent(
                kind="host", asset_id=asset_id, message="claimed", data={"state": HostState.RUNNING, "fence": run.fence}
            ),
        )
        return run.fence

    async def _latest(self, asset_id: int) -> HostRunRow | None:
        return await self._session.scalar(
            select(HostRunRow).where(
                HostRunRow.deployment_id == self._deployment_id, HostRunRow.asset_id == asset_id, HostRunRow.latest
            )
        )

    async def _gating_counts(self) -> Counts:
        rows = await self._session.execute(
            select(HostRunRow.state, func.count())
            .where(HostRunRow.deployment_id == self._deployment_id, HostRunRow.latest, HostRunRow.state.in_(_GATING))
            .group_by(HostRunRow.state)
        )
        return Counts(by_state={HostState(state): number for state, number in rows})

    def _wanted(self, run: HostRunRow | None, broken_only: bool) -> bool:
        if run is None:
            return self._kind is Kind.PATCH
        if self._left_behind(run, settling=False):
            return True
        return (
            self._kind is Kind.ROLLBACK and run.state in (BROKEN if broken_only else CHANGED) and not self._tried(run)
        )

    def _tried(self, run: HostRunRow) -> bool:
        """This very batch had the host already: one that stayed unknown is not taken again and again."""
        return run.batch_id == self._batch_id

    def _urgency(self, run: HostRunRow | None) -> int:
        if run is None or not self._left_behind(run, settling=False):
            return len(UNSETTLED)
        return UNSETTLED.index(HostState(run.state))

    def _left_behind(self, run: HostRunRow, settling: bool) -> bool:
        mine = run.batch_id == self._batch_id and run.state in UNSETTLED
        return mine and (run.batch_attempt < self._batch_attempt or settling)
