"""The activities that workflows call: name, argument, result, queue and patience. No implementation.

Every call goes through `Port.call`, so timeouts and retries are said once, here. All times are bounded by what the
work itself may take, never by a number of attempts: a database that is away for an hour fails no deployment.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows.contracts import steps
    from workflows.contracts.model import Contract
    from workflows.contracts.names import Queue
    from workflows.contracts.plans import PlanSummary

In = TypeVar("In", bound=Contract)
Out = TypeVar("Out")

_PATIENTLY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
# A batch that lost its worker goes on as soon as another can take it: waiting longer only leaves hosts half patched.
_AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1.0)


@dataclass(frozen=True)
class Port(Generic[In, Out]):
    name: str
    argument: type[In]
    result: type[Out]
    queue: Queue = Queue.CONTROL
    try_for: timedelta = timedelta(seconds=30)
    heartbeat: timedelta | None = None
    retry: RetryPolicy = field(default_factory=lambda: _PATIENTLY)

    async def call(self, argument: In, summary: str) -> Out:
        """Schedules the activity and waits for it. `summary` is what the Web UI shows beside it."""
        answer: Out = await workflow.execute_activity(
            self.name,
            argument,
            result_type=self.result,
            task_queue=self.queue,
            start_to_close_timeout=self.try_for,
            heartbeat_timeout=self.heartbeat,
            retry_policy=self.retry,
            summary=summary,
        )
        return answer


REGISTER = Port("register", steps.Register, steps.DeploymentRef)
FREEZE_PLAN = Port("freeze_plan", steps.DeploymentRef, PlanSummary)
ADMIT = Port("admit", steps.DeploymentRef, steps.Admission)
ENTER_STATE = Port("enter_state", steps.EnterState, type(None))
RECORD_VERB = Port("record_verb", steps.RecordVerb, type(None))
CLOSE = Port("close", steps.Close, steps.DeploymentResult)
CHECK_CONNECTIVITY = Port(
    "check_connectivity", steps.DeploymentRef, steps.CheckResult,
    queue=Queue.ANSIBLE, try_for=timedelta(minutes=30), heartbeat=timedelta(seconds=30),
)  # fmt: skip
APPLY_BATCH = Port(
    "apply_batch", steps.ApplyBatch, steps.WaveCounts,
    queue=Queue.ANSIBLE, try_for=timedelta(days=1), heartbeat=timedelta(seconds=10), retry=_AT_ONCE,
)  # fmt: skip
PROBE_WAVE = Port(
    "probe_wave", steps.ProbeWave, steps.WaveCounts,
    queue=Queue.ANSIBLE, try_for=timedelta(minutes=30), heartbeat=timedelta(seconds=30),
)  # fmt: skip

ALL = (REGISTER, FREEZE_PLAN, ADMIT, ENTER_STATE, RECORD_VERB, CLOSE, CHECK_CONNECTIVITY, APPLY_BATCH, PROBE_WAVE)
