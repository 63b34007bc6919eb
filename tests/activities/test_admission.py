"""Admission: a slot and all leases, or neither (rule 18)."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from activities.database.admission import admit
from activities.database.session import Database
from tests.activities.ledger import Frozen, close, freeze, store
from workflows.contracts.errors import Refused
from workflows.contracts.names import DeploymentState
from workflows.contracts.steps import Admission


async def ask(database: Database, deployment: Frozen, slots: int = 5) -> Admission:
    async with database.transaction() as session:
        return await admit(session, deployment.id, slots)


async def over(database: Database, *hosts: Sequence[int]) -> list[Frozen]:
    """A deployment each over web-N, N counted from 0."""
    patch_id, assets = await store(database, 12)
    return [await freeze(database, patch_id, [assets[number] for number in chosen], None) for chosen in hosts]


def leases(sql: psycopg.Connection) -> dict[int, int]:
    return {int(asset): int(holder) for asset, holder in sql.execute("select asset_id, deployment_id from leases")}


async def test_a_deployment_gets_a_slot_and_the_leases_of_all_its_hosts(
    database: Database, sql: psycopg.Connection
) -> None:
    (one,) = await over(database, range(4))
    assert (await ask(database, one)).granted
    assert leases(sql) == dict.fromkeys(one.assets, one.id)
    assert sql.execute("select started_at is not null from deployments").fetchone() == (True,)


async def test_a_repeated_ask_is_granted_and_changes_nothing(database: Database, sql: psycopg.Connection) -> None:
    (one,) = await over(database, range(4))
    await ask(database, one, slots=1)
    before = sql.execute("select * from deployments, queue").fetchall()
    assert (await ask(database, one, slots=1)).granted
    assert sql.execute("select * from deployments, queue").fetchall() == before


async def test_no_more_deployments_run_at_once_than_there_are_slots(
    database: Database, sql: psycopg.Connection
) -> None:
    one, two, three = await over(database, [0], [1], [2])
    assert (await ask(database, one, slots=2)).granted
    assert (await ask(database, two, slots=2)).granted
    assert await ask(database, three, slots=2) == Admission(granted=False, reason="all 2 deployment slots are taken")
    assert set(leases(sql).values()) == {one.id, two.id}
    await close(database, one.id)
    assert (await ask(database, three, slots=2)).granted


async def test_rule_18_a_host_in_another_deployment_is_named_with_its_holder_and_nothing_is_taken(
    database: Database, sql: psycopg.Connection
) -> None:
    one, two = await over(database, [1, 2], [0, 2, 3])
    assert (await ask(database, one)).granted
    refused = await ask(database, two)
    assert refused == Admission(granted=False, reason=f"host web-003 belongs to deployment {one.id}")
    assert set(leases(sql).values()) == {one.id}
    await close(database, one.id)
    assert (await ask(database, two)).granted


async def test_a_closed_deployment_is_not_admitted(database: Database, sql: psycopg.Connection) -> None:
    (one,) = await over(database, [0])
    await close(database, one.id, DeploymentState.CANCELLED, "changed our mind")
    with pytest.raises(Refused, match="closed as CANCELLED: changed our mind"):
        await ask(database, one)
    assert leases(sql) == {}


async def test_rule_18_asks_at_once_over_overlapping_hosts_never_deadlock_nor_lease_a_host_twice(
    database: Database, sql: psycopg.Connection
) -> None:
    rings = [[number, (number + 1) % 12, (number + 2) % 12] for number in range(12)]
    rings = [ring[::-1] if number % 2 else ring for number, ring in enumerate(rings)]
    waiting = await over(database, *rings)
    done: set[int] = set()
    while len(done) < len(rings):
        rest = [one for one in waiting if one.id not in done]
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(ask(database, one, slots=20) for one in rest))
        granted = [one for one, answer in zip(rest, answers, strict=True) if answer.granted]
        assert granted, f"nobody got on: {answers}"
        held = [asset for one in granted for asset in one.assets]
        assert len(held) == len(set(held))
        assert leases(sql) == {asset: one.id for one in granted for asset in one.assets}
        await asyncio.gather(*(close(database, one.id) for one in granted))
        done |= {one.id for one in granted}
    assert leases(sql) == {}


async def test_slots_are_not_oversold_to_those_who_ask_at_once(database: Database, sql: psycopg.Connection) -> None:
    waiting = await over(database, *([number] for number in range(10)))
    answers = await asyncio.gather(*(ask(database, one, slots=3) for one in waiting))
    assert sum(answer.granted for answer in answers) == 3
    assert len(leases(sql)) == 3


async def test_a_close_and_an_ask_at_once_leave_no_lease_without_its_deployment(
    database: Database, sql: psycopg.Connection
) -> None:
    for one in await over(database, *([number] for number in range(12))):
        asked, closed = await asyncio.gather(ask(database, one), close(database, one.id), return_exceptions=True)
        assert closed is None and (isinstance(asked, Refused) or asked == Admission(granted=True))
    assert leases(sql) == {}
    assert sql.execute("select count(*) from queue").fetchone() == (0,)
