"""What a host remembers, on this machine's own disk: fence, `before`, records."""

import importlib.util
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from activities.ansible.workspace import CONTENT


def _load() -> Any:
    path = CONTENT / "module_utils" / "vulnzero_state.py"
    spec = importlib.util.spec_from_file_location("vulnzero_state", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


state = _load()


def entered(root: Path, fence: int = 1, deployment: int = 1, attempt: int = 1, kind: str = "patch") -> Any:
    made = state.State(str(root), fence, deployment, attempt, kind)
    made.enter(0)
    return made


def in_a_process(work: Any) -> None:
    """The lock belongs to a process; a second run is a second process."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_the_highest_fence_stays_and_an_older_one_is_refused(tmp_path: Path) -> None:
    in_a_process(lambda: entered(tmp_path, fence=10))
    in_a_process(lambda: entered(tmp_path, fence=10))
    with pytest.raises(state.Fenced) as refused:
        entered(tmp_path, fence=9)
    assert refused.value.seen == 10
    assert int((tmp_path / "lock").read_text()) == 10


def test_a_fence_with_fewer_digits_does_not_inherit_the_tail_of_the_last(tmp_path: Path) -> None:
    in_a_process(lambda: entered(tmp_path, fence=99))
    in_a_process(lambda: entered(tmp_path, fence=1000))
    assert (tmp_path / "lock").read_text() == f"{1000:020d}\n"


def test_a_second_run_is_busy_while_the_first_holds_the_lock(tmp_path: Path) -> None:
    first = entered(tmp_path)
    with pytest.raises(state.Busy):
        entered(tmp_path, fence=2)
    assert first.lock_fd is not None


def test_the_first_writer_of_before_wins(tmp_path: Path) -> None:
    """A later attempt sees a half patched host, and must not take that for what was before."""
    one = entered(tmp_path)
    assert one.keep_before({"version": "1"}) == {"version": "1"}
    assert one.keep_before({"version": "2"}) == {"version": "1"}
    assert not list(tmp_path.glob("*.tmp"))


def record(state_name: str) -> dict[str, Any]:
    return {"state": state_name, "msg": "", "after": {"version": "2"}}


@pytest.mark.parametrize(
    ("ended", "attempt", "answers"),
    [("SUCCEEDED", 1, True), ("SUCCEEDED", 2, True), ("FAILED", 1, True), ("FAILED", 2, False), ("SKIPPED", 2, False)],
)
def test_which_record_answers_which_attempt(tmp_path: Path, ended: str, attempt: int, answers: bool) -> None:
    in_a_process(lambda: entered(tmp_path).finish(record(ended)))
    assert (entered(tmp_path, attempt=attempt).answers() is not None) is answers


def test_a_rollback_that_starts_voids_the_patchs_record_and_the_other_way_round(tmp_path: Path) -> None:
    def patched() -> None:
        one = entered(tmp_path)
        one.start()
        one.finish(record("SUCCEEDED"))

    def rolled_back() -> None:
        one = entered(tmp_path, kind="rollback")
        assert one.left_by_patch() == "2"
        one.start()
        one.finish(record("SUCCEEDED"))

    in_a_process(patched)
    in_a_process(rolled_back)
    assert not (tmp_path / "result-1-patch.json").exists()
    assert (tmp_path / "result-1-rollback.json").exists()
    in_a_process(patched)
    assert not (tmp_path / "result-1-rollback.json").exists()


def test_records_of_two_deployments_do_not_mix(tmp_path: Path) -> None:
    in_a_process(lambda: entered(tmp_path).finish(record("SUCCEEDED")))
    assert entered(tmp_path, deployment=2).answers() is None


def test_the_journal_tells_each_step_and_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = entered(tmp_path)
    one.start()
    one.finish(record("SUCCEEDED"))
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["ARRIVE", "START", "END"]
    assert {line["fence"] for line in lines} == {1}
    monkeypatch.setattr(state, "JOURNAL_LIMIT", 10)
    one.journal("END")
    assert (tmp_path / "journal.1").exists() and not (tmp_path / "journal").exists()


def test_a_damaged_fence_stops_the_run_rather_than_let_an_old_one_in(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("scribble")
    with pytest.raises(ValueError, match="scribble"):
        entered(tmp_path)
