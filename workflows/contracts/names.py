"""The names that cross a boundary. A name here is public: histories, dashboards and other people's clients hold it."""

from enum import StrEnum


class WorkflowType(StrEnum):
    ALL_AT_ONCE = "AllAtOnceDeployment"
    ROLLING = "RollingDeployment"
    CANARY = "CanaryDeployment"


class Queue(StrEnum):
    WORKFLOWS = "vulnzero-workflows"
    CONTROL = "vulnzero-control"
    ANSIBLE = "vulnzero-ansible"


class Verb(StrEnum):
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    ROLLBACK = "rollback"


class Control(StrEnum):
    """What the claim gate is told: run; start nothing new (pause, stop); not even what was in hand (halt)."""

    RUN = "run"
    PAUSE = "pause"
    STOP = "stop"
    HALT = "halt"


class DeploymentState(StrEnum):
    QUEUED = "QUEUED"
    CHECKING = "CHECKING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    GATED = "GATED"
    VALIDATING = "VALIDATING"
    ROLLING_BACK = "ROLLING_BACK"
    SUCCEEDED = "SUCCEEDED"
    SUCCEEDED_WITH_FAILURES = "SUCCEEDED_WITH_FAILURES"
    FAILED = "FAILED"
    ROLLED_BACK = "ROLLED_BACK"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"

    @property
    def is_result(self) -> bool:
        return self in RESULTS


RESULTS = frozenset(
    {
        DeploymentState.SUCCEEDED,
        DeploymentState.SUCCEEDED_WITH_FAILURES,
        DeploymentState.FAILED,
        DeploymentState.ROLLED_BACK,
        DeploymentState.ROLLBACK_FAILED,
        DeploymentState.CANCELLED,
        DeploymentState.REJECTED,
    }
)


class HostState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNREACHABLE = "UNREACHABLE"
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"
    ROLLED_BACK = "ROLLED_BACK"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    SUPERSEDED = "SUPERSEDED"
    NOT_STARTED = "NOT_STARTED"


class OnFailure(StrEnum):
    """What follows a spent budget: every changed host goes back, only broken ones do, a person decides, or nothing."""

    ROLLBACK = "rollback"
    ROLLBACK_FAILED = "rollback_failed"
    PAUSE = "pause"
    STOP = "stop"


class Kind(StrEnum):
    """Which way a host is taken; the records on the host are kept apart by it."""

    PATCH = "patch"
    ROLLBACK = "rollback"


STATUS_QUERY = "status"
CONTROL_QUERY = "control"

# The type names are those of `temporal operator search-attribute create --type`.
SEARCH_ATTRIBUTES = {
    "DeploymentId": "Int",
    "DeploymentState": "Keyword",
    "Strategy": "Keyword",
    "Severity": "Keyword",
    "Environment": "Keyword",
    "Cves": "KeywordList",
}
MAX_CVES_INDEXED = 100  # 140 made the server terminate the workflow that set them


def workflow_id(deployment_id: int) -> str:
    return f"deployment-{deployment_id}"
