"""The story of a deployment is read in one order, whoever writes at once, and a reader that resumes loses nothing."""

import asyncio

import psycopg
import pytest

from activities.database.events import CHANNEL, Event, Events, NewEvent
from activities.database.session import Database
from tests.activities.ledger import Try, a_deployment, enqueue, store
from workflows.contracts.names import HostState

WRITERS, EACH = 12, 10


async def add(database: Database, deployment_id: int, *texts: str) -> None:
    async with database.transaction() as session:
        await Events(session).add(deployment_id, *(NewEvent(kind="task", message=text) for text in texts))


async def read(database: Database, deployment_id: int, after: int = 0, limit: int = 1000) -> list[Event]:
    async with database.transaction() as session:
        return list(await Events(session).read(deployment_id, after, limit))


async def test_a_reader_that_resumes_by_offset_never_loses_a_row_under_many_writers(database: Database) -> None:
    deployment = (await a_deployment(database)).id
    begin = (await read(database, deployment))[-1].offset
    writing = asyncio.Event()

    async def write(number: int) -> None:
        for index in range(EACH):
            async with database.transaction() as session:
                texts = [f"{number}.{index}.{part}" for part in range(1 + index % 3)]
                await Events(session).add(deployment, *(NewEvent(kind="task", message=text) for text in texts))
                await asyncio.sleep(0)  # others run between the offset and its commit

    async def follow() -> list[Event]:
        seen: list[Event] = []
        while True:
            over = writing.is_set()
            new = await read(database, deployment, seen[-1].offset if seen else begin, limit=7)
            seen += new
            if over and not new:
                return seen

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    writing.set()
    seen = await following
    assert [event.offset for event in seen] == list(range(begin + 1, begin + 1 + len(seen)))
    assert sorted(event.message for event in seen) == sorted(
        f"{number}.{index}.{part}"
        for number in range(WRITERS)
        for index in range(EACH)
        for part in range(1 + index % 3)
    )


async def test_an_offset_is_not_given_twice_while_its_writer_has_not_committed(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = (await a_deployment(database)).id
    begin = (await read(database, deployment))[-1].offset
    async with database.transaction() as session:
        await Events(session).add(deployment, NewEvent(kind="task", message="first"))
        second = asyncio.create_task(add(database, deployment, "second"))
        for _ in range(50):  # the second writer may only finish after us; a faulty one shows within these turns
            await asyncio.sleep(0.002)
            assert not second.done() and (await read(database, deployment, begin)) == []
    await second
    assert [(event.offset, event.message) for event in await read(database, deployment, begin)] == [
        (begin + 1, "first"),
        (begin + 2, "second"),
    ]


async def test_a_transaction_that_fails_leaves_no_gap(database: Database) -> None:
    deployment = (await a_deployment(database)).id
    begin = (await read(database, deployment))[-1].offset
    with pytest.raises(RuntimeError):
        async with database.transaction() as session:
            await Events(session).add(deployment, NewEvent(kind="task", message="never"))
            raise RuntimeError
    await add(database, deployment, "next")
    assert [(event.offset, event.message) for event in await read(database, deployment, begin)] == [(begin + 1, "next")]


async def test_each_deployment_counts_its_own_offsets_from_1(database: Database) -> None:
    patch_id, _ = await store(database, 1)
    one, two = await enqueue(database, patch_id), await enqueue(database, patch_id)
    await add(database, two, "a", "b")
    assert [event.offset for event in await read(database, one)] == [1]
    assert [event.offset for event in await read(database, two)] == [1, 2, 3]


async def test_an_event_of_a_host_carries_its_name(database: Database) -> None:
    deployment = await a_deployment(database)
    await (await Try.take(database, deployment.id)).fence(deployment.assets[0])
    last = (await read(database, deployment.id))[-1]
    assert (last.kind, last.host, last.message) == ("host", "web-001", "claimed")
    assert last.data is not None and last.data["state"] == HostState.RUNNING


@pytest.mark.parametrize("text", ["nul \x00 byte", "half a pair \ud800"])
async def test_what_a_host_says_is_told_even_where_postgresql_cannot_store_it(database: Database, text: str) -> None:
    deployment = (await a_deployment(database)).id
    async with database.transaction() as session:
        event = NewEvent(kind="task", message=text, data={"task": text, "deeper": [{text: text}]})
        await Events(session).add(deployment, event)
    told = (await read(database, deployment))[-1]
    assert told.message.startswith(text[:3]) and "\x00" not in told.message


async def test_listeners_hear_of_new_events_once_they_are_committed(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = (await a_deployment(database)).id
    sql.execute(f"listen {CHANNEL}".encode())
    await add(database, deployment, "news")
    heard = next(sql.notifies(timeout=10, stop_after=1), None)
    assert heard is not None and heard.payload == str(deployment)
    assert (await read(database, deployment))[-1].message == "news"
