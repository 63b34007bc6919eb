"""A worker does not start where its workflows would hang for want of a search attribute."""

import asyncio
import re

import pytest
from temporalio.client import Client

from starter.dev.temporal import Temporal, find_binary
from workers.search_attributes import MissingSearchAttributes, require
from workflows.contracts.names import SEARCH_ATTRIBUTES


async def test_what_is_missing_is_named_with_the_command_that_adds_it_and_that_command_works(
    client: Client, temporal: Temporal
) -> None:
    with pytest.raises(MissingSearchAttributes) as raised:
        await require(client)
    for name in SEARCH_ATTRIBUTES:
        assert name in raised.value.message
    assert not raised.value.retryable
    command = raised.value.mend.removeprefix("add them: ")
    words = command.split()
    assert words[0] == "temporal"
    # Word by word as it is told; an operator who pastes it must be helped by it.
    added = await asyncio.create_subprocess_exec(str(find_binary()), *words[1:], "--address", temporal.address)
    assert await added.wait() == 0
    await require(client)
    assert re.fullmatch(r"[ -~]+", command)
