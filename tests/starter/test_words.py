"""What a client writes into the ledger is read as it was meant, whatever JSON tools it passes on the way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starter.words import in_users_words, workflow_type
from workflows.contracts import AllAtOnce, Canary, Rolling, StrategyParams
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.names import OnFailure, WorkflowType
from workflows.contracts.strategies import Size, Stage, read_params

SIZES = st.builds(Size, share=st.fractions(0, 1).filter(bool).map(str)) | st.builds(Size, count=st.integers(1, 10**6))
SELECTORS = st.sampled_from(["ring=0", "zone in (a,b)", "env=prod,tier!=db", "id=1,2", "all", "canary", "!old"])
STAGES = st.builds(Stage, size=SIZES) | st.builds(Stage, selector=SELECTORS)


@given(st.lists(STAGES, min_size=1, max_size=4))
def test_stages_are_the_same_after_json(stages: list[Stage]) -> None:
    canary = Canary(stages=stages)
    assert Canary.read(json.loads(json.dumps(in_users_words(canary)))) == canary


@given(SIZES, SIZES)
def test_sizes_are_the_same_after_json(batch: Size, healthy: Size) -> None:
    rolling = Rolling(batch_size=batch, min_healthy=healthy)
    assert Rolling.read(json.loads(json.dumps(in_users_words(rolling)))) == rolling


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (0.1, "10%"), ("10%", "10%"), ("4 hosts", "4 hosts"), ("1 host", "1 host"), ("ring=0", "ring=0"),
        (1, "100%"), (1.0, "100%"), ("100%", "100%"),
    ],
)  # fmt: skip
def test_a_stage_is_written_as_people_write_it_and_all_hosts_stay_all_hosts(stage: Any, words: str) -> None:
    assert in_users_words(Canary(stages=[stage])) == {"stages": [words]}


def test_only_what_was_set_goes_out() -> None:
    assert in_users_words(AllAtOnce()) == {}
    asked = Canary(on_failure=OnFailure.STOP, auto_promote=False, monitoring_duration=5)
    assert in_users_words(asked) == {"auto_promote": False, "monitoring_duration": 5.0, "on_failure": "stop"}


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        (
            WorkflowType.ROLLING,
            {"batch_size": 0.2, "wait_seconds": 60, "max_failures": 2, "continue_on_error": False},
        ),
        (
            WorkflowType.CANARY,
            {
                "stages": [0.1, 0.5, 1.0], "monitoring_duration": 900, "auto_promote": True,
                "rollback_on_failure": True,
            },
        ),
    ],
)  # fmt: skip
def test_the_parameter_dictionaries_of_the_seed_are_taken_as_they_are(kind: WorkflowType, seed: dict[str, Any]) -> None:
    read = read_params(kind, seed)
    assert workflow_type(read) is kind
    assert read_params(kind, json.loads(json.dumps(in_users_words(read)))) == read
    # They are the defaults as well, so a request that leaves all of them out is the same rollout.
    assert read.model_dump(exclude={"rollback_on_failure"}) == read_params(kind, {}).model_dump(
        exclude={"rollback_on_failure"}
    )
    assert read.after_failure is read_params(kind, {}).after_failure


def test_the_base_of_all_strategies_is_none_itself() -> None:
    with pytest.raises(InvalidRequest, match="StrategyParams is no strategy"):
        workflow_type(StrategyParams())
