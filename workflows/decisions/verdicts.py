"""What a deployment's counts mean: go on or end, and how it ended (rule 10)."""

from workflows.contracts.names import DeploymentState, HostState
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts
from workflows.decisions.claims import spent_budget


def overshoot(counts: Counts, limits: Thresholds) -> int:
    """Failed hosts beyond the budget: they were in hand when it was spent, so at most max_concurrency - 1 (rule 8)."""
    return max(0, counts.of(HostState.FAILED) - limits.max_failures)


def final_state(counts: Counts, limits: Thresholds, cancelled: bool) -> tuple[DeploymentState, str]:
    """The result of a deployment whose hosts are all settled, and the sentence that says why."""
    good = counts.of(HostState.SUCCEEDED, HostState.SKIPPED)
    total = sum(counts.by_state.values())
    untouched = counts.of(HostState.PENDING, HostState.NOT_STARTED)
    tally = f"{good} of {total} hosts run the fixed version"
    if spent := spent_budget(counts, limits):
        extra = overshoot(counts, limits)
        beyond = f", {extra} beyond the budget was in hand already" if extra else ""
        return DeploymentState.FAILED, f"stopped: {spent}{beyond}; {untouched} hosts were left untouched; {tally}"
    if good == total:
        return DeploymentState.SUCCEEDED, tally
    if cancelled:
        return DeploymentState.CANCELLED, f"cancelled; {untouched} hosts were left untouched; {tally}"
    return DeploymentState.SUCCEEDED_WITH_FAILURES, f"{tally}; no failure budget was spent"
