"""Admission: a slot and all host leases, or neither (rule 18)."""

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.deployments import Deployments
from activities.database.tables import AssetRow, LeaseRow, PlanHostRow, QueueRow
from workflows.contracts.errors import Refused
from workflows.contracts.steps import Admission

_LOCK = 0x61646D69  # one admission at a time: two that each see the last free slot would both take it


async def admit(session: AsyncSession, deployment_id: int, slots: int) -> Admission:
    """Grants one of `slots` and the leases of all planned hosts in this transaction, or says what is in the way.

    Raises Refused for a deployment that is closed."""
    await session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    row = await Deployments(session).locked(deployment_id)
    mine = await session.get(QueueRow, deployment_id)
    if mine is None:
        raise Refused(f"deployment {deployment_id} is closed as {row.state}: {row.message}")
    if mine.admitted_at is not None:
        return Admission(granted=True)
    taken = await session.scalar(select(func.count()).where(QueueRow.admitted_at.is_not(None)))
    if (taken or 0) >= slots:
        return Admission(granted=False, reason=f"all {slots} deployment slots are taken")
    assets = select(PlanHostRow.asset_id).where(PlanHostRow.deployment_id == deployment_id)
    held = (
        await session.execute(
            select(AssetRow.name, LeaseRow.deployment_id)
            .join(AssetRow, AssetRow.id == LeaseRow.asset_id)
            .where(LeaseRow.asset_id.in_(assets))
            .order_by(AssetRow.name)
            .limit(1)
        )
    ).first()
    if held is not None:
        return Admission(granted=False, reason=f"host {held[0]} belongs to deployment {held[1]}")
    await session.execute(
        insert(LeaseRow).from_select(
            ["deployment_id", "asset_id"], select(PlanHostRow.deployment_id, PlanHostRow.asset_id)
            .where(PlanHostRow.deployment_id == deployment_id).order_by(PlanHostRow.asset_id),
        )
    )  # fmt: skip
    mine.admitted_at = row.started_at = await session.scalar(select(func.clock_timestamp()))
    return Admission(granted=True)
