"""The worker's handle on one batch: starts the supervisor, reads its lines, and leaves nothing behind.

    async with BatchRun(job, warm.launch) as run:
        async for line in run:
            ...

Every host of the job gets exactly one Outcome, and the last line is Finished, also when the supervisor is killed.
"""

import asyncio
import collections
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from activities.ansible.job import LINES, Finished, HostState, Job, Line, Outcome, bounded
from activities.ansible.launching import Launch, Process, cold

log = logging.getLogger("vulnzero.ansible.runner")

LINE_LIMIT = 4 * 1024 * 1024
CANCEL_GRACE = 2.0
KEPT_DIAGNOSTICS = 50


class BatchRun:
    """One batch, in a supervisor that `launch` starts."""

    def __init__(self, job: Job, launch: Launch = cold) -> None:
        self._job, self._launch = job, launch
        self._process: Process | None = None
        self._lines: asyncio.Queue[Line | None] = asyncio.Queue()
        self._diagnostics: collections.deque[str] = collections.deque(maxlen=KEPT_DIAGNOSTICS)
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._open = dict.fromkeys(host.name for host in job.hosts)
        self._trouble = ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        try:
            launched = await self._launch()
        except OSError as error:
            self._trouble = f"the supervisor could not be started: {error}"
            self._lines.put_nowait(None)
            return self
        self._process = launched.process
        lines, job = await asyncio.open_unix_connection(sock=launched.talk, limit=LINE_LIMIT)
        said, unused = await asyncio.open_unix_connection(sock=launched.said, limit=LINE_LIMIT)
        self._writers = [job, unused]
        # A task of its own reads, so that a supervisor never waits on a line that nobody empties while we cancel it.
        self._tasks = [
            asyncio.create_task(self._read(launched.process, lines, job)),
            asyncio.create_task(self._read_diagnostics(said)),
        ]
        return self

    async def _read(self, process: Process, lines: asyncio.StreamReader, job: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                job.write(self._job.model_dump_json().encode())
                await job.drain()
                job.write_eof()
            while text := await self._next(lines):
                try:
                    self._lines.put_nowait(LINES.validate_json(text))
                except ValidationError as error:
                    # Its host will be UNKNOWN at the end, which is the truth.
                    log.error("a line of the supervisor was not understood: %s", error)
            rc = await process.wait()
            self._trouble = f"the supervisor ended by signal {-rc}" if rc < 0 else f"the supervisor ended with {rc}"
        finally:
            self._lines.put_nowait(None)

    @staticmethod
    async def _next(stream: asyncio.StreamReader) -> bytes:
        """The next line that is not too long; empty at the end, which a killed supervisor may bring about rudely."""
        while True:
            try:
                return await stream.readline()
            except ValueError as error:
                log.error("a line of the supervisor was too long: %s", error)
            except OSError:
                return b""

    async def _read_diagnostics(self, said: asyncio.StreamReader) -> None:
        while text := await self._next(said):
            line = bounded(text.decode(errors="replace").rstrip(), 2048)
            self._diagnostics.append(line)
            log.debug("batch %s: %s", self._job.batch, line)

    async def __aiter__(self) -> AsyncIterator[Line]:
        """Ends after Finished. What a crash left open is closed here, as outcomes and never as an exception."""
        while (line := await self._lines.get()) is not None:
            if isinstance(line, Finished):
                yield line
                return
            if isinstance(line, Outcome):
                self._open.pop(line.host, None)
            yield line
        for host in list(self._open):
            # A supervisor that never began, began nothing; one that was killed may have.
            state: HostState = "NOT_CLAIMED" if self._process is None else "UNKNOWN"
            self._open.pop(host)
            yield Outcome(host=host, state=state, message=f"{self._trouble} before it told how this host ended")
        yield Finished(rc=None, status="crashed", detail=bounded("\n".join([self._trouble, *self._diagnostics])))

    async def cancel(self) -> None:
        """End the run within about 2 s; the iteration goes on to the outcomes of the hosts in hand, and Finished."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), CANCEL_GRACE)
        except TimeoutError:
            await self._kill()

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.to_thread(shutil.rmtree, self._job.directory, ignore_errors=True)
