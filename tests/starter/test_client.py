"""The client library against the real workflow, the real ledger and hosts that are only names."""

import asyncio

import pytest

from activities.database.session import Database
from starter import calls
from starter.client import DeploymentClient
from starter.dev.temporal import Temporal
from starter.errors import NoResult, NoWorker
from tests.starter.cli.simulated import Hosts, assets, serving
from tests.support.waiting import until
from workers.connection import TemporalUnavailable
from workflows.contracts import Rolling
from workflows.contracts.errors import EmptySelection, InvalidRequest, Refused, UnknownThing
from workflows.contracts.names import DeploymentState, HostState, Queue


async def test_a_deployment_runs_from_start_to_result(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    async with serving(client.temporal, database, hosts):
        strategy = Rolling(batch_size=0.5, wait_seconds=0)
        deployment = await client.deploy(1, selector="env=prod", strategy=strategy, requested_by="ada", reason="CVE")
        result = await deployment.result()
    assert result.success
    assert result.counts.by_state == {HostState.SUCCEEDED: 6}
    view = await client.ledger.deployment(deployment.id)
    assert (view.state, view.hosts_done, view.hosts_total) == (DeploymentState.SUCCEEDED, 6, 6)
    assert [wave.hosts for wave in view.waves] == [3, 3]
    assert view.strategy_params == {"batch_size": "50%", "wait_seconds": 0.0}
    lines = await client.ledger.hosts(deployment.id)
    assert {(line.before, line.after) for line in lines} == {("1.0.0", "1.0.1")}
    assert all(line.seconds is not None and line.seconds >= 0 for line in lines)


async def test_a_failed_host_ends_it_and_is_put_back_and_the_rest_was_never_started(
    client: DeploymentClient, database: Database
) -> None:
    async with serving(client.temporal, database, Hosts(database, frozenset({"web1", "web2", "web3"}))):
        deployment = await client.deploy(1, asset_ids=[1, 2, 3], strategy=Rolling(batch_size="1 host", wait_seconds=0))
        result = await deployment.result()
    assert result.state is DeploymentState.FAILED
    states = [line.state for line in await client.ledger.hosts(deployment.id)]
    assert states == [HostState.ROLLED_BACK, HostState.NOT_STARTED, HostState.NOT_STARTED]


async def test_the_verbs_steer_it_and_say_what_they_did(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=Rolling(batch_size="3 hosts", wait_seconds=3600))

        async def waits() -> bool:
            return (await deployment.status()).waits_for is not None

        await until(waits, "the wait after wave 1")
        assert (await deployment.pause(reason="lunch", by="ada")).state == "PAUSED"
        with pytest.raises(Refused, match="PAUSED: resume it first"):
            await deployment.promote()
        await deployment.resume()
        with pytest.raises(Refused, match="nothing is paused"):
            await deployment.resume()
        await deployment.promote(reason="looks good", by="ada")
        assert (await deployment.result()).success
        with pytest.raises(Refused, match="pause refused: the deployment is closed as SUCCEEDED"):
            await deployment.pause()
    told = [event.message async for event in client.ledger.events(deployment.id) if event.kind == "verb"]
    assert any(line.startswith("pause by ada (lunch)") for line in told)
    assert any(line.startswith("promote by ada (looks good)") for line in told)


async def test_cancel_leaves_the_rest_alone(client: DeploymentClient, database: Database, hosts: Hosts) -> None:
    hosts.gate.clear()
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=Rolling(batch_size="2 hosts", wait_seconds=0))

        async def in_hand() -> bool:
            return any(line.state is HostState.RUNNING for line in await client.ledger.hosts(deployment.id))

        await until(in_hand, "a host in hand")
        await deployment.cancel(reason="wrong fleet")
        hosts.gate.set()
        result = await deployment.result()
    assert result.state is DeploymentState.CANCELLED
    assert result.counts.of(HostState.SUCCEEDED) == 1
    assert result.counts.of(HostState.NOT_STARTED) == 5


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"patch_id": 77, "selector": "all"}, UnknownThing),
        ({"patch_id": 1, "selector": "env=nowhere"}, EmptySelection),
        ({"patch_id": 1, "asset_ids": [1, 99]}, UnknownThing),
        ({"patch_id": 1, "asset_ids": []}, InvalidRequest),
        ({"patch_id": 1}, InvalidRequest),
        ({"patch_id": 1, "asset_ids": [1], "selector": "all"}, InvalidRequest),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anything_is_written(
    client: DeploymentClient, asked: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await client.deploy(**asked)  # type: ignore[arg-type]
    assert await client.ledger.deployments() == []


async def test_without_a_worker_a_verb_is_not_sent_so_that_it_cannot_take_effect_later(
    client: DeploymentClient,
) -> None:
    deployment = await client.deploy(1, selector="all")
    assert await client.without_worker() == list(Queue)
    with pytest.raises(NoWorker, match="no worker polls vulnzero-workflows"):
        await deployment.pause()


async def test_a_status_that_nobody_can_give_says_that_no_worker_polls(
    client: DeploymentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "ANSWER_SECONDS", 1.0)
    deployment = await client.deploy(1, selector="all")
    with pytest.raises(NoWorker):
        await deployment.status()


async def test_a_start_that_fails_closes_the_row_so_that_nobody_starts_it_later(
    client: DeploymentClient, temporal: Temporal
) -> None:
    await client.temporal.start_workflow("Other", id="deployment-1", task_queue="elsewhere")
    with pytest.raises(Refused, match="does another ledger use namespace"):
        await client.deploy(1, selector="all")
    (line,) = await client.ledger.deployments()
    assert line.state is DeploymentState.REJECTED


async def test_temporal_that_dies_before_the_start_closes_the_row(
    client: DeploymentClient, temporal: Temporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.START_SECONDS", 1.0)
    temporal.kill()
    with pytest.raises(TemporalUnavailable):
        await client.deploy(1, selector="all")
    (line,) = await client.ledger.deployments()
    assert line.state is DeploymentState.REJECTED
    assert "could not be started" in line.message


async def test_a_workflow_ended_from_outside_has_no_result(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    deployment = await client.deploy(1, selector="all")
    waiting = asyncio.create_task(deployment.result())
    await client.temporal.get_workflow_handle(deployment.workflow_id).terminate("by hand")
    with pytest.raises(NoResult, match="ended without a result"):
        await waiting


async def test_a_deployment_that_a_raw_client_started_has_a_handle_too(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    async with serving(client.temporal, database, hosts):
        raw = {"patch_id": 1, "selector": "all", "strategy_params": {"wait_seconds": 0}}
        await (
            await client.temporal.start_workflow("RollingDeployment", raw, id="my-own", task_queue=Queue.WORKFLOWS)
        ).result()
        deployment = await client.deployment(1)
        assert deployment.workflow_id == "my-own"
        assert (await deployment.result()).success


async def test_an_unknown_deployment_is_named(client: DeploymentClient) -> None:
    with pytest.raises(UnknownThing, match="no deployment 77"):
        await client.deployment(77)


async def test_active_lists_only_what_is_open_newest_first(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    await client.ledger.import_assets(assets(8))
    async with serving(client.temporal, database, hosts):
        await (await client.deploy(1, asset_ids=[1])).result()
    second = await client.deploy(1, asset_ids=[2])
    third = await client.deploy(1, asset_ids=[3])
    assert [line.id for line in await client.ledger.deployments(active=True)] == [third.id, second.id]
    assert [line.id for line in await client.ledger.deployments()] == [third.id, second.id, 1]
    assert [line.id for line in await client.ledger.deployments(limit=1)] == [third.id]
