"""The activities that remember: register, plan, admit, states, verbs, close."""

from typing import Any

from temporalio import activity

from activities.database.admission import admit
from activities.database.deployments import Deployments
from activities.database.inventory import Assets, Patches
from activities.database.session import Database
from workflows import ports
from workflows.contracts.inventory import Patch
from workflows.contracts.names import DeploymentState, HostState
from workflows.contracts.plans import Plan, PlanHost, PlanSummary, Thresholds
from workflows.contracts.requests import DeploymentRequest
from workflows.contracts.steps import (
    Admission,
    Close,
    Counts,
    DeploymentRef,
    DeploymentResult,
    EnterState,
    RecordVerb,
    Register,
)
from workflows.contracts.strategies import read_params
from workflows.decisions.planning import plan_for, plan_hash


class LedgerActivities:
    """`slots`: deployments that may run at once. `defaults`: strategy parameters that a request leaves out."""

    def __init__(self, database: Database, slots: int, defaults: dict[str, Any]) -> None:
        self._database = database
        self._slots = slots
        self._defaults = defaults

    @activity.defn(name=ports.REGISTER.name)
    async def register(self, ask: Register) -> DeploymentRef:
        async with self._database.transaction() as session:
            await Patches(session).get(ask.request.patch_id)
            return DeploymentRef(deployment_id=await Deployments(session).register(ask))

    @activity.defn(name=ports.FREEZE_PLAN.name)
    async def freeze_plan(self, ref: DeploymentRef) -> PlanSummary:
        """Chooses the hosts and cuts the waves, once: a retry answers from the frozen plan (rule 1)."""
        async with self._database.transaction() as session:
            deployments = Deployments(session)
            row = await deployments.locked(ref.deployment_id)
            request = DeploymentRequest.model_validate(row.request)
            if row.plan is None:
                patch = await Patches(session).get(request.patch_id)
                plan, hosts = await make_plan(Assets(session), patch, row.strategy, request, self._defaults)
                environments = sorted({host.labels["env"] for host in hosts if "env" in host.labels})
                await deployments.freeze(row, plan, plan_hash(plan), environments)
            assert row.plan is not None and row.plan_hash is not None
            stored = row.plan
            patch = Patch.model_validate(stored["patch"])
            thresholds = Thresholds.model_validate(stored["thresholds"])
            return PlanSummary(
                deployment_id=row.id,
                patch=patch.name,
                cves=patch.cves,
                severity=patch.severity,
                environments=tuple(stored["environments"]),
                hosts=sum(wave["hosts"] for wave in stored["waves"]),
                waves=stored["waves"],
                thresholds=thresholds,
                wait_seconds=stored["wait_seconds"],
                monitoring=stored["monitoring"],
                auto_promote=stored["auto_promote"],
                notes=stored["notes"],
                hash=row.plan_hash,
            )

    @activity.defn(name=ports.ADMIT.name)
    async def admit(self, ref: DeploymentRef) -> Admission:
        async with self._database.transaction() as session:
            return await admit(session, ref.deployment_id, self._slots)

    @activity.defn(name=ports.ENTER_STATE.name)
    async def enter_state(self, change: EnterState) -> None:
        async with self._database.transaction() as session:
            await Deployments(session).enter(change)

    @activity.defn(name=ports.RECORD_VERB.name)
    async def record_verb(self, verb: RecordVerb) -> None:
        async with self._database.transaction() as session:
            await Deployments(session).record_verb(verb)

    @activity.defn(name=ports.CLOSE.name)
    async def close(self, ask: Close) -> DeploymentResult:
        async with self._database.transaction() as session:
            deployments = Deployments(session)
            row = await deployments.close(ask.deployment_id, ask.state, ask.message)
            counts = not_started(await deployments.counts(row.id))
            return DeploymentResult(
                deployment_id=row.id,
                state=DeploymentState(row.state),
                message=row.message,
                counts=counts,
                overshoot=ask.overshoot,
                started_at=row.started_at,
                finished_at=row.finished_at,
            )


async def make_plan(
    assets: Assets, patch: Patch, strategy: str, request: DeploymentRequest, defaults: dict[str, Any]
) -> tuple[Plan, list[PlanHost]]:
    """The plan and its hosts. Raises a RequestError for hosts, platforms or parameters that do not fit."""
    if request.asset_ids is not None:
        chosen = [
            PlanHost(asset_id=asset.id, name=asset.name, platform=asset.platform, labels=asset.labels)
            for asset in await assets.by_ids(request.asset_ids)
        ]
    else:
        chosen = await assets.select(request.selector or "")
    return plan_for(patch, chosen, read_params(strategy, request.strategy_params, defaults)), chosen


def not_started(counts: Counts) -> Counts:
    """Of a closed deployment: what was pending will never start."""
    return Counts(
        by_state={
            (HostState.NOT_STARTED if state is HostState.PENDING else state): number
            for state, number in counts.by_state.items()
        }
    )
