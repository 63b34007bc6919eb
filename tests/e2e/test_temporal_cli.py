"""The `temporal` command alone starts, asks and steers a deployment, and is told what is wrong with what it sends."""

import json
from typing import Any

import pytest

from tests.support.rig import Rig, Running, temporal_cli
from tests.support.waiting import until

pytestmark = pytest.mark.fleet


def start(rig: Rig, name: str, *payload: str) -> Running:
    temporal_cli(
        rig, "workflow", "start", "--type", "RollingDeployment", "--task-queue", "vulnzero-workflows",
        "--workflow-id", name, *payload,
    )  # fmt: skip
    return Running(rig, None)  # type: ignore[arg-type]  # this test has no client but the command


def status(rig: Rig, name: str) -> dict[str, Any]:
    answer = temporal_cli(rig, "workflow", "query", "--workflow-id", name, "--type", "status", "-o", "json").stdout
    found: dict[str, Any] = json.loads(answer)["queryResult"][0]
    return found


def signal(rig: Rig, name: str, verb: str, *payload: str) -> None:
    temporal_cli(rig, "workflow", "signal", "--workflow-id", name, "--name", verb, *payload)


def update(rig: Rig, name: str, verb: str, *payload: str) -> tuple[int, str]:
    done = temporal_cli(
        rig, "workflow", "update", "execute", "--workflow-id", name, "--name", verb, *payload, check=False
    )
    return done.returncode, done.stdout + done.stderr


def result(rig: Rig, name: str) -> tuple[int, dict[str, Any]]:
    done = temporal_cli(rig, "workflow", "result", "--workflow-id", name, "-o", "json", check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


async def test_the_temporal_command_starts_asks_and_steers(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    await rig.serving(rig.start_worker())
    request = {"patch_id": 1, "selector": "all", "strategy_params": {"batch_size": "1 host", "wait_seconds": 9000}}
    running = start(rig, "by-hand", "--input", json.dumps(request))
    await running.in_state("WAITING")
    found = status(rig, "by-hand")
    assert (found["state"], found["wait_id"]) == ("WAITING", "after-wave-1")
    assert found["counts"]["by_state"] == {"SUCCEEDED": 1, "PENDING": 2}

    signal(rig, "by-hand", "pause", "--input", '{"by": "ada", "reason": "lunch"}')
    await running.in_state("PAUSED")
    code, text = update(rig, "by-hand", "promote")
    assert code != 0
    assert "PAUSED: resume it first" in text
    signal(rig, "by-hand", "resume")
    await running.in_state("WAITING")
    signal(rig, "by-hand", "promote", "--input", '{"by": "ada"}')
    await until(lambda: status(rig, "by-hand")["wait_id"] == "after-wave-2", "the second wait")
    signal(rig, "by-hand", "cancel", "--input", '{"by": "ada", "reason": "enough"}')
    code, done = result(rig, "by-hand")
    assert (code, done["result"]["state"]) == (0, "CANCELLED")
    assert done["result"]["counts"]["by_state"] == {"SUCCEEDED": 2, "NOT_STARTED": 1}
    verbs = running.rows("select message from events where kind = 'verb' order by \"offset\"")
    assert [row[0].split(":")[0] for row in verbs] == [
        "pause by ada (lunch)", "resume by unknown", "promote by ada", "cancel by ada (enough)",
    ]  # fmt: skip


async def test_a_bad_payload_is_named_and_nothing_hangs_or_is_lost(rig: Rig) -> None:
    await rig.fresh(hosts=2)
    await rig.serving(rig.start_worker())
    bad = {
        "no-input": ((), "patch_id: is missing"),
        "missing": (("--input", '{"selector": "all"}'), "patch_id: is missing"),
        "wrong-type": (("--input", '{"patch_id": "one", "selector": "all"}'), "patch_id"),
        "unknown-patch": (("--input", '{"patch_id": 99, "selector": "all"}'), "no patch 99"),
        "misspelt": (("--input", '{"patch_id": 1, "selektor": "all"}'), "selektor"),
    }
    for name, (payload, named) in bad.items():
        start(rig, name, *payload)
        code, done = result(rig, name)
        assert code != 0, name
        assert named in json.dumps(done), done

    request = {"patch_id": 1, "selector": "all", "strategy_params": {"batch_size": "1 host", "wait_seconds": 9000}}
    running = start(rig, "steady", "--input", json.dumps(request))
    await running.in_state("WAITING")
    signal(rig, "steady", "pause", "--input", '{"bye": "ada"}')
    signal(rig, "steady", "pause", "--input", '"now"')
    ignored = "select message from events where kind = 'verb' order by \"offset\""
    await until(lambda: len(running.rows(ignored)) == 2, "both signals are recorded")
    first, second = (row[0] for row in running.rows(ignored))
    assert "bye: is no field that is known here" in first
    assert "must be one JSON object, not str" in second
    code, text = update(rig, "steady", "pause", "--input", '{"bye": "ada"}')
    assert code != 0
    assert "bye: is no field" in text
    assert status(rig, "steady")["state"] == "WAITING"
    signal(rig, "steady", "cancel")
    assert result(rig, "steady")[1]["result"]["state"] == "CANCELLED"
