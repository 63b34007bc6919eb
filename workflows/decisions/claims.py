"""May this host start now? The one gate that every host passes, whoever asks and however often (rules 6, 8, 11, 16)."""

from enum import StrEnum

from workflows.contracts.model import Contract
from workflows.contracts.names import Control, HostState, Kind
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts


class Answer(StrEnum):
    START = "start"
    WAIT = "wait"
    NO = "no"


class Host(Contract):
    """`left_behind`: an earlier try of the same batch claimed the host and its worker is gone."""

    state: HostState
    left_behind: bool = False


class Decision(Contract):
    answer: Answer
    reason: str = ""


START = Decision(answer=Answer.START)


def _no(reason: str) -> Decision:
    return Decision(answer=Answer.NO, reason=reason)


def spent_budget(counts: Counts, limits: Thresholds) -> str | None:
    """Which failure budget is spent, as a sentence; None while there is room (rules 3 and 6).

    UNKNOWN counts with UNREACHABLE: a host nobody can look at is no reason to take the next one.
    """
    failed = counts.of(HostState.FAILED)
    unknown = counts.of(HostState.UNKNOWN)
    lost = counts.of(HostState.UNREACHABLE) + unknown
    if failed >= limits.max_failures:
        return f"{failed} of at most {limits.max_failures} failed hosts"
    if lost >= limits.max_unreachable:
        which = f", {unknown} of them in an unknown state" if unknown else ""
        return f"{lost} of at most {limits.max_unreachable} unreachable hosts{which}"
    return None


# What a rollback takes: hosts that this deployment changed, or may have.
CHANGED = (HostState.SUCCEEDED, HostState.FAILED, HostState.UNKNOWN)
BROKEN = (HostState.FAILED, HostState.UNKNOWN)


def may_start(
    control: Control, counts: Counts, limits: Thresholds, hosts: int, host: Host, kind: Kind = Kind.PATCH
) -> Decision:
    """Decides on one host. `counts` are current states over the whole deployment of `hosts` hosts."""
    if control is Control.HALT:
        return _no("the deployment is halted")
    in_hand = counts.of(HostState.RUNNING)
    full = Decision(answer=Answer.WAIT, reason=f"{in_hand} hosts are in hand")
    if host.left_behind and host.state in (HostState.RUNNING, HostState.UNKNOWN):
        # In spite of pause and budget: the dead worker may have left it half patched. A RUNNING one is in hand
        # already; an UNKNOWN one gave its place away when it was lost, and needs a free one.
        return full if host.state is HostState.UNKNOWN and in_hand >= limits.max_concurrency else START
    if control is Control.PAUSE:
        return _no("the deployment is paused")
    if kind is Kind.PATCH:
        if host.state is not HostState.PENDING:
            return _no(f"the host is {host.state} already")
        if control is Control.STOP:
            return _no("the deployment is stopping")
        if spent := spent_budget(counts, limits):
            return _no(f"the failure budget is spent: {spent}")
    elif host.state not in CHANGED:
        return _no(f"the host is {host.state}: there is nothing to undo")
    if in_hand >= limits.max_concurrency:
        return full
    if host.state in BROKEN:
        return START  # it serves nobody as it is
    broken = counts.of(*BROKEN, HostState.UNREACHABLE, HostState.ROLLBACK_FAILED)
    if hosts - broken - in_hand - 1 < limits.min_healthy:
        reason = f"fewer than {limits.min_healthy} hosts would stay in service"
        return Decision(answer=Answer.WAIT, reason=reason) if in_hand else _no(reason)
    return START
