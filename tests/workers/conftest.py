"""A real Temporal for the tests of workers."""

from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from starter.dev.scratch import scratch_temporal
from starter.dev.temporal import Temporal


@pytest.fixture(scope="session")
def temporal() -> Iterator[Temporal]:
    """Without any search attribute: the workflows of these tests set none."""
    with scratch_temporal() as server:
        yield server


@pytest.fixture(scope="session")
async def client(temporal: Temporal) -> AsyncIterator[Client]:
    yield await Client.connect(temporal.address, namespace=temporal.namespace, data_converter=pydantic_data_converter)
