"""Rule 17 on real hosts: whoever is killed, no Ansible and no ssh stays behind."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.activities.ansible.conftest import LabHosts
from tests.activities.ansible.support import DEPLOYMENTS, a_batch, a_job, eventually, patch, processes_of, the_warm

pytestmark = pytest.mark.fleet

ROOT = Path(__file__).parents[3]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("victim", ["supervisor", "zygote"])
async def test_killing_whoever_runs_a_batch_ends_all_and_leaves_no_host_unreported(
    fleet_hosts: LabHosts, victim: str
) -> None:
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(fleet_hosts[:2], forks=1) as (ran, reading):
        await eventually(lambda: fleet_hosts.held(0), what="apt")
        assert any("ssh" in command for command in processes_of(ran.job.directory).values())
        pid = {"supervisor": ran.run.pid, "zygote": the_warm().pid}[victim]
        assert pid
        os.kill(pid, signal.SIGKILL)
        await reading
        await eventually(lambda: not processes_of(ran.job.directory), 2, "the end of every process")
    assert {outcome.state for outcome in ran.outcomes.values()} == {"UNKNOWN"}
    assert "signal 9" in ran.outcomes[fleet_hosts[0].name].message
    assert ran.finished.status == "crashed"
    fleet_hosts.release(0, "unpacked")
    assert (await patch(fleet_hosts[:1], deployment=ran.job.deployment, attempt=2)).only.state == "SUCCEEDED"


async def test_killing_the_worker_ends_its_supervisor_and_all_below(fleet_hosts: LabHosts, tmp_path: Path) -> None:
    fleet_hosts.hold(0, "unpacked")
    directory = tmp_path / "batch"
    os.mkdir(directory, 0o700)  # noqa: PTH102
    job = a_job(
        fleet_hosts[:1], directory=str(directory), claim_socket=f"/tmp/vz-{os.getpid()}", deployment=next(DEPLOYMENTS)
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.activities.ansible.worker_process",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert worker.stdin and worker.stdout
    worker.stdin.write(job.model_dump_json().encode())
    worker.stdin.close()
    family = [int(pid) for pid in (await worker.stdout.readline()).split()]
    await eventually(lambda: fleet_hosts.held(0), what="apt")
    assert all(map(alive, family)) and processes_of(str(directory))
    worker.kill()
    await worker.wait()
    await eventually(
        lambda: not any(map(alive, family)) and not processes_of(str(directory)), 2, "the end of every process"
    )
    os.unlink(job.claim_socket)  # noqa: PTH108


async def test_a_cancel_ends_within_two_seconds_and_tells_in_hand_from_never_asked(fleet_hosts: LabHosts) -> None:
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(fleet_hosts[:2], forks=1) as (ran, reading):
        await eventually(lambda: fleet_hosts.held(0), what="apt")
        begun = time.monotonic()
        await ran.run.cancel()
        await reading
        assert time.monotonic() - begun < 2
        assert not processes_of(ran.job.directory)
    in_hand, never = (ran.outcomes[host.name] for host in fleet_hosts[:2])
    assert (in_hand.state, in_hand.message) == ("UNKNOWN", "the run was cancelled while this host was in hand")
    assert (never.state, never.message) == ("NOT_CLAIMED", "the run was cancelled before this host asked for its claim")
    assert ran.finished.status == "canceled"


async def test_a_cancel_ends_hosts_that_wait_for_their_claim(fleet_hosts: LabHosts) -> None:
    waiting = asyncio.Event()

    async def wait_for_ever(_host: str) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with a_batch(fleet_hosts[:1], wait_for_ever) as (ran, reading):  # type: ignore[arg-type]
        await waiting.wait()
        await ran.run.cancel()
        await reading
    assert ran.only.state == "UNKNOWN"
    assert "before the answer to this host's claim was seen" in ran.only.message
