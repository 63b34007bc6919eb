"""Old histories must run through today's code: a deployment that waits over an upgrade goes on where it stood."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.workflows.scenarios import HISTORIES, SCENARIOS
from workers.registry import WORKFLOWS, runner

MEND = """
{name}: today's workflow code does other things than this recorded deployment did, so deployments that are open on a
server would be stuck after an upgrade. Keep the old way for them:

    if workflow.patched("what-changed"):
        new way
    else:
        old way

and record a new history beside the old one. Only a workflow that no server runs any more may be recorded anew
(pytest tests/workflows/record_histories.py).
"""


async def replay(path: Path) -> None:
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=runner(), data_converter=pydantic_data_converter)
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    try:
        await replayer.replay_workflow(history)
    except NondeterminismError as error:
        raise AssertionError(MEND.format(name=path.name)) from error


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_recorded_deployment_replays(path: Path) -> None:
    await replay(path)


def test_every_scenario_has_its_history() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} >= set(SCENARIOS)


async def test_a_history_that_does_not_fit_is_noticed_and_the_mend_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    text = (HISTORIES / "rolling-done.json").read_text()
    broken.write_text(text.replace('"name": "freeze_plan"', '"name": "thaw_plan"'))
    with pytest.raises(AssertionError, match=r"workflow\.patched"):
        await replay(broken)
