"""The worker's hold on its zygote: starts it when first needed, again when it died, and does without it if it must.

    warm = Warm(directory)              one a worker process; use it from the event loop's main thread only
    async with BatchRun(job, warm.launch) as run: ...
    await warm.close()

Its zygote ends with the worker, however that ends, and what it has forked ends with it.
"""

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from activities.ansible.launching import Launched, Wire, cold, scrubbed

log = logging.getLogger("vulnzero.ansible.warm")

ZYGOTE = "activities.ansible.zygote"
MESSAGE = 4096
# Seconds. An import takes one, on a machine that is overloaded ten; a fork takes none.
READY_WITHIN = 30.0
FORKED_WITHIN = 10.0
# After a zygote could not start, batches do without one for so long (seconds).
TRY_AGAIN = 60.0


class ZygoteGone(OSError):
    """There is no zygote, or it ended before it did what was asked."""


def _own_folder(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="warm-", dir=directory))


class Forked:
    """A supervisor that a zygote forked; `launching.Process`."""

    def __init__(self, zygote: "_Zygote", batch: int, pid: int) -> None:
        self._zygote, self._batch = zygote, batch
        self._ended = asyncio.Event()
        self.pid = pid
        self.returncode: int | None = None

    def has_ended(self, rc: int) -> None:
        self.returncode = rc
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def terminate(self) -> None:
        self._zygote.signal(self._batch, signal.SIGTERM)

    def kill(self) -> None:
        self._zygote.signal(self._batch, signal.SIGKILL)


class _Zygote:
    """One zygote's life, from `start` to the end of its socket, after which it can do nothing any more."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, directory: Path) -> None:
        loop = asyncio.get_running_loop()
        self.process, self._control, self._directory = process, control, directory
        self.ready: asyncio.Future[None] = loop.create_future()
        self._starting: dict[int, asyncio.Future[Forked]] = {}
        self._running: dict[int, Forked] = {}
        self._count = 0
        self.dead = False
        loop.add_reader(control, self._hear)

    @classmethod
    async def start(cls, directory: Path) -> "_Zygote":
        """Errors: OSError."""
        own = await asyncio.to_thread(_own_folder, directory)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as on_failure:
            on_failure.callback(shutil.rmtree, own, ignore_errors=True)
            on_failure.callback(ours.close)
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                ZYGOTE,
                str(own),
                stdin=theirs.fileno(),
                env=scrubbed(),
                start_new_session=True,
            )
            on_failure.pop_all()
        return cls(process, ours, own)

    async def fork(self) -> Launched:
        """A supervisor that waits for its job. Errors: ZygoteGone."""
        self._count += 1
        batch = self._count
        started = self._starting[batch] = asyncio.get_running_loop().create_future()
        try:
            with Wire() as wire:
                fds = [wire.their_talk.fileno(), wire.their_said.fileno()]
                self._send({"start": batch}, fds)
                return wire.handed_to(await started)
        finally:
            self._starting.pop(batch, None)

    def signal(self, batch: int, number: int) -> None:
        if batch in self._running:
            self._send({"signal": number, "batch": batch})

    def _send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], fds or [])
        except OSError as error:
            # One that no longer listens would leave a batch that nobody can end: this ends all that it has.
            self.kill()
            raise ZygoteGone(f"the zygote does not listen: {error}") from error

    def _hear(self) -> None:
        try:
            data = self._control.recv(MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        message: dict[str, int] = json.loads(data)
        if "ready" in message:
            self.ready.set_result(None)
        elif "started" in message:
            batch = message["started"]
            forked = self._running[batch] = Forked(self, batch, message["pid"])
            starting = self._starting.get(batch)
            if starting is None or starting.done():
                forked.kill()  # whoever asked has given up; its line is closed
            else:
                starting.set_result(forked)
        elif "refused" in message:
            starting = self._starting.get(message["refused"])
            if starting is not None and not starting.done():
                starting.set_exception(ZygoteGone("the zygote cannot fork"))
        else:
            self._running.pop(message["ended"]).has_ended(message["rc"])

    def _end(self) -> None:
        if self.dead:
            return
        self.dead = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        if not self.ready.done():
            self.ready.set_exception(ZygoteGone("the zygote ended"))
            self.ready.exception()  # seen: whoever waited may have given up, and Python would report it as a bug
        for starting in self._starting.values():
            if not starting.done():
                starting.set_exception(ZygoteGone("the zygote ended"))
        # The kernel has ended them with it.
        for forked in self._running.values():
            forked.has_ended(-signal.SIGKILL)
        self._running.clear()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def close(self) -> None:
        self.kill()
        self._end()
        await self.process.wait()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)


class Warm:
    """`directory` is private to the worker process; each zygote has a folder of its own in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._zygote: _Zygote | None = None
        self._changing = asyncio.Lock()
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """The zygote's; None where none lives."""
        return None if self._zygote is None or self._zygote.dead else self._zygote.process.pid

    async def launch(self) -> Launched:
        """A supervisor, forked if that can be; errors: OSError."""
        for _ in range(2):  # one may have died unseen since the last batch
            if time.monotonic() < self._not_before:
                break
            try:
                zygote = await self._living()
                return await asyncio.wait_for(zygote.fork(), FORKED_WITHIN)
            except ZygoteGone as error:
                log.warning("%s", error)
            except TimeoutError:
                log.warning("the zygote did not answer for %s s and is ended", FORKED_WITHIN)
                zygote.kill()
        return await cold()

    async def _living(self) -> _Zygote:
        async with self._changing:
            if self._zygote is not None and not self._zygote.dead:
                return self._zygote
            if self._zygote is not None:
                await self._zygote.close()
                self._zygote = None
            try:
                zygote = await _Zygote.start(self.directory)
            except OSError as error:
                self._not_before = time.monotonic() + TRY_AGAIN
                raise ZygoteGone(f"no warm Ansible, batches start slower: {error}") from error
            try:
                await asyncio.wait_for(asyncio.shield(zygote.ready), READY_WITHIN)
            except (ZygoteGone, TimeoutError) as error:
                self._not_before = time.monotonic() + TRY_AGAIN
                await zygote.close()
                raise ZygoteGone("no warm Ansible, batches start slower: it did not become ready") from error
            except asyncio.CancelledError:
                await zygote.close()
                raise
            self._zygote = zygote
            return zygote

    async def close(self) -> None:
        """Ends the zygote and every batch that it has."""
        async with self._changing:
            if self._zygote is not None:
                await self._zygote.close()
                self._zygote = None
