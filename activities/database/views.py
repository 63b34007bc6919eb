"""Read models: what people look at, each in one statement, so that its numbers belong to one moment."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.tables import LATEST_RUN, AssetRow, DeploymentRow, HostRunRow, PatchRow, PlanHostRow
from workflows.contracts.errors import UnknownThing
from workflows.contracts.model import Contract
from workflows.contracts.names import DeploymentState, HostState
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts


class WaveLine(Contract):
    number: int
    hosts: int
    counts: Counts


class DeploymentLine(Contract):
    """One line of the list. `hosts_total` is 0 until the plan is frozen; `hosts_done` are SUCCEEDED and SKIPPED."""

    id: int
    workflow_id: str | None
    patch: str
    strategy: str
    state: DeploymentState
    message: str
    hosts_total: int
    hosts_done: int
    counts: Counts
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class DeploymentView(DeploymentLine):
    """Everything but the hosts. `thresholds` is None and `waves` empty until the plan is frozen."""

    severity: str
    cves: tuple[str, ...]
    selection: str
    strategy_params: dict[str, Any]
    plan_hash: str | None
    thresholds: Thresholds | None
    wait_seconds: float
    notes: tuple[str, ...]
    waves: tuple[WaveLine, ...]
    last_offset: int
    as_of: datetime


class HostLine(Contract):
    """`before` and `after` are package versions; `seconds` is the length of the run, so far where it still runs."""

    asset_id: int
    name: str
    wave: int
    state: HostState
    message: str
    before: str | None
    after: str | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None


# A host without a run is PENDING while the deployment is open, and was never started once it is closed.
_HOST_STATE = func.coalesce(
    HostRunRow.state,
    case((DeploymentRow.finished_at.is_(None), HostState.PENDING.value), else_=HostState.NOT_STARTED.value),
)


class Views:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def deployments(self, active: bool = False, limit: int = 100) -> list[DeploymentLine]:
        """Newest first. `active`: only those that are not closed."""
        chosen = select(DeploymentRow.id).order_by(DeploymentRow.id.desc()).limit(limit)
        if active:
            chosen = chosen.where(DeploymentRow.finished_at.is_(None))
        rows = await self._session.execute(
            _with_waves().where(DeploymentRow.id.in_(chosen.scalar_subquery())).order_by(DeploymentRow.id.desc())
        )
        return [DeploymentLine.model_validate(_line(row)) for row in rows]

    async def deployment(self, deployment_id: int) -> DeploymentView:
        """Raises UnknownThing."""
        row = (
            await self._session.execute(
                _with_waves()
                .add_columns(
                    PatchRow.severity, PatchRow.cves, DeploymentRow.request, DeploymentRow.plan,
                    DeploymentRow.plan_hash, DeploymentRow.last_offset, func.clock_timestamp().label("as_of"),
                )
                .where(DeploymentRow.id == deployment_id)
            )
        ).first()  # fmt: skip
        if row is None:
            raise UnknownThing("deployment", deployment_id, "'vulnzero list' shows deployments")
        plan, request = row.plan or {}, row.request
        ids = request.get("asset_ids") or []
        return DeploymentView.model_validate(
            _line(row)
            | {
                "severity": row.severity,
                "cves": tuple(row.cves),
                "selection": request.get("selector") or f"id={','.join(str(asset_id) for asset_id in ids)}",
                "strategy_params": request.get("strategy_params") or {},
                "plan_hash": row.plan_hash,
                "thresholds": plan.get("thresholds"),
                "wait_seconds": plan.get("wait_seconds", 0.0),
                "notes": tuple(plan.get("notes", ())),
                "waves": tuple(
                    WaveLine(number=int(number), hosts=sum(states.values()), counts=Counts(by_state=states))
                    for number, states in sorted((row.waves or {}).items(), key=lambda item: int(item[0]))
                ),
                "last_offset": row.last_offset,
                "as_of": row.as_of,
            }
        )

    async def hosts(self, deployment_id: int) -> list[HostLine]:
        """In rollout order; empty until the plan is frozen."""
        # greatest: a host that was never reached has its end written before its start, by a hair.
        end = func.greatest(func.coalesce(HostRunRow.finished_at, func.clock_timestamp()), HostRunRow.started_at)
        rows = await self._session.execute(
            select(
                PlanHostRow.asset_id, AssetRow.name, PlanHostRow.wave, _HOST_STATE.label("state"),
                func.coalesce(HostRunRow.message, "").label("message"),
                HostRunRow.before["version"].as_string().label("before"),
                HostRunRow.after["version"].as_string().label("after"),
                HostRunRow.started_at, HostRunRow.finished_at,
                func.extract("epoch", end - HostRunRow.started_at).label("seconds"),
            )
            .join(DeploymentRow, DeploymentRow.id == PlanHostRow.deployment_id)
            .join(AssetRow, AssetRow.id == PlanHostRow.asset_id)
            .outerjoin(HostRunRow, LATEST_RUN)
            .where(PlanHostRow.deployment_id == deployment_id)
            .order_by(PlanHostRow.position)
        )  # fmt: skip
        return [HostLine.model_validate(row._asdict()) for row in rows]


def _with_waves() -> Select[*tuple[Any, ...]]:
    """Deployments with `waves`: {"1": {"SUCCEEDED": 3, ...}, ...}."""
    per_state = (
        select(PlanHostRow.wave, _HOST_STATE.label("state"), func.count().cast(Integer).label("hosts"))
        .outerjoin(HostRunRow, LATEST_RUN)
        .where(PlanHostRow.deployment_id == DeploymentRow.id)
        .group_by(PlanHostRow.wave, _HOST_STATE)
        .correlate(DeploymentRow)
        .subquery()
    )
    per_wave = (
        select(per_state.c.wave, func.jsonb_object_agg(per_state.c.state, per_state.c.hosts).label("states"))
        .group_by(per_state.c.wave)
        .subquery()
    )
    waves = select(func.jsonb_object_agg(per_wave.c.wave, per_wave.c.states)).scalar_subquery()
    chosen: Select[*tuple[Any, ...]] = select(
        DeploymentRow.id, DeploymentRow.workflow_id, PatchRow.name.label("patch"), DeploymentRow.strategy,
        DeploymentRow.state, DeploymentRow.message, DeploymentRow.requested_by, DeploymentRow.created_at,
        DeploymentRow.started_at, DeploymentRow.finished_at, waves.label("waves"),
    )  # fmt: skip
    return chosen.join(PatchRow, PatchRow.id == DeploymentRow.patch_id)


def _line(row: Row[Any]) -> dict[str, Any]:
    counts: dict[HostState, int] = {}
    waves: Sequence[dict[str, int]] = list((row.waves or {}).values())
    for states in waves:
        for state, hosts in states.items():
            counts[HostState(state)] = counts.get(HostState(state), 0) + hosts
    by_state = Counts(by_state=counts)
    names = DeploymentLine.model_fields.keys() - {"hosts_total", "hosts_done", "counts"}
    return {name: getattr(row, name) for name in names} | {
        "hosts_total": sum(counts.values()),
        "hosts_done": by_state.of(HostState.SUCCEEDED, HostState.SKIPPED),
        "counts": by_state,
    }
