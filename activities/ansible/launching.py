"""Starting one supervisor: the line between it and the worker, and the plain way, a process of its own.

The warm way is `warm.Warm.launch`; both are a `Launch`.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

SUPERVISOR = "activities.ansible.supervisor"


class Process(Protocol):
    """What is asked of a started supervisor; `asyncio.subprocess.Process` is one. `returncode` is -N after signal N."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


@dataclass
class Launched:
    """A supervisor that waits for its job. `talk`: the job goes in up to its end, lines come out. `said`: what it
    prints. Both belong to the caller, who closes them."""

    process: Process
    talk: socket.socket
    said: socket.socket


Launch = Callable[[], Awaitable[Launched]]


class Wire:
    """Both ends of one supervisor's line, a pair for each try: a supervisor that a failed try left behind must not
    find the job that another is given. Leaving the block closes whatever was not handed on."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.talk, self.their_talk = socket.socketpair()
        self.said, self.their_said = socket.socketpair()
        for one in (self.talk, self.their_talk, self.said, self.their_said):
            self._open.enter_context(one)

    def handed_to(self, process: Process) -> Launched:
        """Closes their ends, so that the end of the supervisor is the end of the line."""
        self._open.pop_all()
        self.their_talk.close()
        self.their_said.close()
        return Launched(process, self.talk, self.said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._open.close()


async def cold(module: str = SUPERVISOR) -> Launched:
    """A supervisor as a process of its own, which imports Ansible first (about a second). Errors: OSError.

    Use it from the worker's main thread: the death signal follows the thread that started the supervisor, and a
    pool's thread that ends would take the batch with it.
    """
    with Wire() as wire:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            stdin=wire.their_talk.fileno(),
            stdout=wire.their_talk.fileno(),
            stderr=wire.their_said.fileno(),
            env=scrubbed(),
            # A signal to the worker's group (Ctrl-C) must not end a batch behind the worker's back.
            start_new_session=True,
        )
        return wire.handed_to(process)


def scrubbed() -> dict[str, str]:
    """Nothing of ours but what a supervisor needs: ours may hold the database's password."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "VULNZERO_PARENT": str(os.getpid()),
    }
    if "SSH_AUTH_SOCK" in os.environ:
        environment["SSH_AUTH_SOCK"] = os.environ["SSH_AUTH_SOCK"]
    return environment
