"""The zygote: what it saves, what happens when it dies, and that it stays as it was. No host: each is not there."""

import asyncio
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from activities.ansible import warm as warm_module
from activities.ansible.warm import Warm
from tests.activities.ansible.support import NOWHERE, Waiting, a_batch, a_host, eventually, patch, processes_of


@pytest.fixture
async def warm() -> AsyncIterator[Warm]:
    with tempfile.TemporaryDirectory(prefix="vz-") as folder:
        warm = Warm(Path(folder))
        yield warm
        await warm.close()
        assert os.listdir(folder) == []  # noqa: PTH208


async def works(warm: Warm) -> None:
    assert (await patch([a_host(**NOWHERE)], launch=warm.launch)).only.state == "UNREACHABLE"


async def test_batches_share_one_zygote_which_is_the_parent_of_their_supervisors(warm: Warm) -> None:
    assert warm.pid is None
    await works(warm)
    first, waiting = warm.pid, Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting, warm.launch) as (ran, _):
        await waiting.asked.wait()
        stat = Path(f"/proc/{ran.run.pid}/stat").read_text()
        assert int(stat.rpartition(")")[2].split()[1]) == warm.pid == first


async def test_a_supervisor_has_no_descriptor_that_is_not_its_batchs(warm: Warm) -> None:
    """One that held another's line would hide that one's end from the worker."""
    one, two = Waiting(), Waiting()
    async with a_batch([a_host(**NOWHERE)], one, warm.launch) as (first, _):
        await one.asked.wait()
        async with a_batch([a_host(**NOWHERE)], two, warm.launch) as (second, _):
            await two.asked.wait()
            lines = [sockets_of(ran.run.pid or 0) for ran in (first, second)]
            forks = [pid for pid in processes_of(second.job.directory) if pid != second.run.pid]
            assert len(lines[1]) == 2 and not lines[0] & lines[1]
            assert forks and not any(sockets_of(pid) & lines[1] for pid in forks)


def sockets_of(pid: int) -> set[str]:
    found = (os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())  # noqa: PTH115
    return {target for target in found if target.startswith("socket:")}


async def test_a_zygote_that_dies_ends_its_batches_which_are_told_and_the_next_one_works(warm: Warm) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE), a_host("web-2", **NOWHERE)], waiting, warm.launch) as (ran, reading):
        await waiting.asked.wait()
        first = warm.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await reading
        await eventually(lambda: not processes_of(ran.job.directory), 2, "the end of every process")
    assert [outcome.state for outcome in ran.outcomes.values()] == ["UNKNOWN", "UNKNOWN"]
    assert "signal 9" in ran.outcomes["web-1"].message and ran.finished.status == "crashed"
    await works(warm)
    assert warm.pid not in (None, first)


async def test_a_zygote_that_died_between_two_batches_is_replaced_unseen(warm: Warm) -> None:
    await works(warm)
    first = warm.pid
    assert first
    os.kill(first, signal.SIGKILL)
    await works(warm)
    assert warm.pid not in (None, first)


async def test_a_zygote_that_hangs_is_ended_and_the_batch_runs_all_the_same(
    warm: Warm, monkeypatch: pytest.MonkeyPatch
) -> None:
    await works(warm)
    assert warm.pid
    os.kill(warm.pid, signal.SIGSTOP)
    monkeypatch.setattr(warm_module, "FORKED_WITHIN", 0.1)
    await works(warm)


async def test_a_fork_that_fails_harms_no_batch_that_runs_and_the_new_one_runs_without(warm: Warm) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting, warm.launch) as (ran, _):
        await waiting.asked.wait()
        assert warm.pid
        limits = resource.prlimit(warm.pid, resource.RLIMIT_NOFILE)
        few = len(list(Path(f"/proc/{warm.pid}/fd").iterdir()))
        resource.prlimit(warm.pid, resource.RLIMIT_NOFILE, (few + 1, limits[1]))
        await works(warm)
        assert ran.run.pid and not ran.lines and processes_of(ran.job.directory)
        resource.prlimit(warm.pid, resource.RLIMIT_NOFILE, limits)
        await works(warm)


async def test_batches_that_start_at_once_start_one_zygote(warm: Warm) -> None:
    await asyncio.gather(*(works(warm) for _ in range(3)))
    assert len(list(warm.directory.iterdir())) == 1


async def test_without_a_zygote_batches_start_as_processes_of_their_own_and_it_is_said_once(
    warm: Warm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warm_module, "ZYGOTE", "no_such_module")
    with caplog.at_level(logging.WARNING, "vulnzero.ansible.warm"):
        await works(warm)
        await works(warm)
    ours = [record.message for record in caplog.records if record.name.startswith("vulnzero.")]
    assert ours == ["no warm Ansible, batches start slower: it did not become ready"]
    assert warm.pid is None


