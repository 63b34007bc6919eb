"""The worker's handle on one batch: starts the supervisor, reads its lines, and leaves nothing behind.

    async with BatchRun(job) as run:
        async for line in run:
            ...

Every host of the job gets exactly one Outcome, and the last line is Finished, also when the supervisor is killed.
"""

import asyncio
import collections
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from activities.ansible.job import LINES, Finished, HostState, Job, Line, Outcome, bounded

log = logging.getLogger("vulnzero.ansible.runner")

LINE_LIMIT = 4 * 1024 * 1024
CANCEL_GRACE = 2.0
KEPT_DIAGNOSTICS = 50
SUPERVISOR = "activities.ansible.supervisor"


async def spawn_supervisor(module: str = SUPERVISOR) -> asyncio.subprocess.Process:
    """A supervisor that has imported what it needs and waits for its job; errors: OSError.

    Use it from the worker's main thread: the death signal follows the thread that started the supervisor, and a
    pool's thread that ends would take the batch with it.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
        env=_environment(),
        # A signal to the worker's group (Ctrl-C) must not end a batch behind the worker's back.
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Nothing of ours but what the supervisor needs: ours may hold the database's password."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "VULNZERO_PARENT": str(os.getpid()),
    }
    if "SSH_AUTH_SOCK" in os.environ:
        environment["SSH_AUTH_SOCK"] = os.environ["SSH_AUTH_SOCK"]
    return environment


class BatchRun:
    """One batch. `spare` is a supervisor that was spawned ahead, which saves its start-up; it serves one job."""

    module = SUPERVISOR

    def __init__(self, job: Job, spare: asyncio.subprocess.Process | None = None) -> None:
        self._job = job
        self._process = spare if spare is not None and spare.returncode is None else None
        self._lines: asyncio.Queue[Line | None] = asyncio.Queue()
        self._diagnostics: collections.deque[str] = collections.deque(maxlen=KEPT_DIAGNOSTICS)
        self._tasks: list[asyncio.Task[None]] = []
        self._open = dict.fromkeys(host.name for host in job.hosts)
        self._trouble = ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        try:
            self._process = self._process or await spawn_supervisor(self.module)
        except OSError as error:
            self._trouble = f"the supervisor could not be started: {error}"
            self._lines.put_nowait(None)
            return self
        # A task of its own reads, so that a supervisor never waits on a pipe that nobody empties while we cancel it.
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_diagnostics())]
        return self

    async def _read(self) -> None:
        process = self._process
        assert process and process.stdin and process.stdout
        try:
            process.stdin.write(self._job.model_dump_json().encode())
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
                process.stdin.close()
            while True:
                try:
                    text = await process.stdout.readline()
                    if not text:
                        break
                    self._lines.put_nowait(LINES.validate_json(text))
                except (ValidationError, ValueError) as error:
                    # Its host will be UNKNOWN at the end, which is the truth.
                    log.error("a line of the supervisor was not understood: %s", error)
            rc = await process.wait()
            self._trouble = f"the supervisor ended by signal {-rc}" if rc < 0 else f"the supervisor ended with {rc}"
        finally:
            self._lines.put_nowait(None)

    async def _read_diagnostics(self) -> None:
        assert self._process and self._process.stderr
        while True:
            try:
                text = await self._process.stderr.readline()
            except ValueError:
                continue
            if not text:
                return
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
        await self._end(CANCEL_GRACE)

    async def _end(self, grace: float) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._job.directory, ignore_errors=True)
