"""The database is away, slow or comes back: said in bounded time, and the next transaction works again."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from activities.database.migrate import upgrade
from activities.database.session import Database
from starter.dev import proc
from starter.dev.postgres import Postgres
from starter.dev.scratch import scratch_postgres
from tests.activities.ledger import Try, a_deployment, counts
from workflows.contracts.errors import InvalidRequest, LedgerUnavailable
from workflows.contracts.names import HostState

BOUND = 15.0  # seconds; connect_timeout is 5


async def ping(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("select 1"))


@pytest.fixture
def server() -> Iterator[Postgres]:
    with scratch_postgres() as server:
        upgrade(server.url)
        yield server


async def test_a_port_where_nobody_listens_is_told_in_bounded_time_with_a_mend() -> None:
    begin = time.monotonic()
    async with Database(f"postgresql://nobody@127.0.0.1:{proc.free_port()}/vulnzero") as database:
        with pytest.raises(LedgerUnavailable) as raised:
            await ping(database)
    assert time.monotonic() - begin < BOUND
    assert raised.value.retryable and "DATABASE_URL" in raised.value.mend
    assert str(raised.value).count("\n") == 0


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """A port that takes connections and says nothing, as a server behind a broken network does."""

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    held: list[asyncio.StreamWriter] = []
    listening = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in held:
            writer.close()


async def test_a_server_that_never_answers_is_told_in_bounded_time() -> None:
    begin = time.monotonic()
    async with silent_server() as port, Database(f"postgresql://nobody@127.0.0.1:{port}/vulnzero") as database:
        with pytest.raises(LedgerUnavailable):
            await ping(database)
    assert time.monotonic() - begin < BOUND


async def test_a_pool_that_stays_full_is_the_same_as_a_database_that_is_away(database_url: str) -> None:
    """Else a claim that waited too long would be refused for good instead of asked again."""
    async with Database(database_url, pool_size=1, pool_seconds=0.2) as database:
        async with database.transaction() as one, database.transaction() as two:
            await one.execute(text("select 1"))
            await two.execute(text("select 1"))
            with pytest.raises(LedgerUnavailable, match="connection"):
                await ping(database)
        await ping(database)


async def test_after_a_restart_of_the_server_the_next_transaction_works_again(server: Postgres) -> None:
    async with Database(server.url, pool_size=4) as database:
        await asyncio.gather(*(ping(database) for _ in range(4)))
        await asyncio.to_thread(server.kill)
        with pytest.raises(LedgerUnavailable):
            await ping(database)
        await asyncio.to_thread(server.start)
        for _ in range(8):  # more than the pool holds: none of the dead connections may reach a transaction
            await ping(database)


async def test_a_restart_that_nobody_noticed_costs_no_transaction(server: Postgres) -> None:
    async with Database(server.url, pool_size=4) as database:
        await asyncio.gather(*(ping(database) for _ in range(4)))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await asyncio.gather(*(ping(database) for _ in range(4)))


async def test_a_server_that_dies_in_the_middle_of_a_transaction_is_unavailable_and_nothing_is_half_written(
    server: Postgres,
) -> None:
    async with Database(server.url) as database:
        deployment = await a_deployment(database)
        batch = await Try.take(database, deployment.id)
        with pytest.raises(LedgerUnavailable):
            async with database.transaction() as session:
                claim = await batch._claims(session).claim(deployment.assets[0])
                assert claim.fence is not None
                await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        assert (await counts(database, deployment.id)).by_state == {HostState.PENDING: 4}
        await batch.settle(await batch.fence(deployment.assets[0]))


async def test_what_was_committed_outlives_a_kill_of_the_server(server: Postgres) -> None:
    async with Database(server.url) as database:
        deployment = await a_deployment(database)
        batch = await Try.take(database, deployment.id)
        fence = await batch.fence(deployment.assets[0])
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await batch.settle(fence)
        assert (await counts(database, deployment.id)).of(HostState.SUCCEEDED) == 1
        assert await batch.fence(deployment.assets[1]) > fence


async def test_a_value_that_no_column_takes_is_a_wrong_request_and_not_a_matter_of_asking_again(
    database: Database,
) -> None:
    with pytest.raises(InvalidRequest, match="out of range") as raised:
        async with database.transaction() as session:
            await session.execute(text("select 99999999999::integer"))
    assert not raised.value.retryable


async def test_a_fault_of_our_own_statements_is_not_taken_for_an_absent_database(database: Database) -> None:
    with pytest.raises(DBAPIError, match="syntax error") as raised:
        async with database.transaction() as session:
            await session.execute(text("select from from"))
    assert not isinstance(raised.value, LedgerUnavailable)


async def test_a_database_without_our_tables_is_told_with_the_command_that_makes_them(
    database: Database, sql: psycopg.Connection
) -> None:
    sql.execute("drop schema public cascade")
    with pytest.raises(LedgerUnavailable, match="vulnzero db migrate"):
        await a_deployment(database)


def test_a_url_of_another_database_is_refused_without_its_password() -> None:
    with pytest.raises(LedgerUnavailable, match="no PostgreSQL URL") as raised:
        Database("mysql://root:secret@db/vulnzero")
    assert "secret" not in str(raised.value)