async def test_a_cancel_ends_a_warm_batch_within_two_seconds(warm: Warm) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting, warm.launch) as (ran, reading):
        await waiting.asked.wait()
        begun = time.monotonic()
        await ran.run.cancel()
        await reading
        assert time.monotonic() - begun < 2
        assert not processes_of(ran.job.directory)
    assert ran.finished.status == "canceled"


async def test_closing_ends_the_zygote_and_its_batches(warm: Warm) -> None:
    waiting = Waiting()
    async with a_batch([a_host(**NOWHERE)], waiting, warm.launch) as (ran, reading):
        await waiting.asked.wait()
        await warm.close()
        await reading
    assert ran.finished.status == "crashed"


def size(pid: int) -> tuple[int, int, int]:
    """Descriptors, resident KiB and children of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(resident), len(children)


async def test_fifty_batches_leave_the_zygote_and_the_worker_as_they_were(warm: Warm) -> None:
    for _ in range(3):
        await works(warm)
    assert warm.pid
    before, mine = size(warm.pid), size(os.getpid())
    for _ in range(10):
        await asyncio.gather(*(works(warm) for _ in range(5)))
    await eventually(lambda: size(warm.pid or 0)[2] == 0, 5, "the end of every supervisor")
    after = size(warm.pid)
    assert (after[0], after[2]) == (before[0], 0)
    assert after[1] - before[1] < 1024
    assert size(os.getpid())[0] == mine[0]


IN_A_ZYGOTE = """
import json, os, sys
from pathlib import Path
from activities.ansible import zygote
from tests.activities.ansible.support import NOWHERE, Waiting, a_host, a_job
from activities.ansible.workspace import Workspace
zygote.warm_up(Path(sys.argv[1]))
from ansible import constants
"""
# Which settings of a batch's environment the zygote could not know, and what stands for them.
OF_A_ZYGOTE = {
    "DEFAULT_FORKS": "set anew in the fork",
    "DEFAULT_LOCAL_TMP": "the zygote's own, with the packed module",
    "CACHE_PLUGIN": "in memory: no facts are gathered, so there is nothing to keep",
    "CACHE_PLUGIN_CONNECTION": "as above",
}


def test_no_setting_was_frozen_at_import_that_a_batch_sets_otherwise(tmp_path: Path) -> None:
    """Ansible reads most settings once; one that a batch sets and that nobody reads again would be lost in silence."""
    script = f"""{IN_A_ZYGOTE}
from ansible_runner.interface import init_runner
root = sys.argv[1] + "/batch"
os.mkdir(root)
job = a_job([a_host()], directory=root, forks=77)
Workspace(job).write()
runner = init_runner(private_data_dir=root, inventory=root + "/inventory/hosts.json", playbook="play.yml", quiet=True)
os.environ.clear(); os.environ.update(runner.config.env)
known = vars(constants) | {{"ANSIBLE_HOME": root + "/home"}}
config = constants.config
anew = {{name: config.get_config_value(name, variables=known) for name in config.get_configuration_definitions()}}
home = (root + "/home", sys.argv[1] + "/home")
print(json.dumps([name for name, value in anew.items()
    if str(value).replace(*home) != str(getattr(constants, name)).replace(*home)]))
"""
    assert set(_printed(script, tmp_path)) == set(OF_A_ZYGOTE)


def test_a_batch_finds_everything_imported(tmp_path: Path) -> None:
    """What is missing would be imported by every batch anew."""
    script = f"""{IN_A_ZYGOTE}
from activities.ansible import forked
known = set(sys.modules)
root = sys.argv[1] + "/batch"
os.mkdir(root)
job = a_job([a_host(address="127.0.0.1", port=1)], directory=root, claim_socket=root + "/claims")
workspace = Workspace(job)
workspace.write()
os.environ.update(workspace.environment(), AWX_ISOLATED_DATA_DIR=root)
out = os.dup(1)
os.dup2(2, 1)
try:
    forked.PlaybookCLI.cli_executor(["", "-i", root + "/inventory/hosts.json", root + "/project/play.yml"])
except SystemExit:
    pass
os.write(out, json.dumps(sorted(set(sys.modules) - known)).encode())
"""
    new = [name for name in _printed(script, tmp_path) if name != "ansible.plugins.callback.awx_display"]
    assert new == []


def _printed(script: str, folder: Path) -> Any:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
