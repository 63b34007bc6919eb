"""Who this process is, so that a later one can tell whether it still lives: machine, boot, pid and start time."""

import os
import uuid
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACHINE = Path("/etc/machine-id")


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot, from /proc/PID/stat; None where there is no such process.

    A zombie is none: it has ended, and only its parent has not looked yet.
    """
    try:
        # The name is in brackets and may hold anything, so count from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def _place() -> str:
    machine = _MACHINE.read_text().strip() if _MACHINE.exists() else f"{uuid.getnode():x}"
    return f"{machine}/{_BOOT.read_text().strip()}"


def this_process() -> str:
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"


def is_dead(worker: str) -> bool:
    """True only for a process of this machine that certainly lives no more; of other machines nothing is known.

    A worker in a container has a process table of its own but shares the boot id, so an empty machine id would make
    neighbours look dead: such workers are told apart by their machine id, or not at all.
    """
    if worker.count("/") < 3:
        return False  # none of our names
    machine, boot, pid, started = worker.rsplit("/", 3)
    here_machine, _, here_boot = _place().rpartition("/")
    if not here_machine or machine != here_machine:
        return False
    return boot != here_boot or _started(int(pid)) != started
