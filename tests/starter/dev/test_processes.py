import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from starter.dev import proc
from starter.dev.errors import StackError, StackStopped
from starter.dev.processes import Child

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def child(folder: Path, code: str, **options: object) -> Child:
    return Child("helper", [sys.executable, "-c", code], folder / "log", **options)  # type: ignore[arg-type]


def test_a_child_that_ignores_the_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    one = child(tmp_path, STUBBORN, grace=0.1)
    one.start()
    one.wait_ready(lambda: "up" in one.last_words(), 10)
    one.stop()
    assert one.exit_code == -signal.SIGKILL


def test_a_kill_reaches_the_childs_own_children(tmp_path: Path) -> None:
    one = child(tmp_path, "import subprocess; subprocess.run(['sleep', '60'])")
    one.start()
    until(lambda: bool(proc.children(one.pid)))
    inner = proc.children(one.pid)[0]
    one.kill()
    assert proc.started(inner) is None


def test_a_child_that_dies_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; sys.exit('no more disk')")
    one.start()
    with pytest.raises(StackError, match=r"helper ended with 1 while starting: no more disk \(see .*log\)"):
        one.wait_ready(lambda: False, 10)


def test_a_child_that_is_never_ready_is_told_after_the_deadline(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; time.sleep(60)")
    one.start()
    with pytest.raises(StackError, match="helper was not ready after 0 s: it said nothing"):
        one.wait_ready(lambda: False, 0.05)
    one.kill()


def test_a_wait_ends_early_when_the_stack_is_asked_to_stop(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; time.sleep(60)")
    one.start()
    halt = threading.Event()
    halt.set()
    with pytest.raises(StackStopped):
        one.wait_ready(lambda: False, 60, halt)
    one.kill()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"cannot start helper: .*/no/such"):
        Child("helper", ["/no/such"], tmp_path / "log").start()


def test_a_child_started_from_a_thread_outlives_that_thread(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    thread = threading.Thread(target=one.start)
    thread.start()
    thread.join()
    one.wait_ready(lambda: "up" in one.last_words(), 10)
    assert one.alive
    one.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_child_dies_with_its_supervisor_even_on_sigkill(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from starter.dev.processes import Child;"
        f"c = Child('x', ['sleep', '60'], Path({str(tmp_path / 'log')!r}));"
        "c.start(); print(c.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert proc.started(pid) is not None
        supervisor.kill()
        until(lambda: proc.started(pid) is None)


def test_a_pid_file_whose_pid_is_someone_elses_now_does_no_harm(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        birth = proc.started(other.pid)
        assert birth is not None
        (tmp_path / "pid").write_text(f"{other.pid} {birth - 1}\n")
        one = child(tmp_path, "pass", pid_file=tmp_path / "pid")
        one.end_former()
        assert other.poll() is None
        (tmp_path / "pid").write_text(f"{other.pid} {birth}\n")
        one.end_former()
        assert other.wait(10) == -signal.SIGTERM


def test_a_long_log_is_turned_over_at_the_next_start(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        log.truncate(11 * 1024 * 1024)
    one = child(tmp_path, "print('fresh')")
    one.start()
    until(lambda: not one.alive)
    assert one.last_words().startswith("fresh")
    assert (tmp_path / "log.1").exists()


def test_a_process_is_known_by_its_start_and_a_dead_one_is_not_known() -> None:
    assert proc.started(os.getpid()) is not None
    with subprocess.Popen(["true"]) as process:
        # A zombie until it is waited for: it holds nothing any more.
        until(lambda: proc.started(process.pid) is None)
