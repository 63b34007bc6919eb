"""A folder for each worker process in the shared run folder, so that what a killed one left can be told and removed.

Its name is short, for sockets are in it and Linux cuts a socket's path at 107 bytes: the first eight characters of
machine and boot, pid and start time.
"""

import logging
import shutil
from pathlib import Path

from workers.identity import is_dead, this_process

log = logging.getLogger("vulnzero.worker")

SHORT = 8


def own(run_dir: Path) -> Path:
    """This process's folder in `run_dir`; it is made by whoever needs it."""
    return run_dir / _name(this_process())


def _name(worker: str) -> str:
    machine, boot, pid, started = worker.rsplit("/", 3)
    return "-".join([machine[:SHORT], boot[:SHORT], pid, started])


def sweep(run_dir: Path) -> int:
    """Removes the folders of processes that are certainly dead, and returns how many they were."""
    machine, boot, *_ = this_process().rsplit("/", 3)
    swept = 0
    for folder in run_dir.iterdir() if run_dir.is_dir() else ():
        parts = folder.name.split("-")
        if len(parts) != 4 or parts[0] != machine[:SHORT] or not parts[2].isdecimal():
            continue  # another machine's, or none of ours
        its_boot = boot if parts[1] == boot[:SHORT] else parts[1]
        if is_dead("/".join([machine, its_boot, *parts[2:]])):
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    if swept:
        log.info("removed what %d dead workers left in %s", swept, run_dir)
    return swept
