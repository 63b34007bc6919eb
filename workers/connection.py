"""The connection to Temporal: one address, one way to connect, one error that says who named it."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.contracts.errors import VulnzeroError

if TYPE_CHECKING:
    from temporalio.client import Client

CONNECT_SECONDS = 10.0


class StackUnreachable(VulnzeroError):
    """Something that is needed is not there. Trying again helps once somebody has started it."""

    retryable = True


class TemporalUnavailable(StackUnreachable):
    def __init__(self, address: str, source: str, problem: str) -> None:
        super().__init__(
            f"Temporal does not answer at {address} ({source}): {problem}",
            "is it running, and TEMPORAL_ADDRESS right?",
        )


@dataclass(frozen=True)
class TemporalAddress:
    """`source` is who named it. `profile` (a temporalio ClientConfigProfile) holds TLS, API key and headers of the
    person's own configuration; None for the dev stack, which must never be sent them."""

    address: str
    namespace: str
    source: str
    profile: object | None = None

    async def connect(self) -> "Client":
        """Raises TemporalUnavailable after CONNECT_SECONDS at the latest."""
        from temporalio.client import Client
        from temporalio.contrib.pydantic import pydantic_data_converter
        from temporalio.envconfig import ClientConfigProfile
        from temporalio.service import RPCError

        options = self.profile.to_client_connect_config() if isinstance(self.profile, ClientConfigProfile) else {}
        options["target_host"], options["namespace"] = self.address, self.namespace
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await Client.connect(**options, data_converter=pydantic_data_converter)
        except TimeoutError:
            raise TemporalUnavailable(self.address, self.source, f"no answer in {CONNECT_SECONDS:.0f} s") from None
        except RPCError as error:
            raise TemporalUnavailable(self.address, self.source, error.message) from None
        except (RuntimeError, ValueError) as error:
            raise TemporalUnavailable(self.address, self.source, _short(str(error))) from None


def _short(text: str) -> str:
    """The SDK's connect error is a page of Rust debug output; its last named cause is what helps."""
    for cause in ("Connection refused", "failed to lookup address", "invalid port", "InvalidUri", "TimedOut", "tls"):
        if cause.lower() in text.lower():
            return cause.lower()
    return " ".join(text.split())[:160]
