"""The worker's handle and the supervisor, with real Ansible and no host: each waits for its claim or is not there."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from activities.ansible import runner as runner_module
from activities.ansible import supervisor
from activities.ansible.claims import Start
from activities.ansible.job import Finished, Job, Outcome
from activities.ansible.runner import BatchRun, spawn_supervisor
from tests.activities.ansible.support import a_batch, a_host, a_job, eventually, patch, processes_of

NOWHERE: dict[str, Any] = {"address": "127.0.0.1", "port": 1}


class Waiting:
    """A worker whose answer is 'wait'."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, _host: str) -> Start:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_host_that_is_not_there_is_unreachable_and_says_why() -> None:
    ran = await patch([a_host(**NOWHERE)])
    assert ran.only.state == "UNREACHABLE"
    assert "Connection refused" in ran.only.message
    assert ran.only.fence is not None


async def test_a_spare_supervisor_runs_one_job_and_a_dead_one_is_replaced() -> None:
    spare = await spawn_supervisor()
    assert spare.returncode is None

    def with_spare(job: Job) -> BatchRun:
        return BatchRun(job, spare)

    for _ in range(2):
        assert (await patch([a_host(**NOWHERE)], runner=with_spare)).only.state == "UNREACHABLE"
        assert spare.returncode is not None


async def test_a_spare_that_is_never_used_leaves_quietly() -> None:
    spare = await spawn_supervisor()
    _, said = await spare.communicate(b"")
    assert (spare.returncode, said) == (0, b"")


async def test_a_supervisor_that_is_killed_leaves_outcomes_and_no_exception() -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE), a_host("web-2", **NOWHERE)], waiting) as (ran, reading):
        await waiting.asked.wait()
        assert ran.run.pid
        os.kill(ran.run.pid, signal.SIGKILL)
        await reading
        await eventually(lambda: not processes_of(ran.job.directory), 2, "the end of every process")
    assert [outcome.state for outcome in ran.outcomes.values()] == ["UNKNOWN", "UNKNOWN"]
    assert ran.finished.status == "crashed"


async def test_leaving_the_block_ends_everything_and_removes_the_directory() -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting) as (ran, _):
        await waiting.asked.wait()
        assert processes_of(ran.job.directory)
    await eventually(lambda: not processes_of(ran.job.directory), 2, "the end of every process")
    assert not os.path.exists(ran.job.directory)  # noqa: PTH110


async def test_a_cancel_that_nobody_reads_does_not_hang() -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting) as (ran, reading):
        await waiting.asked.wait()
        reading.cancel()
        await asyncio.wait_for(ran.run.cancel(), 4)


async def test_a_supervisor_that_cannot_start_began_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with BatchRun(a_job([a_host()], directory="/tmp/vz-none")) as run:
        lines = [line async for line in run]
    outcome, finished = lines
    assert isinstance(outcome, Outcome) and outcome.state == "NOT_CLAIMED"
    assert isinstance(finished, Finished) and "could not be started" in finished.detail


async def test_a_supervisor_that_dies_at_once_says_so_with_its_diagnostics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module.BatchRun, "module", "no_such_module")
    async with BatchRun(a_job([a_host()], directory="/tmp/vz-none")) as run:
        lines = [line async for line in run]
    assert [line.state for line in lines if isinstance(line, Outcome)] == ["UNKNOWN"]
    assert isinstance(lines[-1], Finished) and "no_such_module" in lines[-1].detail


async def test_a_missing_ansible_is_said_and_no_host_was_claimed(tmp_path: Path) -> None:
    """ansible_runner would call it 'failed' without a word."""
    job = a_job([a_host()], directory=str(tmp_path))
    reading, writing = os.pipe()
    one = supervisor.Supervisor(job, writing)
    python = sys.executable
    try:
        sys.executable = "/opt/empty/python"
        one.run()
    finally:
        sys.executable = python
        os.close(writing)
    with os.fdopen(reading) as file:
        outcome, finished = file.read().splitlines()
    assert "NOT_CLAIMED" in outcome
    assert "/opt/empty/ansible-playbook is missing" in finished
