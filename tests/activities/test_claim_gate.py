"""The gate with real concurrency: many connections ask at once, and the limits of the plan hold."""

import asyncio

import psycopg
import pytest

from activities.database.session import Database
from tests.activities.ledger import Try, a_deployment, counts, steer, word
from tests.support.waiting import until
from workflows.contracts.names import Control, HostState


def in_state(sql: psycopg.Connection, state: HostState = HostState.RUNNING) -> int:
    found = sql.execute("select count(*) from host_runs where latest and state = %s", [state]).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("limit", [1, 3, 8])
async def test_rule_8_never_more_than_c_hosts_are_in_hand_however_many_ask_at_once(
    database: Database, sql: psycopg.Connection, limit: int
) -> None:
    deployment = await a_deployment(database, hosts=20, max_concurrency=limit)
    batch = await Try.take(database, deployment.id)
    claims = await asyncio.gather(*(batch.claim(asset) for asset in deployment.assets))
    assert sorted(word(claim) for claim in claims) == ["start"] * limit + ["wait"] * (20 - limit)
    assert in_state(sql) == limit
    assert len({claim.fence for claim in claims if claim.fence}) == limit


async def test_the_limit_holds_over_batches_that_run_at_once(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database, hosts=12, max_concurrency=4)
    batches = [await Try.take(database, deployment.id, activity=f"run/{number}") for number in range(3)]
    await asyncio.gather(*(batches[position % 3].claim(asset) for position, asset in enumerate(deployment.assets)))
    assert in_state(sql) == 4


async def test_rule_16_a_host_that_is_asked_for_by_many_at_once_is_started_once(database: Database) -> None:
    deployment = await a_deployment(database, hosts=2, max_concurrency=9)
    batches = [await Try.take(database, deployment.id, activity=f"run/{number}") for number in range(4)]
    claims = await asyncio.gather(*(batches[number % 4].claim(deployment.assets[0]) for number in range(16)))
    assert sorted(word(claim) for claim in claims) == ["no"] * 15 + ["start"]


async def test_every_host_is_started_once_while_hosts_come_and_go(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database, hosts=30, max_concurrency=4)
    batch = await Try.take(database, deployment.id)
    most = 0

    async def one(asset: int) -> None:
        nonlocal most
        while (claim := await batch.claim(asset)).fence is None:
            assert word(claim) == "wait", claim.decision
            await asyncio.sleep(0.005)
        most = max(most, in_state(sql))
        await batch.settle(claim.fence)

    await asyncio.gather(*(one(asset) for asset in deployment.assets))
    assert most <= 4
    assert (await counts(database, deployment.id)).by_state == {HostState.SUCCEEDED: 30}
    assert sql.execute("select count(*), count(distinct fence) from host_runs").fetchone() == (30, 30)


@pytest.mark.parametrize(
    ("state", "spent", "reason"),
    [
        (HostState.FAILED, 2, "2 of at most 2 failed hosts"),
        (HostState.UNREACHABLE, 3, "3 of at most 3 unreachable hosts"),
        (HostState.UNKNOWN, 3, "3 of at most 3 unreachable hosts"),
    ],
)
async def test_rule_6_a_spent_budget_lets_no_further_host_start(
    database: Database, state: HostState, spent: int, reason: str
) -> None:
    deployment = await a_deployment(database, hosts=9)
    batch = await Try.take(database, deployment.id)
    for asset in deployment.assets[:spent]:
        await batch.settle(await batch.fence(asset), state)
    claim = await batch.claim(deployment.assets[5])
    assert word(claim) == "no"
    assert claim.decision.reason.startswith(f"the failure budget is spent: {reason}")


async def test_rule_6_the_budgets_are_counted_apart(database: Database) -> None:
    deployment = await a_deployment(database, hosts=9, max_failures=3)
    batch = await Try.take(database, deployment.id)
    for asset, state in zip(
        deployment.assets, (HostState.FAILED, HostState.FAILED, HostState.UNREACHABLE, HostState.UNKNOWN), strict=False
    ):
        await batch.settle(await batch.fence(asset), state)
    assert word(await batch.claim(deployment.assets[5])) == "start"


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (Control.PAUSE, "the deployment is paused"),
        (Control.STOP, "the deployment is stopping"),
        (Control.HALT, "the deployment is halted"),
    ],
)
async def test_rule_11_a_held_deployment_starts_nothing_and_its_hosts_in_hand_are_recorded(
    database: Database, control: Control, reason: str
) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    fence = await batch.fence(deployment.assets[0])
    await steer(database, deployment.id, 1, control)
    claim = await batch.claim(deployment.assets[1])
    assert (word(claim), claim.decision.reason) == ("no", reason)
    await batch.settle(fence)
    assert (await counts(database, deployment.id)).of(HostState.SUCCEEDED) == 1
    await steer(database, deployment.id, 2, Control.RUN)
    assert word(await batch.claim(deployment.assets[1])) == "start"


async def test_a_pause_that_commits_first_holds_the_claim_that_was_waiting_for_the_row(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    with psycopg.connect(sql.info.dsn, password=sql.info.password) as pausing:
        pausing.execute("update deployments set control = 'pause'")
        claiming = asyncio.create_task(batch.claim(deployment.assets[0]))
        await until(lambda: _waits(sql), "the claim waits for the row")
        pausing.commit()
    assert word(await claiming) == "no"


async def test_min_healthy_is_kept_by_hosts_that_ask_at_once(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database, hosts=6, max_concurrency=6, min_healthy=4)
    batch = await Try.take(database, deployment.id)
    await asyncio.gather(*(batch.claim(asset) for asset in deployment.assets))
    assert in_state(sql) == 2


def _waits(sql: psycopg.Connection) -> bool:
    found = sql.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    return found != (0,)
