"""A simulation of everything outside a workflow: the activities of `workflows.ports` over hosts that are only names.

It decides claims with the real `may_start`, so a pause or a spent budget stops it exactly where the real gate would.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows import ports
from workflows.contracts.inventory import Package, Patch
from workflows.contracts.names import Control, DeploymentState, HostState, Kind
from workflows.contracts.plans import PlanHost, PlanSummary
from workflows.contracts.steps import (
    Admission,
    ApplyBatch,
    CheckResult,
    Close,
    Counts,
    DeploymentRef,
    DeploymentResult,
    EnterState,
    ProbeWave,
    RecordVerb,
    Register,
    WaveCounts,
)
from workflows.contracts.strategies import Rolling, StrategyParams
from workflows.decisions.claims import BROKEN, CHANGED, Answer, Host, may_start
from workflows.decisions.planning import plan_for, plan_hash

PATCH = Patch(
    id=1, name="acme-1.0.1", cves=("CVE-2024-12345",), severity="critical",
    platforms={"debian": Package(package="acme", version="1.0.1")},
)  # fmt: skip


@dataclass
class World:
    """`fails` and `unreachable` are positions in the plan; `admissions` answers ADMIT until one is granted."""

    hosts: int = 10
    params: StrategyParams = field(default_factory=Rolling)
    fails: frozenset[int] = frozenset()
    unreachable: frozenset[int] = frozenset()
    sick: frozenset[int] = frozenset()  # patched well, but bad in any probe after the first `sick_after`
    sick_after: int = 0
    refusals: dict[int, int] = field(default_factory=dict)  # position -> how often its claim is refused at first
    admissions: list[Admission] = field(default_factory=list)
    on_host: Callable[[int], Any] | None = None  # called before each host; may return an awaitable
    states: dict[int, HostState] = field(default_factory=dict)
    control: Control = Control.RUN
    entered: list[EnterState] = field(default_factory=list)
    verbs: list[RecordVerb] = field(default_factory=list)
    stuck: frozenset[int] = frozenset()  # cannot be rolled back
    rolled_back: list[int] = field(default_factory=list)
    probes: int = 0
    patched: list[int] = field(default_factory=list)
    closed: Close | None = None
    registered: list[Register] = field(default_factory=list)

    def __post_init__(self) -> None:
        hosts = [PlanHost(asset_id=i, name=f"h{i:05}", platform="debian") for i in range(self.hosts)]
        self.plan = plan_for(PATCH, hosts, self.params)

    def counts(self, first: int = 0, hosts: int | None = None) -> Counts:
        found: dict[HostState, int] = {}
        for position in range(first, self.hosts if hosts is None else first + hosts):
            state = self.states.get(position, HostState.PENDING)
            found[state] = found.get(state, 0) + 1
        return Counts(by_state=found)

    @activity.defn(name=ports.REGISTER.name)
    async def register(self, ask: Register) -> DeploymentRef:
        if ask.request.patch_id == 404:
            raise ApplicationError("no patch 404; 'vulnzero patch list' shows what there is", non_retryable=True)
        self.registered.append(ask)
        return DeploymentRef(deployment_id=7)

    @activity.defn(name=ports.FREEZE_PLAN.name)
    async def freeze_plan(self, ref: DeploymentRef) -> PlanSummary:
        if self.registered[-1].request.selector == "env=nowhere":
            raise ApplicationError("the selector 'env=nowhere' matches no asset", non_retryable=True)
        return PlanSummary(
            deployment_id=ref.deployment_id,
            patch=PATCH.name,
            cves=PATCH.cves,
            severity=PATCH.severity,
            environments=("lab",),
            hosts=self.hosts,
            waves=self.plan.waves,
            thresholds=self.plan.thresholds,
            wait_seconds=self.plan.wait_seconds,
            monitoring=self.plan.monitoring,
            auto_promote=self.plan.auto_promote,
            notes=self.plan.notes,
            hash=plan_hash(self.plan),
        )

    @activity.defn(name=ports.ADMIT.name)
    async def admit(self, ref: DeploymentRef) -> Admission:
        return self.admissions.pop(0) if self.admissions else Admission(granted=True)

    @activity.defn(name=ports.ENTER_STATE.name)
    async def enter_state(self, change: EnterState) -> None:
        self.entered.append(change)

    @activity.defn(name=ports.RECORD_VERB.name)
    async def record_verb(self, verb: RecordVerb) -> None:
        self.verbs.append(verb)
        self.control = verb.control

    @activity.defn(name=ports.CHECK_CONNECTIVITY.name)
    async def check_connectivity(self, ref: DeploymentRef) -> CheckResult:
        self.states.update(dict.fromkeys(self.unreachable, HostState.UNREACHABLE))
        return CheckResult(counts=self.counts(), message=f"{len(self.unreachable)} hosts cannot be reached")

    @activity.defn(name=ports.APPLY_BATCH.name)
    async def apply_batch(self, ask: ApplyBatch) -> WaveCounts:
        if ask.kind is Kind.ROLLBACK:
            return await self._rolled_back(ask)
        for position in range(ask.offset, ask.offset + ask.limit):
            if self.refusals.get(position, 0) > 0:
                self.refusals[position] -= 1
                continue
            host = Host(state=self.states.get(position, HostState.PENDING))
            if may_start(self.control, self.counts(), self.plan.thresholds, self.hosts, host).answer is Answer.START:
                if self.on_host and asyncio.iscoroutine(waiting := self.on_host(position)):
                    await waiting
                self.patched.append(position)
                self.states[position] = HostState.FAILED if position in self.fails else HostState.SUCCEEDED
        return WaveCounts(asked=self.counts(ask.offset, ask.limit), deployment=self.counts())

    async def _rolled_back(self, ask: ApplyBatch) -> WaveCounts:
        for position in range(ask.offset, ask.offset + ask.limit):
            state = self.states.get(position, HostState.PENDING)
            asks = state in (BROKEN if ask.broken_only else CHANGED)
            gate = may_start(
                self.control, self.counts(), self.plan.thresholds, self.hosts, Host(state=state), Kind.ROLLBACK
            )
            if asks and gate.answer is Answer.START:
                if self.on_host and asyncio.iscoroutine(waiting := self.on_host(position)):
                    await waiting
                self.rolled_back.append(position)
                stuck = position in self.stuck
                self.states[position] = HostState.ROLLBACK_FAILED if stuck else HostState.ROLLED_BACK
        return WaveCounts(asked=self.counts(ask.offset, ask.limit), deployment=self.counts())

    @activity.defn(name=ports.PROBE_WAVE.name)
    async def probe_wave(self, ask: ProbeWave) -> WaveCounts:
        self.probes += 1
        for position in self.sick if self.probes > self.sick_after else ():
            if self.states.get(position) is HostState.SUCCEEDED:
                self.states[position] = HostState.FAILED
        return WaveCounts(asked=self.counts(), deployment=self.counts())

    @activity.defn(name=ports.CLOSE.name)
    async def close(self, ask: Close) -> DeploymentResult:
        self.closed = ask
        return DeploymentResult(deployment_id=7, state=ask.state, message=ask.message, counts=self.counts())

    @property
    def activities(self) -> list[Callable[..., Any]]:
        return [
            self.register, self.freeze_plan, self.admit, self.enter_state, self.record_verb,
            self.check_connectivity, self.apply_batch, self.probe_wave, self.close,
        ]  # fmt: skip

    @property
    def states_entered(self) -> list[DeploymentState]:
        return [change.state for change in self.entered]
