import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client

from starter.dev import config, proc
from starter.dev.errors import StackError
from starter.dev.number import Place, allot
from starter.dev.scratch import scratch_folder
from starter.dev.stack import Extra, Stack
from tests.starter.dev.conftest import PAGE
from tests.starter.dev.test_processes import until


def place_in(folder: Path, name: str) -> Place:
    (folder / name).mkdir()
    # A number whose ports nobody uses: these tests may run beside somebody's own stack.
    return Place.of(allot(str(folder / name), folder / "root"), folder / "root")


@pytest.fixture(scope="module")
def used() -> Iterator[Place]:
    with scratch_folder() as folder:
        yield place_in(folder, "checkout")


@pytest.fixture
def place(used: Place) -> Place:
    """A place where a stack may have run before: making its data anew for every test would be most of the time."""
    shutil.rmtree(used.data / "logs", ignore_errors=True)
    return used


@pytest.fixture
def stack(place: Place) -> Iterator[Stack]:
    made = Stack(config.load(PAGE), place, env={})
    try:
        yield made
    finally:
        kill_quickly(made)


def kill_quickly(stack: Stack) -> None:
    """Without the 1.2 s of Temporal's kind stop, which is none of this file's questions but one."""
    if stack.temporal.alive:
        stack.kill_temporal()
    stack.stop()


