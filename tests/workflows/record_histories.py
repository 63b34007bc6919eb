"""Records the scenarios' histories: `pytest tests/workflows/record_histories.py`. No part of the suite."""

import asyncio

import pytest

from tests.workflows.conftest import Drive, Serve
from tests.workflows.scenarios import HISTORIES, REQUEST, SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
async def test_record(serve: Serve, drive: Drive, name: str) -> None:
    make, act = SCENARIOS[name]
    async with serve(make()):
        handle = await drive.start(REQUEST)
        await act(handle)
        await asyncio.wait_for(handle.result(), 60)
    (HISTORIES / f"{name}.json").write_text((await handle.fetch_history()).to_json())
