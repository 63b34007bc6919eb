"""What every strategy shares: the phases of a deployment, and the verbs that steer it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows import ports
    from workflows.contracts.errors import Refused, RequestError
    from workflows.contracts.names import (
        CONTROL_QUERY,
        MAX_CVES_INDEXED,
        STATUS_QUERY,
        DeploymentState,
        HostState,
        OnFailure,
        Verb,
    )
    from workflows.contracts.plans import PlanSummary
    from workflows.contracts.requests import DeploymentRequest, VerbAnswer
    from workflows.contracts.status import Status
    from workflows.contracts.steps import (
        Close,
        ControlAnswer,
        DeploymentRef,
        DeploymentResult,
        EnterState,
        ProbeWave,
        Register,
    )
    from workflows.contracts.strategies import StrategyParams
    from workflows.decisions.claims import spent_budget
    from workflows.decisions.steps import Step
    from workflows.decisions.verdicts import final_state, overshoot, why_stopped
    from workflows.situation import Situation
    from workflows.steering import Steering
    from workflows.waves import Waves

_ID = SearchAttributeKey.for_int("DeploymentId")
_STATE = SearchAttributeKey.for_keyword("DeploymentState")
_STRATEGY = SearchAttributeKey.for_keyword("Strategy")
_SEVERITY = SearchAttributeKey.for_keyword("Severity")
_ENVIRONMENT = SearchAttributeKey.for_keyword("Environment")
_CVES = SearchAttributeKey.for_keyword_list("Cves")


def refuse(error: RequestError) -> ApplicationError:
    return ApplicationError(str(error), type=type(error).__name__, non_retryable=True)


class Deployment:
    """Base of the strategy workflows: a subclass gives its parameters' model and its steps."""

    def __init__(self, strategy: str) -> None:
        self._now = Situation(strategy=strategy)
        self._steering = Steering(self._now, self._show)
        # Only one write of the deployment's state is under way at a time: a late one would undo a newer one.
        self._ledger = self._steering.ledger

    async def deploy(
        self, raw: Any, params: type[StrategyParams], steps: Callable[[PlanSummary], tuple[Step, ...]]
    ) -> DeploymentResult:
        """The whole deployment. Temporal's own Cancel is a soft cancel: hosts in hand finish."""
        try:
            request = DeploymentRequest.read(raw)
            params.read(request.strategy_params, "strategy_params")
        except RequestError as error:
            raise refuse(error) from None
        flow = asyncio.create_task(self._flow(request, steps))
        while not flow.done():
            try:
                await asyncio.shield(flow)
            except asyncio.CancelledError:
                self._steering.cancelled_from_outside()
            except Exception:  # noqa: BLE001 - the flow's own error is raised below, once handlers are done
                break
        await self._steering.close()
        await workflow.wait_condition(workflow.all_handlers_finished)
        try:
            return flow.result()
        except ActivityError as error:
            # "Activity task failed" tells an operator nothing: the workflow fails with the cause itself.
            kind = error.cause.type if isinstance(error.cause, ApplicationError) else None
            raise ApplicationError(_cause(error), type=kind, non_retryable=True) from error

    async def _flow(
        self, request: DeploymentRequest, steps: Callable[[PlanSummary], tuple[Step, ...]]
    ) -> DeploymentResult:
        info = workflow.info()
        ask = Register(
            workflow_id=info.workflow_id, first_run_id=info.first_execution_run_id, run_id=info.run_id,
            strategy=info.workflow_type, request=request,
        )  # fmt: skip
        registered = await ports.REGISTER.call(ask, "find or make this deployment's row")
        self._now.deployment_id = registered.deployment_id
        self._now.message = f"queued by {request.requested_by}"
        ref = DeploymentRef(deployment_id=registered.deployment_id)
        try:
            self._now.plan = await ports.FREEZE_PLAN.call(ref, "choose hosts, cut waves, hash the plan")
        except ActivityError as error:
            return await self._close(DeploymentState.REJECTED, _cause(error))
        self._index(self._now.plan)
        if not await self._admitted(ref):
            return await self._close(*self._result())
        await self._enter(DeploymentState.CHECKING, f"checking the connection to {self._now.plan.hosts} hosts")
        checked = await ports.CHECK_CONNECTIVITY.call(ref, f"connect to {self._now.plan.hosts} hosts")
        self._now.count(checked.counts, workflow.now())
        if spent_budget(checked.counts, self._now.plan.thresholds):
            return await self._close(DeploymentState.REJECTED, f"{checked.message}; no host was changed")
        waves = Waves(self._now, self._enter, self._show)
        await waves.run(steps(self._now.plan))
        await self._validate(ref)
        await self._put_right(waves)
        return await self._close(*self._result())

    async def _put_right(self, waves: Waves) -> None:
        """What follows a spent budget, and a rollback that somebody asked for (rule 9)."""
        now = self._now
        assert now.plan is not None
        now.spent = why_stopped(now.counts, now.plan.thresholds)
        now.overshoot = overshoot(now.counts, now.plan.thresholds) if now.spent else 0
        policy = now.plan.thresholds.on_failure
        if now.spent and not now.ending and policy is OnFailure.PAUSE:
            now.deciding = True
            await self._enter(DeploymentState.PAUSED, f"{now.spent}: choose rollback or cancel")
            await workflow.wait_condition(lambda: now.ending)
            now.deciding = False
        elif now.spent and not now.ending and policy is OnFailure.ROLLBACK_FAILED:
            now.undone = OnFailure.ROLLBACK_FAILED
            await waves.roll_back(broken_only=True)
        elif now.spent and not now.ending and policy is OnFailure.ROLLBACK:
            now.undo = True
        if now.undo:
            now.undone = OnFailure.ROLLBACK
            await waves.roll_back(broken_only=False)

    async def _admitted(self, ref: DeploymentRef) -> bool:
        """Waits for a slot and the leases of all hosts; False where it was cancelled first."""
        patience = 1.0
        while not self._now.ending:
            await self._steering.while_paused()
            admission = await ports.ADMIT.call(ref, "ask for a slot and the leases of all hosts")
            if admission.granted:
                return True
            await self._enter(DeploymentState.QUEUED, f"waits: {admission.reason}")
            try:
                await workflow.wait_condition(
                    lambda: self._now.ending, timeout=timedelta(seconds=patience),
                    timeout_summary=f"queued: {admission.reason}",
                )  # fmt: skip
            except TimeoutError:
                patience = min(patience * 2, 30.0)
        return False

    async def _validate(self, ref: DeploymentRef) -> None:
        await self._steering.while_paused()
        if self._now.undo or not self._now.counts.of(HostState.SUCCEEDED):
            return
        await self._enter(DeploymentState.VALIDATING, "probing every patched host once more")
        probed = await ports.PROBE_WAVE.call(ProbeWave(deployment_id=ref.deployment_id), "probe all patched hosts")
        self._now.count(probed.deployment, workflow.now())

    def _result(self) -> tuple[DeploymentState, str]:
        if not self._now.counts.by_state:
            return DeploymentState.CANCELLED, "cancelled before anything was started"
        assert self._now.plan is not None
        now = self._now
        return final_state(now.counts, self._now.plan.thresholds, now.cancelling, now.spent, now.undone)

    async def _enter(self, phase: DeploymentState, message: str) -> None:
        """Moves to a phase: in memory at once, then in the ledger."""
        self._now.phase, self._now.message = phase, message
        self._show()
        assert self._now.deployment_id is not None
        async with self._ledger:
            self._now.writes += 1
            entry = EnterState(
                deployment_id=self._now.deployment_id,
                write=self._now.writes,
                state=self._now.state,
                message=self._now.sentence,
            )
            await ports.ENTER_STATE.call(entry, f"{entry.state}: {message}")

    async def _close(self, state: DeploymentState, message: str) -> DeploymentResult:
        self._now.phase, self._now.message, self._now.wait = state, message, None
        self._show()
        assert self._now.deployment_id is not None
        async with self._ledger:
            return await ports.CLOSE.call(
                Close(
                    deployment_id=self._now.deployment_id,
                    state=state,
                    message=message,
                    overshoot=self._now.overshoot,
                ),
                f"{state}: {message}"[:200],
            )

    def _index(self, plan: PlanSummary) -> None:
        """Search attributes, so that lists can be filtered. Missing ones hang a workflow: workers check at start."""
        workflow.upsert_search_attributes(
            [
                _ID.value_set(plan.deployment_id),
                _STRATEGY.value_set(self._now.strategy),
                _SEVERITY.value_set(plan.severity),
                _ENVIRONMENT.value_set(",".join(plan.environments)),
                _CVES.value_set(list(plan.cves[:MAX_CVES_INDEXED])),
            ]
        )
        self._show()

    def _show(self) -> None:
        """What the Web UI tells an operator, renewed at each change."""
        workflow.set_current_details(self._now.details(workflow.now()))
        attributes = workflow.info().typed_search_attributes
        if attributes.get(_STATE) != self._now.state:
            workflow.upsert_search_attributes([_STATE.value_set(self._now.state)])

    @workflow.query(name=STATUS_QUERY)
    def status(self) -> Status:
        return self._now.status(workflow.now())

    @workflow.query(name=CONTROL_QUERY)
    def control(self) -> ControlAnswer:
        return ControlAnswer(control=self._now.control, sequence=self._now.sequence)

    @workflow.update(name=Verb.PROMOTE)
    async def promote(self, raw: Any = None) -> VerbAnswer:
        return await self._steering.update(Verb.PROMOTE, raw)

    @workflow.update(name=Verb.PAUSE)
    async def pause(self, raw: Any = None) -> VerbAnswer:
        return await self._steering.update(Verb.PAUSE, raw)

    @workflow.update(name=Verb.RESUME)
    async def resume(self, raw: Any = None) -> VerbAnswer:
        return await self._steering.update(Verb.RESUME, raw)

    @workflow.update(name=Verb.CANCEL)
    async def cancel(self, raw: Any = None) -> VerbAnswer:
        return await self._steering.update(Verb.CANCEL, raw)

    @workflow.update(name=Verb.ROLLBACK)
    async def rollback(self, raw: Any = None) -> VerbAnswer:
        return await self._steering.update(Verb.ROLLBACK, raw)

    @promote.validator
    def _may_promote(self, raw: Any = None) -> None:
        self._check(Verb.PROMOTE, raw)

    @pause.validator
    def _may_pause(self, raw: Any = None) -> None:
        self._check(Verb.PAUSE, raw)

    @resume.validator
    def _may_resume(self, raw: Any = None) -> None:
        self._check(Verb.RESUME, raw)

    @cancel.validator
    def _may_cancel(self, raw: Any = None) -> None:
        self._check(Verb.CANCEL, raw)

    @rollback.validator
    def _may_roll_back(self, raw: Any = None) -> None:
        self._check(Verb.ROLLBACK, raw)

    @workflow.signal(name=Verb.PROMOTE)
    async def promote_signal(self, raw: Any = None) -> None:
        await self._steering.signal(Verb.PROMOTE, raw)

    @workflow.signal(name=Verb.PAUSE)
    async def pause_signal(self, raw: Any = None) -> None:
        await self._steering.signal(Verb.PAUSE, raw)

    @workflow.signal(name=Verb.RESUME)
    async def resume_signal(self, raw: Any = None) -> None:
        await self._steering.signal(Verb.RESUME, raw)

    @workflow.signal(name=Verb.CANCEL)
    async def cancel_signal(self, raw: Any = None) -> None:
        await self._steering.signal(Verb.CANCEL, raw)

    @workflow.signal(name=Verb.ROLLBACK)
    async def rollback_signal(self, raw: Any = None) -> None:
        await self._steering.signal(Verb.ROLLBACK, raw)

    def _check(self, verb: Verb, raw: Any) -> None:
        try:
            self._steering.check(verb, raw)
        except (RequestError, Refused) as error:
            raise refuse(error) from None


def _cause(error: ActivityError) -> str:
    cause = error.cause
    return cause.message if isinstance(cause, ApplicationError) and cause.message else str(cause or error)
