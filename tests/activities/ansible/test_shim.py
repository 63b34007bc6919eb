"""What the shim promises: nothing of its command outlives it or its parent."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.ansible import shim
from tests.activities.ansible.support import processes_of, wait_until

SHIM = [sys.executable, "-I", "-S", str(Path(shim.__file__))]
# setsid is what Ansible's forks do, and what a signal to a process group does not reach.
LEAVES_A_FORK = "setsid sleep 300.{mark} & sleep 300.{mark}"


@pytest.fixture
def mark() -> Iterator[str]:
    made = str(uuid.uuid4().int)[:12]
    yield made
    for pid in processes_of(f"300.{made}"):
        os.kill(pid, signal.SIGKILL)


def started(command: list[str], mark: str, user: int | None = None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, user=user)
    wait_until(
        lambda: sum("sleep" in one and "sh" not in one.split()[0] for one in processes_of(f"300.{mark}").values()) >= 2
    )
    return process


def test_the_commands_exit_code_is_the_shims() -> None:
    command = [*SHIM, str(os.getpid()), "--", "/bin/sh", "-c", "exit 7"]
    assert subprocess.run(command, check=False).returncode == 7


def test_a_missing_command_is_said() -> None:
    command = [*SHIM, str(os.getpid()), "--", "/no/such/ansible-playbook"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (127, "/no/such/ansible-playbook: No such file or directory\n")


def test_a_shim_whose_parent_is_gone_runs_nothing(tmp_path: Path) -> None:
    command = [*SHIM, "1", "--", "/bin/sh", "-c", f"touch {tmp_path}/ran"]
    assert subprocess.run(command, check=False).returncode == shim.PARENT_GONE
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("user", [None, 65534], ids=["as it is", "without root"])
def test_killing_the_shim_kills_forks_that_left_its_group(mark: str, user: int | None) -> None:
    if user is not None and os.geteuid() != 0:
        pytest.skip("cannot change the user")
    script = LEAVES_A_FORK.format(mark=mark)
    process = started(
        ["/usr/bin/python3", *SHIM[1:3], str(shim.__file__), str(os.getpid()), "--", "/bin/sh", "-c", script],
        mark,
        user,
    )
    process.kill()
    process.wait()
    wait_until(lambda: not processes_of(f"300.{mark}"), 5, "the end of every process")


def test_killing_the_shims_parent_kills_all(mark: str) -> None:
    script = LEAVES_A_FORK.format(mark=mark)
    parent = started(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys; subprocess.run([*sys.argv[1:5], str(os.getpid()), '--', *sys.argv[5:]])",
            *SHIM,
            "/bin/sh",
            "-c",
            script,
        ],
        mark,
    )
    parent.kill()
    parent.wait()
    wait_until(lambda: not processes_of(f"300.{mark}"), 5, "the end of every process")


def test_without_namespaces_the_parents_death_still_ends_all(mark: str) -> None:
    """The fallback, for kernels that forbid namespaces."""
    script = LEAVES_A_FORK.format(mark=mark)
    child = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import shim;"
        "os._exit(shim.run_as_reaper(lambda: shim.execute(sys.argv[3:]), int(sys.argv[2])))"
    )
    parent = started(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys; a = sys.argv[1:]; subprocess.run([*a[:3], a[3], str(os.getpid()), *a[4:]])",
            sys.executable,
            "-c",
            child,
            str(Path(shim.__file__).parent),
            "/bin/sh",
            "-c",
            script,
        ],
        mark,
    )
    parent.kill()
    parent.wait()
    wait_until(lambda: not processes_of(f"300.{mark}"), 5, "the end of every process")
