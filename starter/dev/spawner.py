"""Starts children that the kernel ends with us: even SIGKILL of this process leaves no orphan behind."""

import ctypes
import os
import pwd
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TypedDict

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: the child of a fork must not load libraries.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Identity(TypedDict):
    """Whom subprocess shall run a program as; all None: as ourselves."""

    user: str | None
    group: int | None
    extra_groups: list[int] | None


def identity(user: str | None) -> Identity:
    """`user` with the group of that user and no other: none of root's groups may stick."""
    if user is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def spawn(
    argv: Sequence[str],
    output: IO[bytes],
    env: Mapping[str, str] | None,
    cwd: Path,
    user: str | None,
    *,
    death_signal: int,
    umask: int,
) -> "subprocess.Popen[bytes]":
    """Start `argv` in a session of its own; when we die it gets `death_signal`. Raises OSError."""
    tie = _tie_to(os.getpid(), death_signal)
    return _in_spawner(
        lambda: subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            umask=umask,
            # After the change of user, which would clear the death signal.
            preexec_fn=tie,
            **identity(user),
        )
    )


def _tie_to(parent: int, number: int) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl, argument = _prctl, int(number)

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, argument, 0, 0, 0)
        # We may have died before the line above: then nobody will ever send the signal.
        if os.getppid() != parent:
            os._exit(127)

    return tie


class _Spawner:
    """Starts every child from one thread that never ends.

    The death signal fires when the *thread* that forked ends, so a child started from a thread pool would be
    killed in mid-work the moment its pool shrinks.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="vulnzero-spawner", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.jobs.get()()


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()


def _in_spawner(start: "Callable[[], subprocess.Popen[bytes]]") -> "subprocess.Popen[bytes]":
    global _spawner
    with _spawner_lock:
        # Threads do not survive a fork: a forked process gets a spawner of its own.
        if _spawner is None or _spawner.pid != os.getpid():
            _spawner = _Spawner()
        jobs = _spawner.jobs
    answer: Future[subprocess.Popen[bytes]] = Future()

    def job() -> None:
        try:
            answer.set_result(start())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            answer.set_exception(error)

    jobs.put(job)
    return answer.result()
