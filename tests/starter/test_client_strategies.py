"""The client library with each strategy, gates and rollbacks, against the real workflow and the real ledger."""

import pytest

from activities.database.session import Database
from starter.client import Deployment, DeploymentClient
from starter.errors import WorkflowClosed
from tests.starter.cli.simulated import Hosts, serving
from tests.support.waiting import until
from workflows.contracts import AllAtOnce, Canary, Rolling, StrategyParams
from workflows.contracts.errors import InvalidRequest, Refused
from workflows.contracts.names import DeploymentState, HostState, OnFailure

BY_HAND = Canary(stages=["2 hosts", "50%", 1], monitoring_duration=0, auto_promote=False)


async def gated(deployment: Deployment) -> None:
    async def waits() -> bool:
        return (await deployment.status()).state is DeploymentState.GATED

    await until(waits, "a gate")


async def states(client: DeploymentClient, deployment: Deployment) -> list[str]:
    return sorted(line.state for line in await client.ledger.hosts(deployment.id))


@pytest.mark.parametrize(
    ("strategy", "kind", "waves"),
    [
        (AllAtOnce(), "AllAtOnceDeployment", [6]),
        (Rolling(batch_size=0.5, wait_seconds=0), "RollingDeployment", [3, 3]),
        (Canary(stages=["ring=0", "2 hosts", 0.5, 1], monitoring_duration=0), "CanaryDeployment", [2, 1, 3]),
    ],
)
async def test_any_strategy_of_the_contracts_runs_as_its_own_workflow(
    client: DeploymentClient, database: Database, hosts: Hosts, strategy: StrategyParams, kind: str, waves: list[int]
) -> None:
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=strategy)
        assert (await deployment.result()).success
    view = await client.ledger.deployment(deployment.id)
    assert view.strategy == kind
    assert [wave.hosts for wave in view.waves] == waves


async def test_the_base_of_all_strategies_is_refused_and_leaves_no_row(client: DeploymentClient) -> None:
    with pytest.raises(InvalidRequest, match="is no strategy"):
        await client.deploy(1, selector="all", strategy=StrategyParams())
    assert await client.ledger.deployments() == []


async def test_a_promote_ends_one_gate_and_a_full_one_all_that_come(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=BY_HAND)
        await gated(deployment)
        assert (await deployment.status()).wait_id == "gate-stage-1"
        await deployment.promote(wait_id="gate-stage-1")
        with pytest.raises(Refused):
            await deployment.promote(wait_id="gate-stage-1")
        await gated(deployment)
        await deployment.promote(full=True)
        assert (await deployment.result()).success
        again = await client.deploy(1, selector="all", strategy=BY_HAND)
        await gated(again)
        await again.promote(full=True)
        assert (await again.result()).success


async def test_a_rollback_gives_every_changed_host_back_what_it_ran(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=BY_HAND)
        await gated(deployment)
        answer = await deployment.rollback(reason="customers see errors", by="ada")
        assert "every changed host goes back" in answer.message
        result = await deployment.result()
    assert result.state is DeploymentState.ROLLED_BACK
    assert await states(client, deployment) == ["NOT_STARTED"] * 4 + ["ROLLED_BACK"] * 2
    told = [event.message async for event in client.ledger.events(deployment.id) if event.kind == "verb"]
    assert any(line.startswith("rollback by ada (customers see errors)") for line in told)


async def test_a_closed_deployment_is_not_rolled_back_and_says_so_without_any_worker(
    client: DeploymentClient, database: Database, hosts: Hosts
) -> None:
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=AllAtOnce())
        await deployment.result()
    with pytest.raises(WorkflowClosed) as refused:
        await deployment.rollback()
    assert str(refused.value) == (
        "rollback refused: the deployment is closed as SUCCEEDED; this version rolls back open deployments only"
    )


@pytest.mark.parametrize(
    ("strategy", "state", "web1", "others"),
    [
        (Canary(stages=[1]), DeploymentState.ROLLED_BACK, "ROLLED_BACK", "ROLLED_BACK"),
        (AllAtOnce(), DeploymentState.FAILED, "ROLLED_BACK", "SUCCEEDED"),
        (AllAtOnce(on_failure=OnFailure.STOP), DeploymentState.FAILED, "FAILED", "SUCCEEDED"),
    ],
)
async def test_what_follows_a_failure_is_the_strategys_own_choice_or_the_users(
    client: DeploymentClient, database: Database, strategy: StrategyParams, state: str, web1: str, others: str
) -> None:
    async with serving(client.temporal, database, Hosts(database, frozenset({"web1"}))):
        deployment = await client.deploy(1, selector="all", strategy=strategy)
        assert (await deployment.result()).state == state
    found = {line.name: line.state for line in await client.ledger.hosts(deployment.id)}
    assert found.pop("web1") == web1
    assert set(found.values()) <= {HostState(others), HostState.NOT_STARTED}


async def test_a_pause_after_a_failure_waits_for_a_persons_rollback(
    client: DeploymentClient, database: Database
) -> None:
    async with serving(client.temporal, database, Hosts(database, frozenset({"web1"}), stuck=frozenset({"web1"}))):
        strategy = AllAtOnce(on_failure=OnFailure.PAUSE)
        deployment = await client.deploy(1, asset_ids=[1, 2], strategy=strategy)

        async def decides() -> bool:
            return (await deployment.status()).state is DeploymentState.PAUSED

        await until(decides, "the choice")
        await deployment.rollback()
        assert (await deployment.result()).state is DeploymentState.ROLLBACK_FAILED
    assert "ROLLBACK_FAILED" in await states(client, deployment)
