"""Crashes at named points of a host's patch. Each is told by the host or the ledger, so none depends on timing."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from tests.support.rig import Rig, Running, WorkerProcess
from tests.support.waiting import until


@dataclass
class Scene:
    """One deployment of one wave over the fleet; `old` has its batch, `other` polls already or is started later."""

    rig: Rig
    running: Running
    old: WorkerProcess

    async def second_worker(self) -> WorkerProcess:
        return await self.rig.serving(self.rig.start_worker())


Crash = Callable[[Scene], Awaitable[None]]


@contextmanager
def _locked_batch(rig: Rig) -> Iterator[None]:
    """While it is open nobody can end a batch: its row is locked (claims, which only refer to it, go on)."""
    url = rig.stack.database_url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("select * from batches for no key update")
        yield


async def after_a_claim(scene: Scene) -> None:
    """The host is claimed, and its network is cut: nothing has reached it."""
    await scene.running.in_state("RUNNING")
    scene.rig.fleet.cut(1)
    try:
        await scene.running.host_is(1, "RUNNING")
        await scene.second_worker()
        scene.old.kill()
    finally:
        scene.rig.fleet.mend(1)


def at_hold(point: str) -> Crash:
    async def crash(scene: Scene) -> None:
        await scene.running.held(1, point)
        await scene.second_worker()
        scene.old.kill()
        # Only once the new attempt stands at the host's lock is there anything to see.
        await until(lambda: _arrivals(scene.rig) >= 2, "the new attempt reaches the host", seconds=40)
        scene.rig.fleet.release(1, point)

    return crash


async def module_killed_before_restart(scene: Scene) -> None:
    """Worker and the run on the host both die between install and restart."""
    await scene.running.held(1, "installed")
    await scene.second_worker()
    scene.old.kill()
    kill_run_on_host(scene.rig, 1)
    scene.rig.fleet.release(1, "installed")


async def after_the_commit(scene: Scene) -> None:
    """All outcomes are committed; the activity cannot return, since its batch's row is locked."""
    await scene.running.in_state("RUNNING")
    await until(lambda: bool(scene.running.rows("select 1 from batches")), "the batch is taken")
    with _locked_batch(scene.rig):
        total = len(scene.running.rows("select 1 from plan_hosts"))
        done = "select 1 from host_runs where latest and state = 'SUCCEEDED'"
        await until(lambda: len(scene.running.rows(done)) == total, "all outcomes are committed", seconds=60)
        await scene.second_worker()
        scene.old.kill()


async def worker_stopped_and_continued(scene: Scene) -> None:
    """The worker freezes past its heartbeat timeout while a host is in hand, and wakes up when all is over."""
    await scene.running.held(1, "installed")
    scene.old.send(signal.SIGSTOP)
    await scene.second_worker()
    # Polls of the frozen worker are still open on the server, and each task it gives them is lost for its timeout.
    await until(lambda: _arrivals(scene.rig) >= 2, "the new attempt reaches the host", seconds=150)
    scene.rig.fleet.release(1, "installed")
    await scene.running.result()
    before = scene.running.rows("table host_runs")
    scene.old.send(signal.SIGCONT)
    await until(lambda: _gave_up(scene.old), "the old attempt gives up", scene.old.log.read_text, 30)
    assert scene.running.rows("table host_runs") == before, "the old attempt wrote to the ledger"


async def temporal_killed(scene: Scene) -> None:
    await scene.running.held(1, "installed")
    await asyncio.to_thread(scene.rig.stack.kill_temporal)
    await asyncio.to_thread(scene.rig.stack.restart_temporal)
    scene.rig.fleet.release(1, "installed")


async def postgres_killed(scene: Scene) -> None:
    """The database is away when the host's outcome comes."""
    await scene.running.held(1, "installed")
    await asyncio.to_thread(scene.rig.stack.kill_postgres)
    scene.rig.fleet.release(1, "installed")
    await until(lambda: scene.rig.evidence(1).healthy and _ended(scene.rig), "the host ends while nobody records it")
    await asyncio.to_thread(scene.rig.stack.restart_postgres)


POINTS: dict[str, Crash] = {
    "worker killed after a claim": after_a_claim,
    "worker killed after unpack": at_hold("unpacked"),
    "worker killed before the restart": at_hold("installed"),
    "worker and run killed before the restart": module_killed_before_restart,
    "worker killed after the restart, before the event": at_hold("restarted"),
    "worker killed after the commit, before the return": after_the_commit,
    "worker stopped, continued when all was over": worker_stopped_and_continued,
    "Temporal server killed": temporal_killed,
    "PostgreSQL killed": postgres_killed,
}
HOLDS = {
    "worker killed after unpack": "unpacked",
    "worker killed before the restart": "installed",
    "worker and run killed before the restart": "installed",
    "worker killed after the restart, before the event": "restarted",
    "worker stopped, continued when all was over": "installed",
    "Temporal server killed": "installed",
    "PostgreSQL killed": "installed",
}
HOSTS = 3


async def play(rig: Rig, name: str) -> Running:
    """Brings the crash about and returns the deployment once it is over."""
    await rig.fresh(HOSTS)
    if hold := HOLDS.get(name):
        rig.fleet.hold(1, hold)
    old = await rig.serving(rig.start_worker())
    running = await rig.deploy(batch_size="100%", max_concurrency=2)
    await POINTS[name](Scene(rig, running, old))
    await running.result()
    return running


def kill_run_on_host(rig: Rig, index: int) -> None:
    """Kills whatever holds the host's lock, by pid: the run itself and the package manager that inherited the lock."""
    script = (
        "import os, glob, signal\n"
        "for link in glob.glob('/proc/[0-9]*/fd/*'):\n"
        "    try:\n"
        "        if os.readlink(link) == '/var/lib/vulnzero/lock':\n"
        "            os.kill(int(link.split('/')[2]), signal.SIGKILL)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    rig.fleet.run(index, ["python3", "-c", script])


def _arrivals(rig: Rig) -> int:
    return sum(line["event"] == "ARRIVE" for line in rig.evidence_journal(1))


def _ended(rig: Rig) -> bool:
    return any(line["event"] == "END" for line in rig.evidence_journal(1))


def _gave_up(worker: WorkerProcess) -> bool:
    log = worker.log.read_text()
    return "Activity cancelled" in log or "refused" in log
