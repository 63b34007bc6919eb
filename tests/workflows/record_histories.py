"""Records the scenarios' histories: `pytest tests/workflows/record_histories.py`. No part of the suite."""

import asyncio

import pytest

from tests.workflows.conftest import Drive, Serve
from tests.workflows.scenarios import HISTORIES, REQUEST, SCENARIOS
from workflows.contracts.strategies import STRATEGIES


@pytest.mark.parametrize("name", SCENARIOS)
async def test_record(serve: Serve, drive: Drive, name: str) -> None:
    make, act = SCENARIOS[name]
    world = make()
    async with serve(world):
        kind = next(kind for kind, model in STRATEGIES.items() if isinstance(world.params, model))
        handle = await drive.start(REQUEST, kind)
        await act(handle)
        await asyncio.wait_for(handle.result(), 60)
    (HISTORIES / f"{name}.json").write_text((await handle.fetch_history()).to_json())
