"""The log of a deployment while it is written: told at once, nothing twice, nothing lost, also over a dead database."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from activities.database import events, listening
from activities.database.events import Events, NewEvent
from activities.database.migrate import upgrade
from activities.database.session import Database
from starter import feed as feeds
from starter.dev.scratch import scratch_postgres
from starter.feed import Feed
from starter.ledger import Ledger
from tests.activities.ledger import a_deployment, close
from tests.support.waiting import until
from workflows.contracts.errors import LedgerUnavailable, UnknownThing


class Reader:
    """Follows in the background; `offsets` and `said` are what came so far."""

    def __init__(self, feed: Feed) -> None:
        self.offsets: list[int] = []
        self.said: list[str] = []
        self.troubles: list[str] = []
        self.task = asyncio.create_task(self._follow(feed))

    async def _follow(self, feed: Feed) -> None:
        async with aclosing(feed.lines()) as lines:
            async for line in lines:
                self.offsets.append(line.offset)
                self.said.append(line.message)

    async def has(self, message: str, seconds: float = 20.0) -> None:
        await until(lambda: message in self.said, f"{message!r} is told", lambda: str(self.said), seconds)


@asynccontextmanager
async def following(url: str, deployment: int, after: int = 0) -> AsyncIterator[Reader]:
    async with Ledger(url) as ledger:
        feed = Feed(ledger, deployment, after, trouble=lambda words: reader.troubles.append(words))
        reader = Reader(feed)
        try:
            yield reader
        finally:
            reader.task.cancel()
            await asyncio.gather(reader.task, return_exceptions=True)


async def tell(database: Database, deployment: int, *texts: str) -> None:
    async with database.transaction() as session:
        await Events(session).add(deployment, *(NewEvent(kind="task", message=text) for text in texts))


def test_writers_and_listeners_mean_the_same_channel() -> None:
    assert listening.CHANNEL == events.CHANNEL


async def test_news_is_told_when_it_is_committed_and_not_at_the_next_look(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LOOK_ANYWAY_SECONDS", 3600.0)
    deployment = (await a_deployment(database)).id
    async with following(database_url, deployment) as reader:
        for number in range(20):
            await tell(database, deployment, f"line {number}")
            await reader.has(f"line {number}")
        started = time.monotonic()
        await tell(database, deployment, "last")
        await reader.has("last")
        assert time.monotonic() - started < 5
        assert reader.offsets == list(range(1, len(reader.offsets) + 1))


async def test_many_writers_at_once_are_told_once_each_and_in_order(database: Database, database_url: str) -> None:
    deployment = (await a_deployment(database)).id

    async def write(writer: int) -> None:
        for number in range(20):
            await tell(database, deployment, f"{writer}.{number}", f"{writer}.{number}b")

    async with following(database_url, deployment) as reader:
        await asyncio.gather(*(write(writer) for writer in range(8)))
        await close(database, deployment)
        await asyncio.wait_for(reader.task, 20)
    assert reader.offsets == list(range(1, 2 + 8 * 20 * 2 + 1 + 1))


async def test_it_ends_with_the_deployment_and_has_its_last_word(database: Database, database_url: str) -> None:
    deployment = (await a_deployment(database)).id
    async with following(database_url, deployment) as reader:
        await tell(database, deployment, "before the end")
        await close(database, deployment, message="all is well")
        await asyncio.wait_for(reader.task, 20)
    assert reader.said[-2:] == ["before the end", "SUCCEEDED: all is well"]


async def test_it_resumes_behind_an_offset(database: Database, database_url: str) -> None:
    deployment = (await a_deployment(database)).id
    await tell(database, deployment, "three", "four")
    await close(database, deployment)
    async with following(database_url, deployment, after=3) as reader:
        await asyncio.wait_for(reader.task, 20)
    assert reader.said == ["four", "SUCCEEDED: done"]


async def test_a_database_that_dies_and_comes_back_costs_no_line_and_doubles_none() -> None:
    with scratch_postgres({}) as server:
        upgrade(server.url)
        async with Database(server.url) as database:
            deployment = (await a_deployment(database)).id
            await tell(database, deployment, "before")
            async with following(server.url, deployment) as reader:
                await reader.has("before")
                for death in range(3):
                    await asyncio.to_thread(server.kill)
                    await until(lambda at=death: len(reader.troubles) == 2 * at + 1, "the trouble is told")  # type: ignore[misc]
                    await asyncio.to_thread(server.start)
                    await tell(database, deployment, f"after death {death}")
                    await reader.has(f"after death {death}")
                    # It is told behind the first lines: a death before that would be the same trouble, not a new one.
                    await until(lambda at=death: len(reader.troubles) == 2 * at + 2, "the end is told")  # type: ignore[misc]
                await close(database, deployment)
                await asyncio.wait_for(reader.task, 20)
                assert reader.offsets == list(range(1, len(reader.offsets) + 1))
                assert reader.said[-2:] == ["after death 2", "SUCCEEDED: done"]
                assert reader.troubles[0].startswith("the database does not answer: ")
                assert reader.troubles[1::2] == ["the database is back"] * 3


async def test_what_is_wrong_from_the_start_is_raised(database_url: str) -> None:
    async with Ledger(database_url) as ledger:
        with pytest.raises(UnknownThing):
            await anext(Feed(ledger, 77).lines())
    async with Ledger("postgresql://postgres@127.0.0.1:1/none") as ledger:
        with pytest.raises(LedgerUnavailable):
            await anext(Feed(ledger, 1).lines())


async def test_a_reader_finds_the_server_again_without_an_error(database: Database, database_url: str) -> None:
    """As after a restart of the server: the connection is dead, and only its next use can tell."""
    reader = listening.Reader(database_url)
    (one,) = await reader.rows("select pg_backend_pid() as pid")
    await (other := listening.Reader(database_url)).rows("select pg_terminate_backend(%(pid)s)", **one)
    (two,) = await reader.rows("select pg_backend_pid() as pid")
    assert one != two
    for each in (reader, other):
        await each.close()
