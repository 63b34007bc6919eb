"""Runs a command so that nothing of it outlives its parent, whoever is killed and however.

    python -I -S shim.py PARENT_PID -- COMMAND...

Ansible's forks call setsid, so neither a signal to its process group nor a terminal that closes reaches them or
their ssh. A PID namespace does: when its first process dies, the kernel kills all the others. Stdlib only, and run as
a file: it must not import anything of ours before the death signal is set.

Exit: the command's own; 76 when the parent was already gone, 77 when no namespace could be made and the fallback
had to end what was left, 127 when the command is not there.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
PARENT_GONE = 76
MISSING = 127

libc = ctypes.CDLL(None, use_errno=True)
Work = Callable[[], NoReturn]


def die_with_parent(gone: Callable[[], bool]) -> None:
    """Death signal first, then the look whether it came too late. (It follows the thread that started us.)"""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if gone():
        os._exit(PARENT_GONE)


def die_with_worker() -> None:
    """For what a worker starts, before any import of weight: until this is set, a worker that dies leaves it behind."""
    worker = os.environ.get("VULNZERO_PARENT")
    die_with_parent(lambda: worker is not None and os.getppid() != int(worker))


def name_process(name: str) -> None:
    """What `ps -o comm` shows, at most 15 bytes: a fork has its parent's command line."""
    libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def own_namespace() -> bool:
    """The next child is the first process of a new PID namespace; without root, inside a user namespace of ours."""
    if libc.unshare(CLONE_NEWPID) == 0:
        return True
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib costs 10 ms of start-up
            file.write(text)
    return True


def execute(command: list[str]) -> NoReturn:
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(MISSING)


def first_process(work: Work, parent: int) -> NoReturn:
    """Init of the namespace. `parent` is the reading end of a pipe whose other end only our parent holds: inside a
    namespace the parent's pid is always 0, so its number cannot tell whether it still lives."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.set_blocking(parent, False)
    try:
        if os.read(parent, 1) == b"":
            os._exit(PARENT_GONE)
    except BlockingIOError:
        pass
    main = os.fork()
    if main == 0:
        work()
    while True:
        pid, status = os.wait()
        if pid == main:
            os._exit(os.waitstatus_to_exitcode(status) & 255)


def run_in_namespace(work: Work) -> int:
    reading, writing = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(writing)
        first_process(work, reading)
    os.close(reading)
    _, status = os.waitpid(init, 0)
    return os.waitstatus_to_exitcode(status) & 255


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - as above
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:  # noqa: PTH123
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(entry))
            except (OSError, IndexError, ValueError):
                continue
    return found


def run_as_reaper(work: Work, parent: int) -> int:
    """The nearest thing where namespaces are forbidden: every orphan comes to us, and we end them all before we go.

    Our parent's death reaches us as SIGTERM. What it cannot stand is a SIGKILL of this very process.
    """
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def end_all(*_: object) -> None:
        while kids := children_of(os.getpid()):
            for kid in kids:
                os.kill(kid, signal.SIGKILL)
            while kids and os.wait():
                kids.pop()
        os._exit(77)

    signal.signal(signal.SIGTERM, end_all)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(PARENT_GONE)
    main = os.fork()
    if main == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        work()
    while True:
        pid, status = os.wait()
        if pid == main:
            for kid in children_of(os.getpid()):
                os.kill(kid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status) & 255


def fenced(work: Work, parent: int) -> int:
    """Runs `work`, which never returns, in a child; its exit code. `parent` is the pid that must still be ours."""

    def gone() -> bool:
        return os.getppid() != parent

    die_with_parent(gone)
    if not own_namespace():
        return run_as_reaper(work, parent)
    # The kernel takes the death signal back from a process that changes its credentials, as a user namespace does.
    die_with_parent(gone)
    return run_in_namespace(work)


def main(arguments: list[str]) -> int:
    parent, command = int(arguments[0]), arguments[2:]
    return fenced(lambda: execute(command), parent)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
