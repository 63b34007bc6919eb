"""A workflow finds or makes its row, once, however often and from wherever it asks."""

import asyncio

import psycopg
import pytest

from activities.database.deployments import Deployments
from activities.database.session import Database
from tests.activities.ledger import ask, close, enqueue, store
from tests.support.waiting import until
from workflows.contracts.errors import InvalidRequest, Refused
from workflows.contracts.names import DeploymentState
from workflows.contracts.steps import Register


async def register(database: Database, wanted: Register) -> int:
    async with database.transaction() as session:
        return await Deployments(session).register(wanted)


async def test_registering_again_finds_the_same_row(database: Database, sql: psycopg.Connection) -> None:
    patch_id, _ = await store(database, 1)
    first = await register(database, ask(patch_id, "nightly"))
    assert await register(database, ask(patch_id, "nightly")) == first
    assert await register(database, ask(patch_id, "nightly", run_id="continued")) == first
    assert sql.execute("select workflow_id, first_run_id, state from deployments").fetchall() == [
        ("nightly", "first", "QUEUED")
    ]
    assert sql.execute("select deployment_id, number, run_id from attempts").fetchall() == [(first, 1, "first")]
    assert sql.execute("select count(*) from queue").fetchone() == (1,)


async def test_a_later_workflow_of_the_same_id_is_a_deployment_of_its_own(database: Database) -> None:
    patch_id, _ = await store(database, 1)
    first = await register(database, ask(patch_id, "nightly"))
    assert await register(database, ask(patch_id, "nightly", first_run_id="tomorrow")) != first
    assert await register(database, ask(patch_id, "nightly")) == first


async def test_a_workflow_adopts_the_row_that_its_client_queued(database: Database, sql: psycopg.Connection) -> None:
    patch_id, _ = await store(database, 1)
    queued = await enqueue(database, patch_id)
    assert await register(database, ask(patch_id, f"deployment-{queued}")) == queued
    assert await register(database, ask(patch_id, f"deployment-{queued}")) == queued
    assert sql.execute("select id, first_run_id from deployments").fetchall() == [(queued, "first")]


@pytest.mark.parametrize("workflow_id", ["deployment-77", "deployment-007"])
async def test_a_workflow_id_that_is_reserved_for_the_ledgers_own_numbers_is_refused(
    database: Database, sql: psycopg.Connection, workflow_id: str
) -> None:
    patch_id, _ = await store(database, 1)
    with pytest.raises(InvalidRequest, match="reserved"):
        await register(database, ask(patch_id, workflow_id))
    assert sql.execute("select count(*) from deployments").fetchone() == (0,)


async def test_a_second_workflow_on_a_taken_deployment_number_is_refused(database: Database) -> None:
    patch_id, _ = await store(database, 1)
    queued = await enqueue(database, patch_id)
    await register(database, ask(patch_id, f"deployment-{queued}"))
    with pytest.raises(InvalidRequest, match="reserved"):
        await register(database, ask(patch_id, f"deployment-{queued}", first_run_id="a stranger's"))


async def test_an_id_that_only_begins_like_a_reserved_one_is_free(database: Database) -> None:
    patch_id, _ = await store(database, 1)
    assert await register(database, ask(patch_id, "deployment-of-tuesday"))


async def test_a_row_that_its_client_gave_up_is_not_taken_up_by_a_workflow_that_did_start(database: Database) -> None:
    patch_id, _ = await store(database, 1)
    queued = await enqueue(database, patch_id)
    await close(database, queued, DeploymentState.REJECTED, "the workflow could not be started")
    with pytest.raises(Refused, match="closed as REJECTED: the workflow could not be started"):
        await register(database, ask(patch_id, f"deployment-{queued}"))


@pytest.mark.parametrize("own_id", [True, False], ids=["raw workflow", "queued row"])
async def test_tries_that_overlap_register_one_row(database: Database, sql: psycopg.Connection, own_id: bool) -> None:
    """A try that the server gave up may still be in its transaction when the next one asks."""
    patch_id, _ = await store(database, 1)
    wanted = ask(patch_id, "nightly" if own_id else f"deployment-{await enqueue(database, patch_id)}")
    async with database.transaction() as session:
        first = await Deployments(session).register(wanted)
        second = asyncio.create_task(register(database, wanted))
        await until(lambda: waits_for_a_lock(sql), "the second try meets the first")
    assert await second == first
    assert sql.execute("select count(*) from deployments").fetchone() == (1,)
    assert sql.execute("select count(*) from attempts").fetchone() == (1,)


def waits_for_a_lock(sql: psycopg.Connection) -> bool:
    found = sql.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    return found != (0,)
