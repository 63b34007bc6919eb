"""Following a deployment: the ledger at each event, and beside it what the workflow itself says it waits for."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from activities.database.views import DeploymentView, HostLine, LogLine
from starter.connection import Where
from starter.errors import NoResult
from starter.ledger import Ledger
from workflows.contracts.errors import LedgerUnavailable, VulnzeroError
from workflows.contracts.names import workflow_id
from workflows.contracts.status import Status

# Durations go on where nothing happens; where much happens, a fleet's events must not become as many looks.
LOOK_SECONDS = 1.0
AT_MOST_EVERY_SECONDS = 0.2
ASK_SECONDS = 1.0
_LOOKS_UNTIL_LOST = 5  # a workflow closes its row before it ends, but the two are not read at the same moment


@dataclass(frozen=True)
class Snapshot:
    """`events` are those since the last snapshot. `trouble` says what could not be read this time."""

    view: DeploymentView
    hosts: Sequence[HostLine]
    events: Sequence[LogLine]
    status: Status | None
    trouble: str


class Follower:
    """One person's look at one deployment. It only reads, so it may be stopped at any time."""

    def __init__(self, ledger: Ledger, where: Where, deployment_id: int, after: int = 0) -> None:
        self._ledger = ledger
        self._where = where
        self._id = deployment_id
        self._offset = after
        self._status: Status | None = None
        self._trouble = ""
        self._closed_in_temporal = 0
        self._how = ""

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        """Until the deployment is closed; the last snapshot holds its result and its last event.

        Raises what the first look raises (UnknownThing, LedgerUnavailable); later the ledger may be away for any
        time. Raises NoResult where Temporal shows the workflow as ended and the ledger stays open.
        """
        last = await self._look()
        yield last
        listener = self._ledger.listener(self._id)
        pause = AT_MOST_EVERY_SECONDS
        asking = asyncio.create_task(self._keep_asking(last.view.workflow_id or workflow_id(self._id)))
        try:
            while last.view.finished_at is None:
                if self._closed_in_temporal >= _LOOKS_UNTIL_LOST:
                    raise NoResult(self._id, self._how)
                await asyncio.sleep(pause)
                try:
                    await listener.heard(LOOK_SECONDS - AT_MOST_EVERY_SECONDS)
                    last, pause = await self._look(), AT_MOST_EVERY_SECONDS
                except LedgerUnavailable as error:
                    pause = LOOK_SECONDS
                    last = Snapshot(last.view, last.hosts, (), self._status, error.message)
                yield last
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            await listener.close()

    async def _look(self) -> Snapshot:
        # The row before its events: a row that is closed has its last event written, so none can be missed.
        view = await self._ledger.deployment(self._id)
        hosts = await self._ledger.hosts(self._id)
        events = [line async for line in self._ledger.events(self._id, self._offset)]
        self._offset = events[-1].offset if events else self._offset
        status = self._status if view.finished_at is None else None
        return Snapshot(view, hosts, events, status, self._trouble)

    async def _keep_asking(self, workflow: str) -> None:
        """Temporal is not needed to follow: without it, only what the deployment waits for stays unknown."""
        from temporalio.client import WorkflowExecutionStatus

        from starter import calls

        handle = None
        while True:
            try:
                if handle is None:
                    client = await self._where.temporal().connect()
                    handle = client.get_workflow_handle(workflow)
                shown = await calls.describe(client, handle)
                if shown is not WorkflowExecutionStatus.RUNNING:
                    self._closed_in_temporal += 1
                    self._how = shown.name.lower() if shown else "Temporal has no such workflow"
                else:
                    self._closed_in_temporal = 0
                    self._status = await calls.ask_status(client, handle)
                self._trouble = ""
            except VulnzeroError as error:
                self._trouble, self._status = error.message, None
            await asyncio.sleep(ASK_SECONDS)
