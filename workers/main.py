"""A worker process: connect, check, put in order, serve, drain."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from temporalio.client import Client
from temporalio.service import RPCError

from activities.database.fences import raise_fences
from activities.database.session import Database
from workers import recovery, search_attributes
from workers.connection import TemporalAddress
from workers.registry import build
from workers.settings import Settings
from workflows.contracts.errors import InvalidRequest, VulnzeroError

log = logging.getLogger("vulnzero.worker")

# Seconds. Looking for dead neighbours is one small query, and each second here is one that hosts wait half patched.
REAP_EVERY = 2.0
RECONCILE_EVERY = 30.0


async def serve(settings: Settings, temporal: TemporalAddress) -> None:
    """Serves the settings' queues until SIGTERM or SIGINT, then drains: hosts in hand finish, others are left."""
    if settings.database_url is None:
        raise InvalidRequest("DATABASE_URL", "is not set", "write postgresql://user:password@host:port/name")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await temporal.connect()
    await search_attributes.require(client)
    async with Database(settings.database_url) as database, AsyncExitStack() as stack:
        async with database.transaction() as session:
            await raise_fences(session)
        for worker in build(client, database, settings):
            await stack.enter_async_context(worker)
        log.info("serving %s", ", ".join(settings.queues))
        keeping = [
            asyncio.create_task(_every(REAP_EVERY, recovery.fail_dead_batches, client, database)),
            asyncio.create_task(_every(RECONCILE_EVERY, recovery.reconcile, client, database)),
        ]
        await stop.wait()
        log.info("stopping: hosts in hand have %s s to finish", settings.drain_seconds)
        for task in keeping:
            task.cancel()


async def _every(
    seconds: float, work: Callable[[Client, Database], Awaitable[int]], client: Client, database: Database
) -> None:
    """Keeps at it for the worker's life: a server that is away now is back later, and a fault is no reason to stop."""
    while True:
        try:
            await work(client, database)
        except VulnzeroError as error:
            log.warning("%s waits: %s", work.__name__, error)
        except RPCError as error:
            log.warning("%s waits: Temporal answered: %s", work.__name__, error.message)
        except Exception:  # nobody awaits this task: it would end unseen, and dead batches would stay
            log.exception("%s failed; it goes on in %s s", work.__name__, seconds)
        await asyncio.sleep(seconds)


def run(settings: Settings, temporal: TemporalAddress) -> None:
    """Blocks until the worker is stopped. Raises VulnzeroError where it cannot start."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    # Its own lines repeat, at length, what our activities report in one.
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(serve(settings, temporal))
