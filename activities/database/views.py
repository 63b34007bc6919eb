"""Read models: what people look at, each in one statement, so that its numbers belong to one moment."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from activities.database.listening import Reader
from workflows.contracts.errors import UnknownThing
from workflows.contracts.inventory import Asset, Patch
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


class HostFact(Contract):
    """What is stored of an asset. `version`: of the patch's package, as its last run left it in `state` at `seen_at`.

    All three are None where no run ever told a version. `held_by` is the deployment that has the asset's lease."""

    asset_id: int
    imported_at: datetime
    version: str | None
    state: HostState | None
    seen_at: datetime | None
    held_by: int | None


class LogLine(Contract):
    """An event as it is read: `offset` counts from 1 within its deployment; `host` is None for the deployment's own."""

    offset: int
    at: datetime
    kind: str  # state, plan, verb, host, task
    host: str | None
    message: str
    data: dict[str, Any] | None


_LATEST = "r.deployment_id = h.deployment_id and r.asset_id = h.asset_id and r.latest"
# A host without a run is PENDING while the deployment is open, and was never started once it is closed.
_HOST_STATE = "coalesce(r.state, case when d.finished_at is null then 'PENDING' else 'NOT_STARTED' end)"
# `waves`: {"1": {"SUCCEEDED": 3, ...}, ...}
_DEPLOYMENTS = f"""
select d.*, p.name as patch, p.severity, p.cves, clock_timestamp() as as_of,
  (select jsonb_object_agg(wave, states) from
    (select wave, jsonb_object_agg(state, hosts) as states from
      (select h.wave, {_HOST_STATE} as state, count(*) as hosts
       from plan_hosts h left join host_runs r on {_LATEST} where h.deployment_id = d.id group by 1, 2) per_state
     group by wave) per_wave) as waves
from deployments d join patches p on p.id = d.patch_id
"""
# greatest: a host that was never reached has its end written before its start, by a hair.
_HOSTS = f"""
select h.asset_id, a.name, h.wave, {_HOST_STATE} as state, coalesce(r.message, '') as message,
  r.before ->> 'version' as before, r.after ->> 'version' as after, r.started_at, r.finished_at,
  extract(epoch from greatest(coalesce(r.finished_at, clock_timestamp()), r.started_at) - r.started_at) as seconds
from plan_hosts h join deployments d on d.id = h.deployment_id join assets a on a.id = h.asset_id
  left join host_runs r on {_LATEST}
where h.deployment_id = %(id)s order by h.position
"""
_FACTS = """
select a.id as asset_id, a.imported_at, seen.version, seen.state, seen.finished_at as seen_at,
  l.deployment_id as held_by
from assets a left join leases l on l.asset_id = a.id left join lateral
  (select coalesce(r.after ->> 'version', r.before ->> 'version') as version, r.state, r.finished_at
   from host_runs r join deployments d on d.id = r.deployment_id
     join patches old on old.id = d.patch_id join patches new on new.id = %(patch)s
   where r.asset_id = a.id and r.latest and r.finished_at is not null
     and coalesce(r.after ->> 'version', r.before ->> 'version') is not null
     and old.platforms -> a.platform ->> 'package' = new.platforms -> a.platform ->> 'package'
   order by r.finished_at desc limit 1) seen on true
where a.id = any(%(assets)s)
"""
_LOG = """
select e."offset", e.at, e.kind, a.name as host, e.message, e.data
from events e left join assets a on a.id = e.asset_id
where e.deployment_id = %(id)s and e."offset" > %(after)s and (%(hosts)s::text[] is null or a.name = any(%(hosts)s))
  and (not %(failed)s or e.data ->> 'state' = any(%(bad)s) or e.data ->> 'status' in ('failed', 'unreachable'))
order by e."offset" limit %(limit)s
"""
_TROUBLE = (HostState.FAILED, HostState.UNREACHABLE, HostState.UNKNOWN, HostState.ROLLBACK_FAILED)


