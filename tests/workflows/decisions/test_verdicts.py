from tests.workflows.decisions.test_claims import counts, limits
from workflows.contracts.names import DeploymentState
from workflows.decisions.verdicts import final_state, overshoot


def test_rule_10_all_hosts_fixed_or_fixed_before_is_success() -> None:
    state, why = final_state(counts(SUCCEEDED=3, SKIPPED=2), limits(), cancelled=False)
    assert (state, why) == (DeploymentState.SUCCEEDED, "5 of 5 hosts run the fixed version")


def test_rule_10_some_hosts_missing_and_no_budget_spent_is_success_with_failures() -> None:
    state, _ = final_state(counts(SUCCEEDED=3, FAILED=1), limits(), cancelled=False)
    assert state is DeploymentState.SUCCEEDED_WITH_FAILURES


def test_rule_10_a_spent_budget_is_failure_and_one_sentence_says_why() -> None:
    state, why = final_state(counts(SUCCEEDED=1, FAILED=3, PENDING=4), limits(), cancelled=False)
    assert state is DeploymentState.FAILED
    assert why == (
        "stopped: 3 of at most 2 failed hosts, 1 beyond the budget was in hand already; "
        "4 hosts were left untouched; 1 of 8 hosts run the fixed version"
    )


def test_rule_8_the_result_says_how_many_failed_beyond_the_budget() -> None:
    assert overshoot(counts(FAILED=4), limits()) == 2
    assert overshoot(counts(FAILED=1), limits()) == 0


def test_rule_13_a_cancelled_deployment_says_what_it_left_untouched() -> None:
    state, why = final_state(counts(SUCCEEDED=1, PENDING=4), limits(), cancelled=True)
    assert state is DeploymentState.CANCELLED
    assert "4 hosts were left untouched" in why


def test_a_cancel_that_came_too_late_changes_no_result() -> None:
    assert final_state(counts(SUCCEEDED=4), limits(), cancelled=True)[0] is DeploymentState.SUCCEEDED