def rows(stack: Stack, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(stack.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return list(cursor.fetchall()) if cursor.description else []


async def test_two_stacks_run_at_once_and_each_comes_back_from_a_crash_of_its_servers(
    stack: Stack, place: Place
) -> None:
    migrated: list[str] = []
    other = Stack(config.load(PAGE), place_in(place.data.parents[1], "other"), env={})
    try:
        stack.start(migrate=migrated.append)
        other.start()
        assert migrated == [stack.database_url]
        assert stack.temporal_address != other.temporal_address
        rows(stack, "drop table if exists t")
        rows(stack, "create table t (n int)")
        rows(stack, "insert into t values (1)")
        client = await Client.connect(stack.temporal_address, namespace=stack.namespace)
        await client.start_workflow("Anything", id="deployment-1", task_queue="q")

        stack.kill_postgres()
        stack.kill_temporal()
        assert (stack.postgres.alive, stack.temporal.alive) == (False, False)
        stack.restart_postgres()
        stack.restart_temporal()
        assert stack.dead_server() is None
        assert rows(stack, "select n from t") == [(1,)]
        assert [one.id async for one in client.list_workflows()] == ["deployment-1"]
        other_client = await Client.connect(other.temporal_address, namespace=other.namespace)
        assert [one.id async for one in other_client.list_workflows()] == []
    finally:
        kill_quickly(other)


def test_a_second_stack_on_the_same_number_names_the_first(stack: Stack, place: Place) -> None:
    stack.start()
    with pytest.raises(StackError, match=rf"the dev stack in .* runs already, under pid {os.getpid()} "):
        Stack(config.load(PAGE), place, env={}).start()
    assert stack.postgres.alive


def test_a_failed_migration_leaves_nothing_running(stack: Stack) -> None:
    def fail(url: str) -> None:
        raise ValueError("broken migration")

    with pytest.raises(ValueError, match="broken migration"):
        stack.start(migrate=fail)
    assert (stack.postgres.alive, stack.temporal.alive) == (False, False)


def test_a_database_of_ones_own_is_used_and_never_touched(place: Place) -> None:
    stack = Stack(config.load(PAGE), place, env={"DATABASE_URL": "postgresql://me:secret@db/x"})
    assert stack.database_url == "postgresql+psycopg://me:secret@db/x"
    with pytest.raises(StackError, match="DATABASE_URL is set"):
        stack.kill_postgres()
    with pytest.raises(StackError, match="DATABASE_URL does not begin with postgresql://"):
        Stack(config.load(PAGE), place, env={"DATABASE_URL": "sqlite:///x"})


def test_a_child_finds_the_stack_and_nothing_of_another_temporal(place: Place) -> None:
    shell = {"DATABASE_URL": "postgresql://h/d", "TEMPORAL_API_KEY": "secret", "PATH": "/bin"}
    found = Stack(config.load(PAGE), place, env=shell).environment()
    assert "TEMPORAL_API_KEY" not in found
    assert found["TEMPORAL_ADDRESS"] == f"127.0.0.1:{place.temporal_port}"
    assert (found["PATH"], found["VULNZERO_NUMBER"]) == ("/bin", str(place.number))


def test_before_the_first_start_the_way_to_one_is_named(folder: Path) -> None:
    stack = Stack(config.load(PAGE), place_in(folder, "new"), env={})
    with pytest.raises(StackError, match="start the stack with `vulnzero dev` first"):
        _ = stack.database_url


def test_a_fixed_port_and_folder_of_the_page_are_obeyed(place: Place, folder: Path) -> None:
    page = folder / "page.yml"
    text = PAGE.read_text().replace("data: auto", f"data: {folder}/elsewhere")
    page.write_text(text.replace("  ui_port: auto", "  ui_port: 23456"))
    stack = Stack(config.load(page), place, env={})
    assert (stack.ui_url, stack.data) == ("http://127.0.0.1:23456", folder / "elsewhere")


FOREGROUND = """
import sys
from pathlib import Path
from starter.dev import config
from starter.dev.foreground import run_foreground
from starter.dev.number import Place
from starter.dev.errors import StackError
from starter.dev.scratch import scratch_folder
from starter.dev.stack import Extra, Stack

stack = Stack(config.load(Path(sys.argv[1])), Place(int(sys.argv[2]), Path(sys.argv[3])), env={})
def say(line): print(line, flush=True)
code = sys.argv[4]
extra = Extra("worker", (sys.executable, "-u", "-c", code), kind=sys.argv[5])
try:
    run_foreground(stack, [extra], say=say, ready=lambda: say("READY"), restart_delay=0.05)
except StackError as error:
    say(f"ERROR {error}")
    sys.exit(3)
"""
WORKER = """
import os, signal, sys, time
def drain(*_): print("drained", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, drain)
print("working with", os.environ["DATABASE_URL"][:10], flush=True)
time.sleep(60)
"""


class Foreground:
    """`vulnzero dev` as a process of its own, with what it said."""

    def __init__(self, place: Place, worker: str = WORKER, kind: str = "worker") -> None:
        self.place = place
        self.worker_log = place.data / "logs/worker.log"
        self.said = place.data / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", FOREGROUND, str(PAGE), str(place.number), str(place.data), worker, kind],
                stdout=said,
                stderr=said,
            )

    def heard(self, words: str) -> bool:
        return words in self.said.read_text()

    def worked(self, words: str) -> bool:
        return self.worker_log.exists() and words in self.worker_log.read_text()

    def pid_of(self, name: str) -> int:
        return int((self.place.data / f"{name}.pid").read_text().split()[0])

    def everything(self) -> list[int]:
        return [*proc.working_in(self.place.data / "postgres"), *proc.children(self.process.pid)]


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Foreground]]:
    started: list[Foreground] = []

    def run(**options: str) -> Foreground:
        started.append(Foreground(place, **options))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.wait()
    if started:
        until(lambda: not proc.working_in(place.data / "postgres"), 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_drains_the_worker_then_stops_the_servers(
    start: Callable[..., Foreground], number: signal.Signals
) -> None:
    dev = start()
    until(lambda: dev.worked("working with postgresql"), 60)
    pids = dev.everything()
    assert len(pids) > 3
    dev.process.send_signal(number)
    assert dev.process.wait(30) == 0, dev.said.read_text()
    assert dev.worked("drained")
    assert [pid for pid in pids if proc.started(pid) is not None] == []
    assert dev.heard("everything is kept")


def test_ctrl_c_in_mid_start_leaves_nothing_behind(start: Callable[..., Foreground]) -> None:
    dev = start()
    until(lambda: (dev.place.data / "temporal.pid").exists(), 30)
    until(lambda: (dev.place.data / "temporal.pid").read_text() != "", 30)
    pid = dev.pid_of("temporal")
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(30) == 0, dev.said.read_text()
    assert not dev.heard("READY")
    assert proc.started(pid) is None
    assert proc.working_in(dev.place.data / "postgres") == []


def test_a_worker_that_dies_is_started_again_and_a_server_that_dies_ends_the_stack(
    start: Callable[..., Foreground],
) -> None:
    dev = start()
    until(lambda: dev.worked("working with"), 60)
    first = dev.pid_of("worker")
    os.kill(first, signal.SIGKILL)
    until(lambda: dev.heard("worker ended with -9, starting it again"), 20)
    until(lambda: dev.worker_log.read_text().count("working with") == 2, 20)
    os.kill(dev.pid_of("temporal"), signal.SIGKILL)
    assert dev.process.wait(40) == 3
    assert dev.heard("ERROR Temporal ended with -9")
    assert dev.worked("drained")


def test_a_worker_that_never_stays_up_ends_the_stack_with_its_last_words(start: Callable[..., Foreground]) -> None:
    dev = start(worker="import sys; sys.exit('bad setting')")
    assert dev.process.wait(60) == 3
    assert dev.heard("ERROR worker does not stay up (ended 5 times): bad setting")


def test_a_supervisor_that_is_killed_takes_everything_with_it_and_the_next_one_starts(
    start: Callable[..., Foreground],
) -> None:
    dev = start()
    until(lambda: dev.worked("working with"), 60)
    pids = dev.everything()
    dev.process.kill()
    dev.process.wait()
    second = start()
    until(lambda: second.heard("READY"), 60)
    assert [pid for pid in pids if proc.started(pid) is not None] == []


def test_an_extra_server_is_refused_where_its_port_is_taken(stack: Stack) -> None:
    port = proc.free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proc, "is_free", lambda number, host="": number != port)
        with pytest.raises(StackError, match=f"port {port} for api is taken"):
            stack.spawn(Extra("api", ("true",), "server", port=port))
