import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from starter.dev import proc
from starter.dev.number import Place
from tests.starter.dev.conftest import PAGE
from tests.starter.dev.test_processes import until

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
                # A suite that runs in the background has SIGINT ignored, and what is ignored stays so for children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
