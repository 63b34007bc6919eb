"""The planned hosts of a deployment: who is in which state, and states that come from a look, not from a run."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.deployments import Deployments
from activities.database.events import Events, NewEvent
from activities.database.inventory import asset_of
from activities.database.spoken import storable
from activities.database.tables import LATEST_RUN, AssetRow, HostRunRow, PlanHostRow
from workflows.contracts.inventory import Asset
from workflows.contracts.names import HostState


class PlannedHosts:
    def __init__(self, session: AsyncSession, deployment_id: int) -> None:
        self._session = session
        self._deployment_id = deployment_id

    async def in_state(self, state: HostState | None, wave: int | None = None) -> list[Asset]:
        """Hosts whose latest run is in `state` (None: that no run ever took), of one wave or of all, in plan order."""
        query = (
            select(AssetRow)
            .join(PlanHostRow, PlanHostRow.asset_id == AssetRow.id)
            .outerjoin(HostRunRow, LATEST_RUN)
            .where(PlanHostRow.deployment_id == self._deployment_id)
            .where(HostRunRow.state.is_(None) if state is None else HostRunRow.state == state)
            .order_by(PlanHostRow.position)
        )
        if wave is not None:
            query = query.where(PlanHostRow.wave == wave)
        return [asset_of(row) for row in await self._session.scalars(query)]

    async def mark(self, asset: Asset, state: HostState, message: str) -> None:
        """Records a state that a look found. The run it follows stays as it was; only it is no longer the latest.

        The same state again changes nothing, so a retried activity leaves no double.
        """
        deployment = await Deployments(self._session).locked(self._deployment_id)
        run = await self._session.scalar(
            select(HostRunRow).where(
                HostRunRow.deployment_id == deployment.id, HostRunRow.asset_id == asset.id, HostRunRow.latest
            )
        )
        if run is not None:
            if run.state == state:
                return
            run.latest = False
            await self._session.flush()
        now = await self._session.scalar(select(func.clock_timestamp()))
        self._session.add(
            HostRunRow(
                deployment_id=deployment.id, asset_id=asset.id, attempt=deployment.attempt, batch_id=None,
                state=state, message=storable(message), finished_at=now,
                before=run.before if run else None, after=run.after if run else None,
            )
        )  # fmt: skip
        await Events(self._session).add(
            deployment.id, NewEvent(kind="host", asset_id=asset.id, message=message, data={"state": state})
        )
