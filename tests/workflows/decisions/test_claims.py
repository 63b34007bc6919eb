from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workflows.contracts.names import Control, HostState, OnFailure
from workflows.contracts.plans import Thresholds
from workflows.contracts.steps import Counts
from workflows.decisions.claims import Answer, Host, may_start, spent_budget

PENDING = Host(state=HostState.PENDING)


def limits(**changes: Any) -> Thresholds:
    values: dict[str, Any] = {
        "max_failures": 2, "max_unreachable": 2, "max_concurrency": 3, "min_healthy": 0, "host_timeout": 300,
        "on_failure": OnFailure.STOP,
    }  # fmt: skip
    return Thresholds(**values | changes)


def counts(**states: int) -> Counts:
    return Counts(by_state={HostState(state): number for state, number in states.items()})


def ask(control: Control = Control.RUN, host: Host = PENDING, hosts: int = 10, **states: int) -> Answer:
    return may_start(control, counts(**states), limits(), hosts, host).answer


def test_a_pending_host_starts() -> None:
    assert ask() is Answer.START


def test_rule_8_no_host_starts_once_a_budget_is_spent() -> None:
    assert ask(FAILED=1) is Answer.START
    assert ask(FAILED=2) is Answer.NO


def test_rule_6_failed_and_unreachable_are_counted_apart() -> None:
    assert ask(FAILED=1, UNREACHABLE=1) is Answer.START
    assert ask(UNREACHABLE=2) is Answer.NO


def test_an_unknown_host_counts_as_one_that_cannot_be_reached() -> None:
    assert ask(UNREACHABLE=1, UNKNOWN=1) is Answer.NO


def test_a_host_waits_while_max_concurrency_is_in_hand() -> None:
    assert ask(RUNNING=2) is Answer.START
    assert ask(RUNNING=3) is Answer.WAIT


def test_rule_11_a_pause_starts_nothing_new() -> None:
    assert ask(Control.PAUSE) is Answer.NO


def test_rule_13_a_cancel_starts_nothing_new() -> None:
    assert ask(Control.STOP) is Answer.NO


@given(st.sampled_from([Control.RUN, Control.PAUSE, Control.STOP]), st.integers(0, 9), st.integers(0, 9))
def test_rule_16_a_host_left_behind_goes_on_in_spite_of_pause_and_budget(
    control: Control, failed: int, running: int
) -> None:
    left = Host(state=HostState.RUNNING, left_behind=True)
    assert ask(control, left, FAILED=failed, RUNNING=running) is Answer.START


def test_a_lost_host_waits_for_a_free_place_since_it_gave_its_own_away() -> None:
    lost = Host(state=HostState.UNKNOWN, left_behind=True)
    assert ask(host=lost, UNKNOWN=1, RUNNING=2) is Answer.START
    assert ask(host=lost, UNKNOWN=1, RUNNING=3) is Answer.WAIT


def test_after_halt_not_even_a_host_left_behind_goes_on() -> None:
    assert ask(Control.HALT, Host(state=HostState.RUNNING, left_behind=True)) is Answer.NO


@given(st.sampled_from([state for state in HostState if state is not HostState.PENDING]))
def test_rule_16_no_host_with_a_state_of_its_own_starts_again(state: HostState) -> None:
    assert ask(host=Host(state=state)) is Answer.NO


@given(st.sampled_from([HostState.SUCCEEDED, HostState.SKIPPED, HostState.FAILED]))
def test_rule_16_a_finished_host_is_never_run_again_even_when_left_behind(state: HostState) -> None:
    assert ask(host=Host(state=state, left_behind=True)) is Answer.NO


def test_min_healthy_holds_a_host_back_while_others_are_in_hand_and_refuses_it_for_good_otherwise() -> None:
    tight = limits(min_healthy=3)
    assert may_start(Control.RUN, counts(), tight, 4, PENDING).answer is Answer.START
    assert may_start(Control.RUN, counts(RUNNING=1), tight, 4, PENDING).answer is Answer.WAIT
    assert may_start(Control.RUN, counts(FAILED=1), tight, 4, PENDING).answer is Answer.NO


@given(
    st.integers(1, 40), st.integers(1, 10), st.integers(0, 39), st.integers(1, 5), st.lists(st.booleans(), min_size=40)
)
def test_a_whole_rollout_never_breaks_its_limits(
    hosts: int, concurrency: int, floor: int, budget: int, fates: list[bool]
) -> None:
    """Drives the gate alone: at most C in hand, at least min_healthy in service, overshoot at most C - 1 (rule 8)."""
    rules = limits(
        max_concurrency=concurrency, min_healthy=min(floor, hosts - 1), max_failures=budget, max_unreachable=99
    )
    running = failed = done = 0
    for fate in fates[:hosts]:
        while True:
            answer = may_start(
                Control.RUN, counts(RUNNING=running, FAILED=failed, SUCCEEDED=done), rules, hosts, PENDING
            ).answer
            if answer is not Answer.WAIT:
                break
            running, done = running - 1, done + 1
        if answer is Answer.NO:
            break
        running += 1
        assert running <= concurrency
        assert hosts - failed - running >= rules.min_healthy
        if fate:
            running, failed = running - 1, failed + 1
    assert failed + running - budget <= concurrency - 1 or failed < budget


def test_the_spent_budget_is_told_in_numbers() -> None:
    assert spent_budget(counts(FAILED=2), limits()) == "2 of at most 2 failed hosts"
    assert spent_budget(counts(FAILED=1), limits()) is None