class Views:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def deployments(self, active: bool = False, limit: int = 100) -> list[DeploymentLine]:
        """Newest first. `active`: only those that are not closed."""
        query = _DEPLOYMENTS + ("where d.finished_at is null " if active else "") + "order by d.id desc limit %(limit)s"
        rows = await self._reader.rows(query, limit=limit)
        return [DeploymentLine.model_validate(_line(row)) for row in rows]

    async def deployment(self, deployment_id: int) -> DeploymentView:
        """Raises UnknownThing."""
        rows = await self._reader.rows(_DEPLOYMENTS + "where d.id = %(id)s", id=deployment_id)
        if not rows:
            raise UnknownThing("deployment", deployment_id, "'vulnzero list' shows deployments")
        (row,) = rows
        plan, request = row["plan"] or {}, row["request"]
        ids = request.get("asset_ids") or []
        waves = sorted((row["waves"] or {}).items(), key=lambda wave: int(wave[0]))
        return DeploymentView.model_validate(
            _line(row)
            | {name: row[name] for name in ("severity", "cves", "plan_hash", "last_offset", "as_of")}
            | {
                "selection": request.get("selector") or f"id={','.join(str(asset_id) for asset_id in ids)}",
                "strategy_params": request.get("strategy_params") or {},
                "thresholds": plan.get("thresholds"),
                "wait_seconds": plan.get("wait_seconds", 0.0),
                "notes": plan.get("notes", ()),
                "waves": [
                    WaveLine(number=int(number), hosts=sum(states.values()), counts=Counts(by_state=states))
                    for number, states in waves
                ],
            }
        )

    async def hosts(self, deployment_id: int) -> list[HostLine]:
        """In rollout order; empty until the plan is frozen."""
        return [HostLine.model_validate(row) for row in await self._reader.rows(_HOSTS, id=deployment_id)]

    async def log(
        self, deployment_id: int, after: int, limit: int, hosts: Sequence[str] = (), failed: bool = False
    ) -> list[LogLine]:
        """Events with an offset above `after`, oldest first. `hosts`: of these alone. `failed`: what tells of a
        failed task, or of a host that is FAILED, UNREACHABLE or UNKNOWN by it."""
        rows = await self._reader.rows(
            _LOG,
            id=deployment_id,
            after=after,
            limit=limit,
            hosts=list(hosts) or None,
            failed=failed,
            bad=[state.value for state in _TROUBLE],
        )
        return [LogLine.model_validate(row) for row in rows]

    async def assets(self) -> list[Asset]:
        """By name."""
        rows = await self._reader.rows(f"select {_columns(Asset)} from assets order by name")
        return [Asset.model_validate(row) for row in rows]

    async def asset(self, identity: str) -> Asset:
        """By id or by name. Raises UnknownThing."""
        return Asset.model_validate(await self._one("asset", "assets", Asset, identity))

    async def patches(self) -> list[Patch]:
        """By name."""
        rows = await self._reader.rows(f"select {_columns(Patch)} from patches order by name")
        return [Patch.model_validate(row) for row in rows]

    async def patch(self, identity: str | int) -> Patch:
        """By id or by name. Raises UnknownThing."""
        return Patch.model_validate(await self._one("patch", "patches", Patch, str(identity)))

    async def facts(self, patch_id: int, asset_ids: Sequence[int]) -> dict[int, HostFact]:
        """By asset id."""
        rows = await self._reader.rows(_FACTS, patch=patch_id, assets=list(asset_ids))
        return {row["asset_id"]: HostFact.model_validate(row) for row in rows}

    async def _one(self, kind: str, table: str, model: type[Contract], identity: str) -> dict[str, Any]:
        query = f"select {_columns(model)} from {table} where "
        as_id = identity.isdecimal() and len(identity) < 11
        rows = await self._reader.rows(query + "id = %(id)s", id=int(identity)) if as_id else []
        rows = rows or await self._reader.rows(query + "name = %(name)s", name=identity)
        if not rows:
            raise UnknownThing(kind, identity)
        return rows[0]


def _columns(model: type[Contract]) -> str:
    return ", ".join(f'"{name}"' for name in model.model_fields)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for states in (row["waves"] or {}).values():
        counts.update(states)
    by_state = Counts.model_validate({"by_state": counts})
    names = DeploymentLine.model_fields.keys() - {"hosts_total", "hosts_done", "counts"}
    return {name: row[name] for name in names} | {
        "hosts_total": counts.total(),
        "hosts_done": by_state.of(HostState.SUCCEEDED, HostState.SKIPPED),
        "counts": by_state,
    }
