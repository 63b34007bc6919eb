"""A whole system for tests: the dev stack's own servers, worker processes that can be killed, real practice hosts."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.database.inventory import Assets, Patches
from activities.database.migrate import upgrade
from activities.database.session import Database
from starter.dev import config as configuration
from starter.dev.number import TESTS, Place, allot
from starter.dev.stack import Stack
from starter.dev.temporal import find_binary
from starter.lab.fleet import Fleet
from tests.support.waiting import until
from workflows.contracts.inventory import AssetSpec, PatchSpec
from workflows.contracts.names import Queue

ROOT = Path(__file__).resolve().parents[2]
GOOD, BROKEN = "acme-healthd-1.0.1", "acme-healthd-1.0.2"
STATE = "/var/lib/vulnzero"


@dataclass
class WorkerProcess:
    """A worker in a process of its own, all queues, its log beside the stack's."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        """Politely; for good after ten seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass
class Evidence:
    """What a host itself says: its package log, its service's start log, its own journal of runs."""

    name: str
    configured: int  # times dpkg configured the fixed version
    starts: int  # starts of the service under the fixed version
    version: str
    healthy: bool
    fence: int
    journal: list[dict[str, Any]] = field(default_factory=list)

    def overlaps(self) -> int:
        """Runs that began between another's beginning and its end. A run that was killed has no end: its lock went
        with it, so what began later did not overlap it."""
        runs = [(line["event"], line["pid"]) for line in self.journal]
        found = 0
        for at, (event, pid) in enumerate(runs):
            if event == "START" and ("END", pid) in runs[at:]:
                end = runs.index(("END", pid), at)
                found += sum(other == "START" for other, _ in runs[at + 1 : end])
        return found


class Rig:
    """Everything is on this checkout's own test number, so two checkouts test side by side."""

    def __init__(self) -> None:
        self.place = Place.of(allot(f"{ROOT}{TESTS}"))
        self.stack = Stack(configuration.load(configuration.find(None)), self.place, env={"PATH": os.environ["PATH"]})
        self.fleet = Fleet(self.place.number, self.place.data)
        self.workers: list[WorkerProcess] = []
        self._started = 0

    @property
    def environment(self) -> dict[str, str]:
        return self.stack.environment() | {"VULNZERO_RUN_DIR": str(self.place.data / "run"), "LC_ALL": "C.UTF-8"}

    def start_worker(self, **env: str) -> WorkerProcess:
        self._started += 1
        log = self.place.data / f"logs/test-worker-{self._started}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "starter.cli", "worker"],
                env=self.environment | env, stdout=out, stderr=out, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker

    async def serving(self, worker: WorkerProcess) -> WorkerProcess:
        await until(lambda: "serving" in worker.log.read_text(), "the worker serves", worker.log.read_text)
        return worker

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    async def client(self) -> Client:
        return await Client.connect(
            self.stack.temporal_address, namespace=self.stack.namespace, data_converter=pydantic_data_converter
        )

    @contextmanager
    def sql(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.stack.database_url.replace("+psycopg", ""), autocommit=True) as connection:
            yield connection

    async def fresh(self, hosts: int) -> None:
        """`hosts` vulnerable hosts, imported; an empty ledger otherwise; no worker."""
        self.stop_workers()
        await asyncio.to_thread(self._fresh_hosts, hosts)
        with self.sql() as sql:
            sql.execute("truncate assets, patches restart identity cascade")
        async with Database(self.stack.database_url) as database, database.transaction() as session:
            assets = self.fleet.assets()["assets"][:hosts]
            await Assets(session).store([AssetSpec.model_validate(one) for one in assets])
            await Patches(session).store([PatchSpec.model_validate(one) for one in self.fleet.patches()["patches"]])

    def _fresh_hosts(self, hosts: int) -> None:
        self.fleet.up(hosts)
        for index in range(1, hosts + 1):
            if self.evidence(index).journal or self.fleet.held(index):
                self.fleet.reset(index)

    async def deploy(self, patch: str = GOOD, kind: str = "RollingDeployment", **params: Any) -> "Running":
        """Starts a deployment over all hosts, by a raw Temporal client."""
        client = await self.client()
        with self.sql() as sql:
            row = sql.execute("select id from patches where name = %s", [patch]).fetchone()
        assert row is not None
        request = {"patch_id": row[0], "selector": "all", "strategy_params": params, "requested_by": "test"}
        name = f"test-{datetime.now():%H%M%S%f}"
        handle = await client.start_workflow(kind, request, id=name, task_queue=Queue.WORKFLOWS)
        return Running(self, handle)

    def evidence(self, index: int, version: str = "1.0.1") -> Evidence:
        script = (
            "cat /var/log/dpkg.log; echo ==; cat /var/log/acme-healthd.starts; echo ==; "
            "dpkg-query -W -f='${Version}' acme-healthd; echo; echo ==; "
            f"cat {STATE}/lock 2>/dev/null; echo ==; cat {STATE}/journal 2>/dev/null; echo ==; "
            "python3 -c 'from urllib.request import urlopen as u; print(u(\"http://127.0.0.1:8080/health\").status)'"
        )
        parts = self.fleet.run(index, ["sh", "-c", script], check=False).stdout.split("==\n")
        dpkg, starts, now, lock, journal, health = (part.strip() for part in parts)
        return Evidence(
            name=self.fleet.plan.host(index).name,
            configured=len(re.findall(rf" configure acme-healthd:\S+ {re.escape(version)} ", dpkg)),
            starts=sum(line.split()[1] == version for line in starts.splitlines()),
            version=now,
            healthy=health == "200",
            fence=int(lock or 0),
            journal=[json.loads(line) for line in journal.splitlines()],
        )

    def evidence_journal(self, index: int) -> list[dict[str, Any]]:
        """The host's own journal of runs; lines of runs that write at this moment may be missing."""
        text = self.fleet.run(index, ["sh", "-c", f"cat {STATE}/journal 2>/dev/null"], check=False).stdout
        return [json.loads(line) for line in text.splitlines()]

    def ansible_processes(self) -> list[str]:
        """Command lines of Ansible, its ssh and its supervisor that belong to this rig's run folder."""
        run_dir = str(self.place.data / "run").encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    command = (folder / "cmdline").read_bytes()
                    environ = (folder / "environ").read_bytes() if b"activities.ansible" in command else b""
                except OSError:
                    continue
                mine = any(f"VULNZERO_PARENT={pid}".encode() in environ for pid in self._worker_pids)
                if run_dir in command or mine:
                    found.append(command.replace(b"\0", b" ").decode(errors="replace")[:200])
        return found

    @property
    def _worker_pids(self) -> Sequence[int]:
        return [worker.pid for worker in self.workers]


