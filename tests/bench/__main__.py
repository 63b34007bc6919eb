"""`make bench`: what orchestration costs over a bare `ansible-playbook` of the same module, hosts and waves.

Runs alternate, so that other work on the machine falls on both; medians and spread; JSON in .bench/orchestration.json.
"""

import argparse
import asyncio
import json
import resource
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.bare import bare_playbook
from tests.support.rig import Rig, Running, running_rig

OUT = Path(".bench/orchestration.json")
VERSIONS = ("1.0.1", "1.0.0")


@dataclass
class Run:
    """Seconds of wall time and of CPU on this machine's side (hosts' own work is not in it)."""

    way: str
    wall: float
    cpu: float
    events: int = 0
    history_bytes: int = 0


async def _through_temporal(rig: Rig, version: str, wave: int, worker_pid: int) -> Run:
    cpu = _cpu_of(worker_pid)
    started = time.monotonic()
    running: Running = await rig.deploy(f"acme-healthd-{version}", batch_size=f"{wave} hosts", wait_seconds=0)
    done = await running.result(300)
    wall = time.monotonic() - started
    assert done["state"] == "SUCCEEDED", done
    history = await running.handle.fetch_history()
    size = (await running.handle.describe()).raw_description.workflow_execution_info.history_size_bytes
    return Run("through Temporal", wall, _cpu_of(worker_pid) - cpu, len(history.events), size)


def _bare(rig: Rig, version: str, wave: int, number: int) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    bare_playbook(rig, version, wave, number)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run("bare ansible-playbook", time.monotonic() - started, cpu)


def _cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, of its living descendants, and of all the children that these have waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(field) for field in fields[11:15]) / 100
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return own + sum(_cpu_of(int(child)) for listing in children for child in listing.read_text().split())


async def _series(rig: Rig, hosts: int, wave: int, rounds: int, console: Console) -> list[Run]:
    await rig.fresh(hosts)
    with rig.sql() as sql:  # a patch that takes the fixed version back, so that every run has work to do
        sql.execute(
            "insert into patches (name, title, cves, severity, platforms, service) values "
            "('acme-healthd-1.0.0', 'back again', '{}', 'low', %s, 'acme-healthd')",
            [json.dumps({"debian": {"package": "acme-healthd", "version": "1.0.0"}})],
        )
    worker = await rig.serving(rig.start_worker())
    runs: list[Run] = []
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        ways = [VERSIONS[0], VERSIONS[1]]
        for step, version in enumerate(ways):
            # Which way goes up and which down alternates too: an upgrade and a downgrade are not the same work.
            if (step + number) % 2:
                runs.append(_bare(rig, version, wave, number))
            else:
                runs.append(await _through_temporal(rig, version, wave, worker.pid))
    return runs


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _report(runs: list[Run], hosts: int, wave: int, console: Console) -> None:
    table = Table(title=f"{hosts} hosts in waves of {wave}, no wait: median (least-most)")
    for column in ("way", "wall s", "CPU s", "wall ratio", "CPU ratio"):
        table.add_column(column, justify="left" if column == "way" else "right", no_wrap=True)
    ways = {way: [run for run in runs if run.way == way] for way in dict.fromkeys(run.way for run in runs)}
    base = ways["bare ansible-playbook"]
    wall = statistics.median(run.wall for run in base)
    cpu = statistics.median(run.cpu for run in base)
    for way, those in ways.items():
        walls, cpus = [run.wall for run in those], [run.cpu for run in those]
        ratios = (f"{statistics.median(walls) / wall:.2f}", f"{statistics.median(cpus) / cpu:.2f}")
        table.add_row(way, _spread(walls), _spread(cpus), *ratios)
    console.print(table)
    ours = ways["through Temporal"]
    above = (statistics.median(run.wall for run in ours) - wall) / hosts
    console.print(f"seconds a host above bare: {above:+.3f}")
    console.print(f"history events a host: {ours[-1].events / hosts:.1f} ({ours[-1].events} events)")
    console.print(f"history bytes a host: {ours[-1].history_bytes / hosts:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--wave", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    console = Console()
    with running_rig() as rig:
        runs = asyncio.run(_series(rig, given.hosts, given.wave, given.rounds, console))
    _report(runs, given.hosts, given.wave, console)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([asdict(run) for run in runs], indent=1))
    console.print(f"written to {OUT}")


if __name__ == "__main__":
    main()
