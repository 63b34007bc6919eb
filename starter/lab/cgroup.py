"""A cgroup for each host: the one list of its processes that neither a reused pid nor a lost record can falsify."""

import contextlib
import os
import signal
import time
from pathlib import Path

from starter.lab.errors import LabError

ROOT = Path("/sys/fs/cgroup")
KILL_SECONDS = 15.0


def hierarchies() -> list[Path]:
    """Where cgroups are made: the one tree of cgroup v2, or systemd's two of the hybrid layout; LabError if none."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    found = [ROOT / name for name in ("systemd", "unified") if (ROOT / name / "cgroup.procs").exists()]
    if not found:
        raise LabError(f"no systemd cgroup hierarchy is mounted below {ROOT}: practice hosts cannot start here")
    return found


def directories(name: str) -> list[Path]:
    """The directories of the host's cgroup, one a hierarchy, made or not."""
    return [tree / name for tree in hierarchies()]


def pids(name: str) -> set[int]:
    """Every process in the cgroup, the keeper and the host's own included."""
    found: set[int] = set()
    for top in directories(name):
        for directory in _tree(top):
            with contextlib.suppress(OSError):  # the cgroup went away while we looked: so did its processes
                found.update(int(pid) for pid in (directory / "cgroup.procs").read_text().split())
    return found


def init_pid(name: str) -> int | None:
    """The host's PID 1 as this machine numbers it; None while it is not running."""
    for pid in sorted(pids(name)):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and len(line.split()) > 2 and line.split()[-1] == "1":
                    return pid
    return None


def kill(name: str) -> None:
    """Ends every process of the cgroup and removes it, like a power cut; LabError if some process will not die."""
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        for top in directories(name):
            with contextlib.suppress(OSError):  # kernels before 5.14, or no such cgroup
                (top / "cgroup.kill").write_text("1")
        for pid in pids(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for top in directories(name):
            _remove(top)
        if not any(top.exists() for top in directories(name)):
            return
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(pids(name))} of {name} do not die: see `ps` for their state")
        time.sleep(0.02)


def _remove(top: Path) -> None:
    for directory in _tree(top):
        with contextlib.suppress(OSError):  # still in use: the next round comes
            directory.rmdir()


def _tree(top: Path) -> list[Path]:
    """`top` and all below it, the deepest first; unlike rglob it bears directories that vanish under it."""
    return [Path(directory) for directory, _, _ in os.walk(top, topdown=False)]
