"""The answer of the `status` query: one object that tells where a deployment is."""

from datetime import datetime

from workflows.contracts.model import Contract
from workflows.contracts.names import DeploymentState
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts


class WaveStatus(Contract):
    number: int
    hosts: int
    state: str  # pending, running, done, stopped


class Waiting(Contract):
    """What a deployment waits for; `until` is None while paused, when only `remaining_seconds` is certain."""

    wait_id: str
    what: str
    until: datetime | None
    remaining_seconds: float


class Status(Contract):
    deployment_id: int | None
    strategy: str
    state: DeploymentState
    message: str
    step: str
    patch: str = ""
    plan_hash: str = ""
    counts: Counts = Counts()
    as_of: datetime | None = None
    waves: tuple[WaveStatus, ...] = ()
    thresholds: Thresholds | None = None
    waits_for: Waiting | None = None
    wait_id: str | None = None
