"""A process that certainly lives no more is dead; of every other nothing is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers import identity
from workers.identity import is_dead, this_process

TELL = "from workers.identity import this_process; print(this_process(), flush=True); input()"


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


def test_a_name_tells_machine_boot_pid_and_start() -> None:
    machine, boot, pid, started = this_process().rsplit("/", 3)
    assert machine and boot and pid == str(os.getpid()) and started.isdecimal()


def test_a_child_lives_until_it_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert name != this_process() and not is_dead(name)
        child.kill()
    assert is_dead(name)


def test_a_killed_worker_whose_parent_has_not_looked_yet_is_dead() -> None:
    """A zombie keeps its pid and start time, and serves nobody."""
    child = subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(name)
    finally:
        child.communicate()


def test_a_pid_that_another_process_has_now_is_a_dead_worker() -> None:
    place, pid, started = this_process().rsplit("/", 2)
    assert is_dead(f"{place}/{pid}/{int(started) - 1}")


def test_a_worker_from_before_the_reboot_is_dead() -> None:
    machine, _, pid, started = this_process().rsplit("/", 3)
    assert is_dead(f"{machine}/an-earlier-boot/{pid}/{started}")


def test_of_another_machine_nothing_is_known() -> None:
    _, boot, pid, started = this_process().rsplit("/", 3)
    assert not is_dead(f"another-machine/{boot}/{pid}/{started}")
    assert not is_dead(f"another-machine/another-boot/{pid}/1")


def test_a_machine_without_an_id_says_nothing_of_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Containers of one image share an empty machine id and the boot id, and have process tables of their own."""
    (tmp_path / "machine-id").write_text("\n")
    monkeypatch.setattr(identity, "_MACHINE", tmp_path / "machine-id")
    place, pid, _ = this_process().rsplit("/", 2)
    assert not is_dead(f"{place}/{pid}/1")


@pytest.mark.parametrize("name", ["", "worker-1", "a/b/c/d", "/boot/x/y"])
def test_a_name_that_is_none_of_ours_is_not_dead(name: str) -> None:
    assert not is_dead(name)
