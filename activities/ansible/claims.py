"""The worker's end of the claim: a Unix socket where each host of a batch asks whether it may start.

One connection an ask, newline JSON: `{"host": NAME}` -> `{"answer": "start", "fence": 17}` or
`{"answer": "no", "reason": "..."}`. While the answer is "wait" it is held back.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import Field

from activities.ansible.job import Frozen

log = logging.getLogger("vulnzero.ansible.claims")


class Start(Frozen):
    """Yes; `fence` goes to the host, which refuses any older one from then on."""

    answer: Literal["start"] = "start"
    fence: int = Field(ge=1)


class No(Frozen):
    answer: Literal["no"] = "no"
    reason: str = Field(max_length=4096)


ClaimAnswer = Annotated[Start | No, Field(discriminator="answer")]
Ask = Callable[[str], Awaitable[Start | No]]


class ClaimServer:
    """`async with ClaimServer(path, ask)`; the socket is 0600 and gone afterwards, as are the asks in hand."""

    def __init__(self, path: str, ask: Ask) -> None:
        self._path, self._ask = path, ask
        self._server: asyncio.Server | None = None
        self._asks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self._path)
            # The mode must be right before anybody can connect, who could take a host's claim. Not by umask: it is the
            # whole process's, and two servers that start at once would leave the narrow one behind for good.
            os.chmod(self._path, 0o600)  # noqa: PTH101
            listener.setblocking(False)
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, backlog=1024)
        except BaseException:
            listener.close()
            raise
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for ask in list(self._asks):
            ask.cancel()
        await asyncio.gather(*self._asks, return_exceptions=True)
        await self._server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host = json.loads(await reader.readline())["host"]
            answer = await self._answer(reader, host)
            if answer is not None:
                writer.write(answer.model_dump_json().encode() + b"\n")
                await writer.drain()
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("a claim was not understood or not answered: %s", error)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, host: str) -> Start | No | None:
        """The answer, or None when the host's run ended while it waited: a yes after that would hold a host for
        nobody."""
        asking = asyncio.ensure_future(self._ask(host))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return None
            return asking.result()
        except Exception as error:  # noqa: BLE001 - an ask that fails is a no, else its host would wait for ever
            log.warning("the claim of %s failed: %s", host, error)
            return No(reason=f"the claim failed: {type(error).__name__}")
        finally:
            for task in (asking, gone):
                task.cancel()
            await asyncio.gather(asking, gone, return_exceptions=True)
