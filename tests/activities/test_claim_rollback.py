"""Rollback takes back what this deployment changed, through the same gate."""

from sqlalchemy import text

from activities.database.batches import Batches
from activities.database.session import Database
from tests.activities.ledger import Try, a_deployment, steer, word
from workflows.contracts.names import Control, HostState, Kind


async def patched(database: Database, *states: HostState) -> tuple[int, Try]:
    """A deployment whose first hosts ended in these states, and a rollback batch over it."""
    deployment = await a_deployment(database, hosts=len(states) + 1, max_failures=99, max_unreachable=99)
    first = await Try.take(database, deployment.id)
    for asset, state in zip(deployment.assets, states, strict=False):
        await first.settle(await first.fence(asset), state)
    async with database.transaction() as session:
        await Batches(session).end(first.taken.id, 1)
    back = await Try.take(database, deployment.id, activity="run/2")
    back.kind = Kind.ROLLBACK
    return deployment.id, back


S = HostState


async def test_rule_19_only_hosts_that_this_deployment_changed_are_taken(database: Database) -> None:
    _, back = await patched(database, S.SUCCEEDED, S.FAILED, S.UNKNOWN, S.SKIPPED, S.UNREACHABLE)
    assert await back.remaining() == [1, 2, 3]
    assert await back.remaining(broken_only=True) == [2, 3]
    assert [word(await back.claim(asset)) for asset in (4, 5, 6)] == ["no", "no", "no"]


async def test_rule_19_a_rollback_goes_on_after_a_stop_and_a_spent_budget_but_not_under_a_pause(
    database: Database,
) -> None:
    deployment_id, back = await patched(database, S.SUCCEEDED, S.FAILED)
    await steer(database, deployment_id, 1, Control.PAUSE)
    assert word(await back.claim(1)) == "no"
    await steer(database, deployment_id, 2, Control.STOP)
    assert word(await back.claim(1)) == "start"


async def test_a_host_that_was_put_back_is_not_taken_again(database: Database) -> None:
    _, back = await patched(database, S.SUCCEEDED)
    await back.settle(await back.fence(1), S.ROLLED_BACK)
    assert await back.remaining() == []
    assert word(await back.claim(1)) == "no"


async def test_the_patch_of_a_host_that_goes_back_stays_on_record(database: Database) -> None:
    _, back = await patched(database, S.SUCCEEDED)
    await back.settle(await back.fence(1), S.ROLLED_BACK)
    async with database.transaction() as session:
        rows = await session.execute(text("select kind, state, latest from host_runs order by fence"))
        assert [tuple(row) for row in rows] == [("patch", "SUCCEEDED", False), ("rollback", "ROLLED_BACK", True)]


async def test_rule_16_a_rollback_left_behind_by_a_dead_worker_goes_on_first(database: Database) -> None:
    deployment_id, back = await patched(database, S.SUCCEEDED, S.SUCCEEDED)
    await back.fence(2)
    again = await Try.take(database, deployment_id, attempt=2, activity="run/2")
    again.kind = Kind.ROLLBACK
    assert await again.remaining() == [2, 1]
    assert word(await back.claim(1)) == "no"
    assert word(await again.claim(2)) == "start"
