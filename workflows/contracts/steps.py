"""What workflows hand to activities and get back. Host lists never travel: activities read them from the ledger."""

from collections import Counter
from datetime import datetime

from pydantic import Field

from workflows.contracts.model import Contract
from workflows.contracts.names import Control, DeploymentState, HostState, Kind, Verb
from workflows.contracts.requests import DeploymentRequest

BATCH_LIMIT = 200  # hosts of one Ansible run: beyond it the inventory's own start-up cost shows


class Register(Contract):
    """`first_run_id` is that of the first execution: a retried or continued run finds its own row again."""

    workflow_id: str
    first_run_id: str
    run_id: str
    strategy: str
    request: DeploymentRequest


class DeploymentRef(Contract):
    deployment_id: int


class Admission(Contract):
    granted: bool
    reason: str = ""


class Counts(Contract):
    """Hosts by their current state; states with no host are left out."""

    by_state: dict[HostState, int] = {}

    def of(self, *states: HostState) -> int:
        return sum(self.by_state.get(state, 0) for state in states)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(by_state=dict(Counter(self.by_state) + Counter(other.by_state)))


class CheckResult(Contract):
    """Counts are of the whole deployment, so that the verdict needs nothing else."""

    counts: Counts
    message: str


class ApplyBatch(Contract):
    """Hosts `offset` to `offset + limit` of the plan, counted from 0 over all waves.

    A rollback takes those of them that this deployment changed, or only the broken ones.
    """

    deployment_id: int
    wave: int
    offset: int
    limit: int = Field(le=BATCH_LIMIT)
    kind: Kind = Kind.PATCH
    broken_only: bool = False


class ProbeWave(Contract):
    """Probe the finished hosts of one wave, or of all waves where `wave` is None."""

    deployment_id: int
    wave: int | None = None


class WaveCounts(Contract):
    """What the ledger shows: of the hosts that were asked for, and of the whole deployment."""

    asked: Counts
    deployment: Counts


class EnterState(Contract):
    """`write` numbers the writes of one deployment's state: a late try of an older one must not undo a newer."""

    deployment_id: int
    write: int
    state: DeploymentState
    message: str


class RecordVerb(Contract):
    """`sequence` numbers the verbs of one deployment, `write` the writes of its state, as in EnterState.

    `control` and `state` are what holds after the verb. `applied` is False for a signal that did not apply: it is
    recorded and ignored. `message` is the verb's, `sentence` the deployment's after it.
    """

    deployment_id: int
    verb: Verb
    sequence: int
    write: int
    control: Control
    state: DeploymentState
    by: str
    reason: str
    applied: bool
    message: str
    sentence: str


class Close(Contract):
    deployment_id: int
    state: DeploymentState
    message: str
    overshoot: int = 0


class ControlAnswer(Contract):
    """Answer of the control query: what the workflow wants claims to be told, as of `sequence`."""

    control: Control
    sequence: int


class DeploymentResult(Contract):
    """How a deployment ended. `overshoot`: failed hosts beyond the budget, which were in hand when it was spent."""

    deployment_id: int
    state: DeploymentState
    message: str
    counts: Counts
    overshoot: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def success(self) -> bool:
        return self.state is DeploymentState.SUCCEEDED
