"""Recorded event streams and what they mean for each host: one file in cases/ a case, a new case is a new file."""

import json
from pathlib import Path
from typing import Any

import pytest

from activities.ansible.job import CUT_MARK, MESSAGE_LIMIT, Line, Outcome, Started, TaskEvent
from activities.ansible.outcomes import Outcomes

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


class Said:
    """Marks as a case gives them."""

    def __init__(self, asked: list[str], reached: list[str]) -> None:
        self._asked, self._reached = asked, reached

    def asked(self, host: str) -> bool:
        return host in self._asked

    def reached(self, host: str) -> bool:
        return host in self._reached


def event(task: str, kind: str, **result: Any) -> dict[str, Any]:
    data = {"host": "h", "task": task, "res": result, "duration": 1.5}
    return {"event": f"runner_on_{kind}", "created": "2026-11-24T06:00:00+00:00", "event_data": data}


GRANTED = event("claim", "ok", granted=True, fence=7)


def outcomes_of(*events: dict[str, Any], reached: bool = True) -> list[Outcome]:
    outcomes = Outcomes(["h"], Said(["h"], ["h"] if reached else []))
    lines = [line for one in events for line in outcomes.take(one)] + outcomes.close("Ansible ended")
    return [line for line in lines if isinstance(line, Outcome)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_recorded_run_has_these_outcomes(path: Path) -> None:
    case = json.loads(path.read_text())
    outcomes = Outcomes(case["hosts"], Said(case["asked"], case["reached"]), case["mode"])
    lines: list[Line] = []
    for one in case["events"]:
        lines += outcomes.take(one)
    lines += outcomes.close(case["close"])
    found = [line.model_dump(mode="json", exclude={"type"}) for line in lines if isinstance(line, Outcome)]
    assert {one.pop("host"): one for one in found} == case["outcomes"]
    assert len(found) == len(case["hosts"])


def test_a_patch_begins_when_its_claim_is_granted_not_when_its_task_is_queued() -> None:
    outcomes = Outcomes(["h"], Said([], []))
    assert not any(isinstance(line, Started) for line in outcomes.take(event("claim", "start")))
    assert Started(host="h") in outcomes.take(GRANTED)


def test_the_log_has_one_line_a_task_and_none_for_a_granted_claim() -> None:
    stream = [event("claim", "start"), GRANTED, event("patch", "start"), event("patch", "ok", state="SUCCEEDED")]
    outcomes = Outcomes(["h"], Said([], []))
    told = [line for one in stream for line in outcomes.take(one) if isinstance(line, TaskEvent)]
    assert [(line.task, line.status) for line in told] == [("patch", "ok")]


@pytest.mark.parametrize(
    ("kind", "result"),
    [("ok", {"granted": False, "reason": "paused"}), ("failed", {"msg": "no such socket"}), ("unreachable", {})],
)
def test_a_claim_that_was_not_granted_is_told(kind: str, result: dict[str, Any]) -> None:
    told, outcome = Outcomes(["h"], Said([], [])).take(event("claim", kind, **result))
    assert isinstance(told, TaskEvent) and (told.task, told.status) == ("claim", kind)
    assert isinstance(outcome, Outcome) and outcome.state == "NOT_CLAIMED"
    assert told.message in outcome.message


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"state": "SPLENDID"},
        {"state": ["SUCCEEDED"]},
        {"state": "NOTHING_CHANGED"},
        {"changed": True, "msg": "done"},
        {"state": "FAILED"},
    ],
)
def test_an_answer_that_is_not_our_modules_is_unknown_and_never_a_success(result: dict[str, Any]) -> None:
    (outcome,) = outcomes_of(GRANTED, event("patch", "ok", **result))
    assert outcome.state == "UNKNOWN"


def test_a_failed_task_that_claims_success_is_unknown() -> None:
    (outcome,) = outcomes_of(GRANTED, event("patch", "failed", state="SUCCEEDED", msg="fine"))
    assert outcome.state == "UNKNOWN"


def test_a_host_lost_after_a_session_was_opened_is_never_unreachable() -> None:
    """Rule 16."""
    lost = event("patch", "unreachable", msg="Connection closed")
    assert [outcome.state for outcome in outcomes_of(GRANTED, lost)] == ["UNKNOWN"]
    assert [outcome.state for outcome in outcomes_of(GRANTED, lost, reached=False)] == ["UNREACHABLE"]


def test_the_first_outcome_of_a_host_is_its_only_one() -> None:
    good = event("patch", "ok", state="SUCCEEDED", msg="done")
    assert len(outcomes_of(GRANTED, good, good, event("patch", "unreachable"))) == 1


def test_a_message_of_any_size_is_cut_and_says_so() -> None:
    (outcome,) = outcomes_of(GRANTED, event("patch", "failed", state="FAILED", msg="ä" * 100_000))
    assert outcome.message.endswith(CUT_MARK)
    assert len(outcome.message.encode()) <= MESSAGE_LIMIT


def test_evidence_too_large_to_be_true_is_dropped_and_the_outcome_stands() -> None:
    huge = event("patch", "ok", state="SUCCEEDED", msg="done", before={"x": "y" * 1_000_000}, after=["no dict"])
    (outcome,) = outcomes_of(GRANTED, huge)
    assert (outcome.state, outcome.before, outcome.after) == ("SUCCEEDED", None, None)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"event": "runner_on_ok"},
        {"event": "runner_on_ok", "event_data": None},
        event("patch", "ok") | {"created": "?"},
    ],
)
def test_no_event_however_odd_raises(odd: dict[str, Any]) -> None:
    assert len(outcomes_of(GRANTED, odd)) == 1