@dataclass
class Running:
    """A deployment under way."""

    rig: Rig
    handle: WorkflowHandle[Any, Any]

    async def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.handle.query("status")
        return answer

    async def result(self, seconds: float = 90) -> dict[str, Any]:
        answer: dict[str, Any] = await asyncio.wait_for(self.handle.result(), seconds)
        return answer

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.rig.sql() as sql:
            return sql.execute(query).fetchall()

    async def host_is(self, index: int, state: str) -> None:
        name = self.rig.fleet.plan.host(index).name
        query = (
            "select 1 from host_runs r join assets a on a.id = r.asset_id "
            f"where a.name = '{name}' and r.latest and r.state = '{state}'"
        )
        await until(lambda: bool(self.rows(query)), f"{name} is {state}", lambda: str(self.rows("table host_runs")))

    async def in_state(self, state: str) -> None:
        await until(
            lambda: self.rows("select state from deployments")[-1:] == [(state,)],
            f"the deployment is {state}",
            lambda: str(self.rows("select state, message from deployments")),
        )

    async def held(self, index: int, point: str) -> None:
        await until(lambda: self.rig.fleet.held(index) == point, f"host {index} is held at {point}", seconds=30)


def temporal_cli(rig: Rig, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The `temporal` command, on the rig's server."""
    return subprocess.run(
        [str(find_binary()), *arguments, "--address", rig.stack.temporal_address, "--namespace", rig.stack.namespace],
        capture_output=True, text=True, check=check, timeout=60,
    )  # fmt: skip


def _anew(url: str) -> None:
    """An empty schema of today: what an earlier checkout left in this database is no part of a test."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
    upgrade(url)


@contextmanager
def running_rig() -> Iterator[Rig]:
    rig = Rig()
    rig.stack.start(migrate=_anew)
    try:
        yield rig
    finally:
        rig.stop_workers()
        rig.stack.stop()
        rig.fleet.down()
