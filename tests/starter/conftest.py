"""A stack for what talks to one. Each test has a Temporal of its own too: deployment 1 of one test is not another's."""

from collections.abc import AsyncIterator, Iterator

import pytest

from activities.database.session import Database
from starter.client import DeploymentClient
from starter.dev.scratch import scratch_temporal
from starter.dev.temporal import Temporal
from tests.starter.cli.simulated import PATCH, Hosts, assets
from workflows.contracts.names import SEARCH_ATTRIBUTES


@pytest.fixture
def temporal() -> Iterator[Temporal]:
    with scratch_temporal(search_attributes=SEARCH_ATTRIBUTES) as server:
        yield server


@pytest.fixture
async def client(temporal: Temporal, database_url: str) -> AsyncIterator[DeploymentClient]:
    """Connected; six assets and one patch are in the inventory, and no worker runs."""
    async with await DeploymentClient.connect(database_url, temporal.address, temporal.namespace) as connected:
        await connected.ledger.import_assets(assets(6))
        await connected.ledger.import_patches([PATCH])
        yield connected


@pytest.fixture
def hosts(database: Database) -> Hosts:
    return Hosts(database)
