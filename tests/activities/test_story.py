"""Task events on their way to the ledger: kept while the database is away, written later, each once, bounded."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import pytest
from temporalio.testing import ActivityEnvironment

from activities import story
from activities.ansible.job import TaskEvent
from activities.database.events import Events
from activities.database.migrate import upgrade
from activities.database.session import Database
from activities.story import Story
from starter.dev.postgres import Postgres
from starter.dev.scratch import scratch_postgres
from tests.activities.ledger import Frozen, a_deployment
from tests.support.waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with scratch_postgres() as server:
        upgrade(server.url)
        yield server


def event(number: int) -> TaskEvent:
    return TaskEvent(host="web-001", task="patch", status="ok", message=str(number), at=datetime.now(UTC))


async def told(database: Database, deployment: Frozen) -> list[str]:
    async with database.transaction() as session:
        events = await Events(session).read(deployment.id, limit=20_000)
    return [event.message.removeprefix("patch: ok, ") for event in events if event.kind == "task"]


async def within(database: Database, act: Callable[[Story, Frozen], Awaitable[None]]) -> list[str]:
    """What the ledger tells after `act` has had an open story."""
    deployment = await a_deployment(database)

    async def run() -> None:
        async with Story(database, deployment.id) as open_story:
            await act(open_story, deployment)

    await ActivityEnvironment().run(run)
    return await told(database, deployment)


async def test_what_was_told_last_is_written_at_the_end(database: Database) -> None:
    async def act(open_story: Story, deployment: Frozen) -> None:
        for number in range(3):
            open_story.tell(deployment.assets[0], event(number))

    assert await within(database, act) == ["0", "1", "2"]


async def test_events_are_written_while_the_story_goes_on(database: Database) -> None:
    async def act(open_story: Story, deployment: Frozen) -> None:
        async def written() -> bool:
            return await told(database, deployment) == ["1"]

        open_story.tell(deployment.assets[0], event(1))
        await until(written, "the event is written before the end")

    await within(database, act)


async def test_an_end_in_the_middle_of_a_write_tells_nothing_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "TOGETHER", 0.001)
    committing = asyncio.Event()
    write = Events.add

    async def slow(self: Events, deployment_id: int, *events: object) -> None:
        await write(self, deployment_id, *events)  # type: ignore[arg-type]
        await self._session.commit()  # done on the server, and not yet known here
        committing.set()
        await asyncio.sleep(0.05)

    monkeypatch.setattr(Events, "add", slow)

    async def act(open_story: Story, deployment: Frozen) -> None:
        committing.clear()
        open_story.tell(deployment.assets[0], event(1))
        await committing.wait()

    assert await within(database, act) == ["1"]


async def test_what_is_told_while_a_full_story_is_being_written_is_counted_as_dropped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "AT_MOST", 3)
    monkeypatch.setattr(story, "TOGETHER", 0.001)
    writing, write = asyncio.Event(), Events.add

    async def slow(self: Events, deployment_id: int, *events: object) -> None:
        await write(self, deployment_id, *events)  # type: ignore[arg-type]
        writing.set()
        await asyncio.sleep(0.02)

    async def act(open_story: Story, deployment: Frozen) -> None:
        monkeypatch.setattr(Events, "add", slow)
        for number in range(3):
            open_story.tell(deployment.assets[0], event(number))
        await writing.wait()
        for number in range(3, 5):
            open_story.tell(deployment.assets[0], event(number))

        async def written() -> bool:
            return await told(database, deployment) == ["0", "1", "2"]

        await until(written, "the first three are written, and nothing else")

    assert await within(database, act) == ["0", "1", "2", "2 task events were dropped here"]


async def test_events_wait_for_a_database_that_is_away_and_are_bounded(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "AT_MOST", 5)

    async def act(open_story: Story, deployment: Frozen) -> None:
        await asyncio.to_thread(server.kill)
        for number in range(8):
            open_story.tell(deployment.assets[0], event(number))
        await open_story._flush()  # fails, and keeps what it has
        await asyncio.to_thread(server.start)

    async with Database(server.url) as database:
        assert await within(database, act) == ["0", "1", "2", "3", "4", "3 task events were dropped here"]
