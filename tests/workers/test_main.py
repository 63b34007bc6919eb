"""What a worker keeps at for its whole life goes on after any fault."""

import asyncio
from typing import cast

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.database.session import Database
from workers.connection import TemporalAddress
from workers.main import _every, serve
from workers.settings import Settings
from workflows.contracts.errors import InvalidRequest, LedgerUnavailable

FAULTS = [
    LedgerUnavailable("the database does not answer"),
    RPCError("unavailable", RPCStatusCode.UNAVAILABLE, b""),
    ZeroDivisionError("a bug"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_what_is_kept_at_goes_on_after_a_fault(fault: Exception) -> None:
    tries, again = 0, asyncio.Event()

    async def work(client: Client, database: Database) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise fault
        again.set()
        return 0

    keeping = asyncio.create_task(_every(0, work, cast(Client, None), cast(Database, None)))
    try:
        await asyncio.wait_for(again.wait(), 10)
    finally:
        keeping.cancel()


async def test_a_worker_without_a_database_says_which_variable_it_misses() -> None:
    with pytest.raises(InvalidRequest, match="DATABASE_URL: is not set"):
        await serve(Settings(), TemporalAddress("127.0.0.1:1", "default", "the test"))
