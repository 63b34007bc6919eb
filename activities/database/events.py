"""The story of a deployment, in one order for all readers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.listening import CHANNEL as CHANNEL
from activities.database.spoken import storable
from activities.database.tables import AssetRow, DeploymentRow, EventRow
from workflows.contracts.model import Contract


class NewEvent(Contract):
    kind: str  # state, plan, verb, host, task
    message: str
    asset_id: int | None = None
    data: dict[str, Any] | None = None


class Event(NewEvent):
    offset: int
    at: datetime
    host: str | None = None


class Events:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, deployment_id: int, *events: NewEvent) -> None:
        """Takes the deployment's row lock until the transaction ends, so that offsets commit in order."""
        if not events:
            return
        last = await self._session.scalar(
            update(DeploymentRow)
            .where(DeploymentRow.id == deployment_id)
            .values(last_offset=DeploymentRow.last_offset + len(events))
            .returning(DeploymentRow.last_offset)
        )
        assert last is not None, f"no deployment {deployment_id}"
        first = last - len(events) + 1
        rows = [
            {"deployment_id": deployment_id, "offset": first + index, **storable(event.model_dump())}
            for index, event in enumerate(events)
        ]
        await self._session.execute(insert(EventRow), rows)
        await self._session.execute(select(func.pg_notify(CHANNEL, str(deployment_id))))

    async def find_verb(self, deployment_id: int, sequence: int) -> int | None:
        """The offset of the verb with this sequence number, if it was recorded."""
        found: int | None = await self._session.scalar(
            select(EventRow.offset).where(
                EventRow.deployment_id == deployment_id,
                EventRow.kind == "verb",
                EventRow.data["sequence"].as_integer() == sequence,
            )
        )
        return found

    async def read(self, deployment_id: int, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Events with an offset above `after`, oldest first."""
        rows = await self._session.execute(
            select(EventRow, AssetRow.name)
            .outerjoin(AssetRow, AssetRow.id == EventRow.asset_id)
            .where(EventRow.deployment_id == deployment_id, EventRow.offset > after)
            .order_by(EventRow.offset)
            .limit(limit)
        )
        return [
            Event(
                kind=row.kind, message=row.message, asset_id=row.asset_id, data=row.data,
                offset=row.offset, at=row.at, host=host,
            )
            for row, host in rows
        ]  # fmt: skip
