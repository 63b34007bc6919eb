"""Task events on their way to the ledger: together, ten times a second, and kept while the database is away."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from temporalio import activity

from activities.ansible.job import TaskEvent
from activities.database.events import Events, NewEvent
from activities.database.session import Database
from workflows.contracts.errors import LedgerUnavailable

TOGETHER = 0.1  # seconds: a commit an event would cost more than the work it tells of
AT_MOST = 10_000  # events kept while the database is away; outcomes are not among them


class Story:
    """`async with Story(...) as story`: what was told is written at the end at the latest."""

    def __init__(self, database: Database, deployment_id: int) -> None:
        self._database = database
        self._deployment_id = deployment_id
        self._waiting: list[NewEvent] = []
        self._dropped = 0
        self._over = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def tell(self, asset_id: int, event: TaskEvent) -> None:
        if len(self._waiting) >= AT_MOST:
            self._dropped += 1
            return
        text = f"{event.task}: {event.status}" + (f", {event.message}" if event.message else "")
        data = {"task": event.task, "status": event.status}
        self._waiting.append(NewEvent(kind="task", asset_id=asset_id, message=text, data=data))

    async def _flush(self) -> None:
        if not self._waiting and not self._dropped:
            return
        written, dropped = len(self._waiting), self._dropped  # more may be told while these are on their way
        events = self._waiting[:written]
        if dropped:
            events.append(NewEvent(kind="task", message=f"{dropped} task events were dropped here"))
        try:
            async with self._database.transaction() as session:
                await Events(session).add(self._deployment_id, *events)
        except LedgerUnavailable as error:
            activity.logger.warning("%d task events wait: %s", len(events), error)
            return
        del self._waiting[:written]
        self._dropped -= dropped

    async def __aenter__(self) -> Self:
        async def write() -> None:
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), TOGETHER)
                await self._flush()
            await self._flush()

        self._writing = asyncio.create_task(write())
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # Not cancelled: a write that was cut off may have been committed, and would be told twice.
        assert self._writing is not None
        self._over.set()
        await self._writing
