import pytest

from workflows.contracts.names import RESULTS, DeploymentState, Verb
from workflows.decisions.verbs import refusal

S = DeploymentState


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("state", sorted(RESULTS))
def test_rule_15_a_closed_deployment_refuses_every_verb_with_its_state(verb: Verb, state: DeploymentState) -> None:
    assert state in (refusal(verb, state, False, None, None) or "")


def test_rule_12_promote_is_refused_where_nothing_waits_and_while_paused() -> None:
    assert "RUNNING" in (refusal(Verb.PROMOTE, S.RUNNING, False, None, None) or "")
    assert "resume it first" in (refusal(Verb.PROMOTE, S.PAUSED, False, "after-wave-1", None) or "")


def test_rule_12_a_doubled_promote_that_names_its_wait_ends_nothing_more() -> None:
    assert refusal(Verb.PROMOTE, S.WAITING, False, "after-wave-1", "after-wave-1") is None
    assert "after-wave-1 is over" in (refusal(Verb.PROMOTE, S.WAITING, False, "after-wave-2", "after-wave-1") or "")


def test_rule_15_pause_and_cancel_can_be_said_twice() -> None:
    assert refusal(Verb.PAUSE, S.PAUSED, False, None, None) is None
    assert refusal(Verb.CANCEL, S.RUNNING, True, None, None) is None


def test_resume_is_refused_where_nothing_is_paused() -> None:
    assert "RUNNING" in (refusal(Verb.RESUME, S.RUNNING, False, None, None) or "")


def test_while_it_is_being_cancelled_only_cancel_is_taken() -> None:
    assert "cancelled" in (refusal(Verb.PAUSE, S.RUNNING, True, None, None) or "")
