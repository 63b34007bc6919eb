"""A plan: frozen hosts in waves, and every threshold as a count (rules 1-3)."""

from workflows.contracts.inventory import Patch
from workflows.contracts.model import Contract
from workflows.contracts.names import OnFailure


class Wave(Contract):
    """Waves are numbered from 1; `first` is the position of its first host in the plan, from 0."""

    number: int
    first: int
    hosts: int


class Thresholds(Contract):
    """Counts of hosts; `max_failures` is already 1 where continue_on_error is false."""

    max_failures: int
    max_unreachable: int
    max_concurrency: int
    min_healthy: int
    host_timeout: int  # seconds
    on_failure: OnFailure


class PlanHost(Contract):
    """What the planner needs to know of a host."""

    asset_id: int
    name: str
    platform: str
    labels: dict[str, str] = {}


class Plan(Contract):
    """The whole plan, as the ledger stores and hashes it. Hosts are asset ids in rollout order.

    The patch is in it whole: one that is imported anew in the middle of a deployment must not change that one.
    """

    strategy: str
    patch: Patch
    hosts: tuple[int, ...]
    waves: tuple[Wave, ...]
    thresholds: Thresholds
    wait_seconds: float = 0.0
    monitoring: float = 0.0  # seconds
    auto_promote: bool = True
    notes: tuple[str, ...] = ()


class PlanSummary(Contract):
    """A plan without its hosts: those never travel through Temporal."""

    deployment_id: int
    patch: str
    cves: tuple[str, ...]
    severity: str
    environments: tuple[str, ...]
    hosts: int
    waves: tuple[Wave, ...]
    thresholds: Thresholds
    wait_seconds: float
    monitoring: float = 0.0
    auto_promote: bool = True
    notes: tuple[str, ...]
    hash: str
