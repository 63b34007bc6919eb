"""The worker's handle and the supervisor, with real Ansible and no host: each waits for its claim or is not there."""

import asyncio
import functools
import os
import signal
import sys
from pathlib import Path

import pytest

from activities.ansible import supervisor
from activities.ansible.job import Finished, Outcome
from activities.ansible.launching import Launch, cold
from activities.ansible.runner import BatchRun
from tests.activities.ansible.support import NOWHERE, Waiting, a_batch, a_host, a_job, eventually, patch, processes_of

WAYS = pytest.mark.parametrize("launch", [None, cold], ids=["warm", "cold"])


@WAYS
async def test_a_host_that_is_not_there_is_unreachable_and_says_why(launch: Launch | None) -> None:
    ran = await patch([a_host(**NOWHERE)], launch=launch)
    assert ran.only.state == "UNREACHABLE"
    assert "Connection refused" in ran.only.message
    assert ran.only.fence is not None


@WAYS
async def test_a_supervisor_that_is_killed_leaves_outcomes_and_no_exception(launch: Launch | None) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE), a_host("web-2", **NOWHERE)], waiting, launch) as (ran, reading):
        await waiting.asked.wait()
        assert ran.run.pid
        os.kill(ran.run.pid, signal.SIGKILL)
        await reading
        await eventually(lambda: not processes_of(ran.job.directory), 2, "the end of every process")
    assert [outcome.state for outcome in ran.outcomes.values()] == ["UNKNOWN", "UNKNOWN"]
    assert ran.finished.status == "crashed"


@WAYS
async def test_leaving_the_block_ends_everything_and_removes_the_directory(launch: Launch | None) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting, launch) as (ran, _):
        await waiting.asked.wait()
        assert processes_of(ran.job.directory)
    await eventually(lambda: not processes_of(ran.job.directory), 2, "the end of every process")
    assert not os.path.exists(ran.job.directory)  # noqa: PTH110


@WAYS
async def test_a_cancel_that_nobody_reads_does_not_hang(launch: Launch | None) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting, launch) as (ran, reading):
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


async def test_a_supervisor_that_dies_at_once_says_so_with_its_diagnostics() -> None:
    dies = functools.partial(cold, "no_such_module")
    async with BatchRun(a_job([a_host()], directory="/tmp/vz-none"), dies) as run:
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
