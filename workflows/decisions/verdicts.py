"""What a deployment's counts mean: go on or end, and how it ended (rule 10)."""

from workflows.contracts.names import DeploymentState, HostState, OnFailure
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts
from workflows.decisions.claims import spent_budget


def overshoot(counts: Counts, limits: Thresholds) -> int:
    """Failed hosts beyond the budget: they were in hand when it was spent, so at most max_concurrency - 1 (rule 8)."""
    return max(0, counts.of(HostState.FAILED) - limits.max_failures)


def why_stopped(counts: Counts, limits: Thresholds) -> str | None:
    """The spent budget, and by how much it was overshot; None where there is room left."""
    spent = spent_budget(counts, limits)
    if spent is None:
        return None
    extra = overshoot(counts, limits)
    return f"stopped: {spent}" + (f", {extra} beyond the budget was in hand already" if extra else "")


def final_state(
    counts: Counts,
    limits: Thresholds,
    cancelled: bool,
    spent: str | None = None,
    undone: OnFailure | None = None,
) -> tuple[DeploymentState, str]:
    """The result of a deployment whose hosts are all settled, and the sentence that says why.

    `spent` is the budget that ended the patching, `undone` which hosts were put back after it.
    """
    good = counts.of(HostState.SUCCEEDED, HostState.SKIPPED)
    total = sum(counts.by_state.values())
    untouched = counts.of(HostState.PENDING, HostState.NOT_STARTED)
    back = counts.of(HostState.ROLLED_BACK)
    stuck = counts.of(HostState.ROLLBACK_FAILED, HostState.UNKNOWN) if undone else 0
    tally = f"{good} of {total} hosts run the fixed version"
    spent = spent or why_stopped(counts, limits)
    why = spent or "rolled back by request"
    if stuck:
        return DeploymentState.ROLLBACK_FAILED, f"{why}; {stuck} hosts could not be put back, {back} were; {tally}"
    if undone is OnFailure.ROLLBACK and counts.of(HostState.SUCCEEDED):
        left = counts.of(HostState.SUCCEEDED)
        return DeploymentState.ROLLBACK_FAILED, f"{why}; {left} hosts were not put back, {back} were"
    if undone is OnFailure.ROLLBACK:
        return DeploymentState.ROLLED_BACK, f"{why}; {back} hosts run again what they ran before"
    if spent:
        put_back = f"{back} broken hosts run again what they ran before; " if undone else ""
        return DeploymentState.FAILED, f"{spent}; {put_back}{untouched} hosts were left untouched; {tally}"
    if good == total:
        return DeploymentState.SUCCEEDED, tally
    if cancelled:
        return DeploymentState.CANCELLED, f"cancelled; {untouched} hosts were left untouched; {tally}"
    return DeploymentState.SUCCEEDED_WITH_FAILURES, f"{tally}; no failure budget was spent"
