"""A second try of a batch: what the first left behind is taken over, and the first is refused from then on."""

import psycopg
import pytest

from activities.database.batches import Batches
from activities.database.session import Database
from tests.activities.ledger import Try, a_deployment, counts, steer, word
from workflows.contracts.errors import StaleAttempt
from workflows.contracts.names import Control, HostState


def runs(sql: psycopg.Connection, asset: int) -> list[tuple[str, bool]]:
    """State and whether it is the latest, oldest first."""
    found = sql.execute("select state, latest from host_runs where asset_id = %s order by fence", [asset])
    return [(str(state), bool(latest)) for state, latest in found]


async def test_rule_16_a_second_try_abandons_the_first_ones_run_and_claims_the_host_again(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    asset = deployment.assets[0]
    old = await (await Try.take(database, deployment.id)).fence(asset)
    claim = await (await Try.take(database, deployment.id, attempt=2)).claim(asset)
    assert claim.fence is not None and claim.fence > old and claim.again
    assert runs(sql, asset) == [("ABANDONED", False), ("RUNNING", True)]
    assert sql.execute("select finished_at is not null from host_runs order by fence").fetchall() == [(True,), (False,)]


@pytest.mark.parametrize("control", [Control.PAUSE, Control.STOP])
async def test_rule_16_what_was_left_behind_is_finished_in_spite_of_pause_stop_and_budget(
    database: Database, control: Control
) -> None:
    deployment = await a_deployment(database, max_failures=1)
    first = await Try.take(database, deployment.id)
    await first.fence(deployment.assets[0])
    await first.settle(await first.fence(deployment.assets[1]), HostState.FAILED)
    await steer(database, deployment.id, 1, control)
    second = await Try.take(database, deployment.id, attempt=2)
    assert word(await second.claim(deployment.assets[0])) == "start"
    assert word(await second.claim(deployment.assets[2])) == "no"


async def test_after_a_halt_nothing_is_taken_over(database: Database) -> None:
    deployment = await a_deployment(database)
    await (await Try.take(database, deployment.id)).fence(deployment.assets[0])
    await steer(database, deployment.id, 1, Control.HALT)
    assert word(await (await Try.take(database, deployment.id, attempt=2)).claim(deployment.assets[0])) == "no"


async def test_rule_17_an_old_try_gets_no_claim_once_a_newer_one_has_the_batch(database: Database) -> None:
    deployment = await a_deployment(database)
    old = await Try.take(database, deployment.id)
    await Try.take(database, deployment.id, attempt=2)
    claim = await old.claim(deployment.assets[0])
    assert (word(claim), claim.decision.reason) == ("no", "a newer attempt took this batch over")
    with pytest.raises(StaleAttempt, match="attempt 1"):
        await Try.take(database, deployment.id, attempt=1)


async def test_rule_17_an_old_tries_outcome_is_refused_once_the_host_was_claimed_again(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    asset = deployment.assets[0]
    old = await Try.take(database, deployment.id)
    stale = await old.fence(asset)
    new = await Try.take(database, deployment.id, attempt=2)
    fence = await new.fence(asset)
    for state in (HostState.SUCCEEDED, HostState.FAILED, HostState.UNKNOWN):
        with pytest.raises(StaleAttempt):
            await old.settle(stale, state)
    assert runs(sql, asset) == [("ABANDONED", False), ("RUNNING", True)]
    await new.settle(fence)
    assert runs(sql, asset) == [("ABANDONED", False), ("SUCCEEDED", True)]


async def test_an_old_tries_outcome_counts_while_nobody_has_claimed_the_host_again(database: Database) -> None:
    """It is the truth about the host, and spares it a second run."""
    deployment = await a_deployment(database)
    old = await Try.take(database, deployment.id)
    fence = await old.fence(deployment.assets[0])
    new = await Try.take(database, deployment.id, attempt=2)
    await old.settle(fence)
    assert deployment.assets[0] not in await new.remaining()
    assert word(await new.claim(deployment.assets[0])) == "no"


async def test_settling_twice_changes_nothing_and_tells_it_once(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    fence = await batch.fence(deployment.assets[0])
    await batch.settle(fence)
    first = sql.execute("select * from host_runs").fetchall()
    await batch.settle(fence)
    assert sql.execute("select * from host_runs").fetchall() == first
    assert sql.execute("select count(*) from events where data->>'state' = 'SUCCEEDED'").fetchone() == (1,)


async def test_a_settled_run_takes_no_other_outcome(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    fence = await batch.fence(deployment.assets[0])
    await batch.settle(fence, HostState.FAILED)
    with pytest.raises(StaleAttempt):
        await batch.settle(fence, HostState.SUCCEEDED)
    assert runs(sql, deployment.assets[0]) == [("FAILED", True)]


async def test_an_unknown_host_is_settled_by_the_answer_that_comes_late(database: Database) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    fence = await batch.fence(deployment.assets[0])
    await batch.settle(fence, HostState.UNKNOWN)
    await batch.settle(fence, HostState.SUCCEEDED)
    assert (await counts(database, deployment.id)).of(HostState.SUCCEEDED) == 1


@pytest.mark.parametrize("text", ["nul \x00 byte", "half a pair \ud800"])
async def test_rule_16_an_outcome_is_recorded_whatever_bytes_the_host_spoke(database: Database, text: str) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    await batch.settle(await batch.fence(deployment.assets[0]), HostState.FAILED, text)
    assert (await counts(database, deployment.id)).of(HostState.FAILED) == 1


async def test_what_was_left_behind_comes_first_and_what_is_finished_not_at_all(database: Database) -> None:
    deployment = await a_deployment(database, hosts=6, max_concurrency=6)
    a, b, c, d, e, f = deployment.assets
    first = await Try.take(database, deployment.id)
    await first.settle(await first.fence(a))
    await first.settle(await first.fence(b), HostState.FAILED)
    await first.settle(await first.fence(d), HostState.UNKNOWN)
    await first.fence(f)
    assert await first.remaining() == [c, e]
    second = await Try.take(database, deployment.id, attempt=2)
    # f is still in hand, and makes no room while it waits behind d, which has to wait for a free place.
    assert await second.remaining() == [f, d, c, e]
    assert await second.remaining(2, 2) == [d, c]


async def test_hosts_of_another_batch_are_not_taken_over(database: Database) -> None:
    deployment = await a_deployment(database)
    await (await Try.take(database, deployment.id, activity="run/1")).fence(deployment.assets[0])
    other = await Try.take(database, deployment.id, attempt=2, activity="run/2")
    assert word(await other.claim(deployment.assets[0])) == "no"
    assert deployment.assets[0] not in await other.remaining()


async def test_rule_8_an_unknown_host_that_is_taken_over_waits_for_a_free_place(database: Database) -> None:
    """Its place was given away when it became unknown."""
    deployment = await a_deployment(database, max_concurrency=1)
    asset, other, *_ = deployment.assets
    batch = await Try.take(database, deployment.id)
    await batch.settle(await batch.fence(asset), HostState.UNKNOWN)
    fence = await batch.fence(other)
    assert word(await batch.claim(asset, settling=True)) == "wait"
    await batch.settle(fence)
    assert word(await batch.claim(asset, settling=True)) == "start"


async def test_a_try_may_settle_what_it_lost_itself_but_only_when_it_says_so(database: Database) -> None:
    deployment = await a_deployment(database)
    asset = deployment.assets[0]
    batch = await Try.take(database, deployment.id)
    await batch.settle(await batch.fence(asset), HostState.UNKNOWN)
    assert word(await batch.claim(asset)) == "no"
    assert (await batch.claim(asset, settling=True)).again


async def test_a_claim_whose_answer_was_lost_with_the_connection_is_had_by_asking_again(database: Database) -> None:
    deployment = await a_deployment(database, max_concurrency=1)
    batch = await Try.take(database, deployment.id)
    lost = await batch.fence(deployment.assets[0])
    assert await batch.fence(deployment.assets[0], settling=True) > lost


async def test_rule_16_ending_a_batch_makes_its_hosts_in_hand_unknown(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    batch = await Try.take(database, deployment.id)
    other = await Try.take(database, deployment.id, activity="run/2")
    await batch.fence(deployment.assets[0])
    await other.fence(deployment.assets[1])
    await batch.end()
    assert [runs(sql, asset)[0][0] for asset in deployment.assets[:2]] == ["UNKNOWN", "RUNNING"]
    async with database.transaction() as session:
        assert [open_.id for open_ in await Batches(session).open_ones()] == [other.taken.id]


async def test_an_old_try_cannot_end_what_a_newer_one_holds(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database)
    old = await Try.take(database, deployment.id)
    new = await Try.take(database, deployment.id, attempt=2)
    await new.fence(deployment.assets[0])
    await old.end()
    assert runs(sql, deployment.assets[0]) == [("RUNNING", True)]
    assert sql.execute("select ended_at from batches").fetchall() == [(None,)]
