"""What the tests of this folder share: a job in one line, a worker that answers claims, and a look for orphans."""

import asyncio
import functools
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activities.ansible.claims import ClaimServer, No, Start
from activities.ansible.job import Finished, Job, JobHost, Line, Outcome
from activities.ansible.launching import Launch
from activities.ansible.runner import BatchRun
from activities.ansible.warm import Warm

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx2tPyAKdSRKkrBhSZvTaOmRlHTuRsRaKpGsFHB2ZSk"
PACKAGE = "acme-healthd"
NOWHERE: dict[str, Any] = {"address": "127.0.0.1", "port": 1}
FENCES = itertools.count(1000)
DEPLOYMENTS = itertools.count(1)

Ask = Callable[[str], Awaitable[Start | No]]


def a_host(name: str = "web-1", **changes: Any) -> JobHost:
    values: dict[str, Any] = {
        "name": name,
        "address": "192.0.2.1",
        "host_key": KEY,
        "credential": "file:/keys/one",
        "package": PACKAGE,
        "version": "1.0.1",
    }
    return JobHost(**(values | changes))


def a_job(hosts: Sequence[JobHost], **changes: Any) -> Job:
    values: dict[str, Any] = {
        "batch": "batch-1",
        "deployment": 1,
        "attempt": 1,
        "directory": "/run/vulnzero/batch-1",
        "claim_socket": "/run/vulnzero/claims",
        "forks": 10,
        "host_timeout": 60,
        "hosts": tuple(hosts),
    }
    return Job(**(values | changes))


@functools.cache
def the_warm() -> Warm:
    """One for all tests, as a worker has one for all its batches; conftest closes it."""
    return Warm(Path(tempfile.mkdtemp(prefix="vz-warm-")))


async def yes(_host: str) -> Start:
    return Start(fence=next(FENCES))


class Waiting:
    """A worker whose answer is 'wait'."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, _host: str) -> Start:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


@dataclass
class Ran:
    """A batch as its reader saw it."""

    job: Job
    run: BatchRun
    lines: list[Line] = field(default_factory=list)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        found = [line for line in self.lines if isinstance(line, Outcome)]
        assert len({line.host for line in found}) == len(found), "a host has two outcomes"
        return {line.host: line for line in found}

    @property
    def only(self) -> Outcome:
        (outcome,) = self.outcomes.values()
        return outcome

    @property
    def finished(self) -> Finished:
        assert isinstance(self.lines[-1], Finished)
        return self.lines[-1]


@asynccontextmanager
async def a_batch(
    hosts: Sequence[JobHost], ask: Ask = yes, launch: Launch | None = None, **changes: Any
) -> AsyncIterator[tuple[Ran, asyncio.Task[None]]]:
    """A batch that runs; the task ends when its last line was read."""
    private = tempfile.mkdtemp(prefix="vz-")
    changes = {"deployment": next(DEPLOYMENTS)} | changes
    job = a_job(hosts, directory=f"{private}/batch", claim_socket=f"{private}/claims", **changes)
    os.mkdir(job.directory, 0o700)  # noqa: PTH102 - asyncio's rule knows pathlib only
    try:
        async with ClaimServer(job.claim_socket, ask), BatchRun(job, launch or the_warm().launch) as run:
            ran = Ran(job, run)

            async def read() -> None:
                async for line in run:
                    ran.lines.append(line)

            reading = asyncio.create_task(read())
            yield ran, reading
            if not reading.done():
                reading.cancel()
    finally:
        shutil.rmtree(private)


async def patch(hosts: Sequence[JobHost], ask: Ask = yes, **changes: Any) -> Ran:
    """A whole batch, to its last line."""
    async with a_batch(hosts, ask, **changes) as (ran, reading):
        await reading
        assert not os.path.exists(ran.job.directory), "the supervisor left its directory"  # noqa: PTH110
    return ran


def processes_of(directory: str) -> dict[int, str]:
    """Every process that works in the batch's directory, as supervisor, Ansible and its forks do, or names it in its
    command line, as every ssh does."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = os.readlink(path / "cwd")  # noqa: PTH115
        except OSError:
            continue
        if directory in command or f"{where}/".startswith(f"{directory}/"):
            found[int(path.name)] = command
    return found


def wait_until(true: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what or true} did not come true in {seconds} s"
        time.sleep(0.02)


async def eventually(true: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    await asyncio.to_thread(wait_until, true, seconds, what)
