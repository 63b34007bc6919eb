"""The connection to Temporal, as the environment says (the names that temporalio.envconfig reads)."""

import asyncio
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from workflows.contracts.errors import VulnzeroError


class TemporalUnreachable(VulnzeroError):
    retryable = True


async def connect(seconds: float = 10.0, **given: Any) -> Client:
    """`given` (target_host, namespace) beats the environment. Raises TemporalUnreachable naming the address."""
    options: dict[str, Any] = {**ClientConfig.load_client_connect_config(config_file_strict=True), **given}
    address = options.get("target_host") or "localhost:7233"
    options["target_host"] = address
    try:
        return await asyncio.wait_for(Client.connect(**options, data_converter=pydantic_data_converter), seconds)
    except (RuntimeError, RPCError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else f"no answer within {seconds:.0f} s"
        raise TemporalUnreachable(
            f"Temporal at {address} does not answer ({reason[:120]})",
            "is it running, and TEMPORAL_ADDRESS right? 'vulnzero dev' starts one",
        ) from error
