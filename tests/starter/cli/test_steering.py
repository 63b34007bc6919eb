"""Gates and rollbacks from the command line: what is shown, what is refused, and what the exit code tells."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from activities.database.session import Database
from starter.client import Deployment, DeploymentClient
from starter.dev.temporal import Temporal
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import Hosts, serving
from tests.support.waiting import until
from workflows.contracts import AllAtOnce, Canary
from workflows.contracts.names import DeploymentState

BY_HAND = Canary(stages=["2 hosts", "50%", 1], monitoring_duration=0, auto_promote=False)
Run = Callable[..., Coroutine[Any, Any, tuple[int, str, str]]]


@pytest.fixture
def run(vulnzero: Vulnzero, temporal: Temporal, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`vulnzero` beside the workers of this test, with its Temporal."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal.namespace)

    async def call(*arguments: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(vulnzero, *arguments)

    return call


async def at_gate(client: DeploymentClient) -> Deployment:
    deployment = await client.deploy(1, selector="all", strategy=BY_HAND, requested_by="ada")

    async def gated() -> bool:
        # By the ledger, which hears of it a moment after the workflow itself.
        return (await client.ledger.deployment(deployment.id)).state is DeploymentState.GATED

    await until(gated, "a gate")
    return deployment


async def test_show_tells_stages_gate_and_how_to_go_on(
    client: DeploymentClient, database: Database, hosts: Hosts, run: Run
) -> None:
    async with serving(client.temporal, database, hosts):
        await at_gate(client)
        code, out, _ = await run("show", "1")
        shown = json.loads((await run("show", "1", "-o", "json"))[1])
        await run("cancel", "1")
    assert code == 0
    fields = dict(line.split(maxsplit=1) for line in out.partition("\n\n")[0].splitlines())
    assert fields["strategy"] == "canary, auto_promote false, monitoring_duration 0, stages 2 hosts, 50%, 100%"
    assert fields["state"] == "GATED"
    assert "waits for   a promote after stage 1 of 3: vulnzero promote 1 (gate-stage-1)" in out
    assert fields["stages"] == "2 hosts, 50%, 100%"
    assert fields["watched"] == "not at all"
    assert fields["promote"] == "by a person, after each stage but the last"
    assert fields["then"] == "rollback: every changed host goes back (default)"
    assert fields["plan"].startswith("6 hosts in 3 waves, ")
    assert (shown["status"]["wait_id"], shown["thresholds"]["on_failure"]) == ("gate-stage-1", "rollback")


async def test_promote_full_ends_this_gate_and_all_later_ones(
    client: DeploymentClient, database: Database, hosts: Hosts, run: Run
) -> None:
    async with serving(client.temporal, database, hosts):
        deployment = await at_gate(client)
        assert (await run("promote", "1", "--full", "--wait-id", "gate-stage-1"))[0] == 0
        assert (await deployment.result()).success
        assert (await run("watch", "1"))[0] == 0


async def test_rollback_is_followed_to_its_end_which_is_no_success(
    client: DeploymentClient, database: Database, hosts: Hosts, run: Run
) -> None:
    async with serving(client.temporal, database, hosts):
        await at_gate(client)
        code, out, _ = await run("rollback", "1", "--reason", "customers see errors")
        assert code == 0
        assert "hosts in hand finish, then every changed host goes back" in out
        code, out, _ = await run("watch", "1")
    assert code == 1
    assert "deployment 1: ROLLED_BACK in " in out
    assert out.count(" ROLLED_BACK  acme is at 1.0.0 again") == 2
    listed = json.loads((await run("list", "-o", "json"))[1])
    assert (listed[0]["state"], listed[0]["hosts_done"]) == ("ROLLED_BACK", 0)
    text = (await run("show", "1"))[1]
    assert "2 rolled back" in text
    assert "1.0.1 -> 1.0.0" in text


async def test_a_host_that_could_not_be_put_back_is_named_first(
    client: DeploymentClient, database: Database, run: Run
) -> None:
    async with serving(client.temporal, database, Hosts(database, stuck=frozenset({"web1"}))):
        await (await at_gate(client)).rollback()
        code, out, _ = await run("watch", "1")
    assert code == 1
    table = out.partition("HOST ")[2].splitlines()
    assert [line.split()[2] for line in table[1:]] == ["ROLLBACK_FAILED", "ROLLED_BACK"]


async def test_a_closed_deployment_is_not_rolled_back_and_says_why(
    client: DeploymentClient, database: Database, hosts: Hosts, run: Run
) -> None:
    async with serving(client.temporal, database, hosts):
        await (await client.deploy(1, selector="all", strategy=AllAtOnce())).result()
    code, out, err = await run("rollback", "1")
    assert (code, out) == (2, "")
    assert err == (
        "error: rollback refused: the deployment is closed as SUCCEEDED; this version rolls back open deployments "
        "only\n"
    )
    assert (await run("rollback", "77"))[0] == 2
