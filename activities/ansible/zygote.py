"""The warm parent of supervisors: has Ansible imported, and forks one supervisor a batch.

    python -P -m activities.ansible.zygote DIRECTORY      (its end of a SOCK_SEQPACKET pair as descriptor 0)

Each message is one JSON object. In: `{"start": N}` with two descriptors (talk, said) and
`{"signal": NUMBER, "batch": N}`. Out: `{"ready": PID}` once, `{"started": N, "pid": PID}` or `{"refused": N}`,
`{"ended": N, "rc": RC}`.
It signals because it is the parent: a child's pid is nobody else's until it has looked at its end.

DIRECTORY, private and of one zygote only, holds what Ansible wants at import: a home, and a local temporary folder
that keeps the packed module for all batches. Exit: when the worker's end closes.
"""

# ruff: noqa: E402
from activities.ansible import shim

shim.die_with_worker()

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from activities.ansible.workspace import SETTLED

MESSAGE = 4096


def warm_up(directory: Path) -> None:
    """Imports with Ansible's settings in place and takes them away: ansible_runner would hand them on to Ansible."""
    from ansible_runner.utils import get_callback_dir

    own = dict(os.environ)
    os.environ.update(
        SETTLED,
        HOME=str(directory / "home"),
        ANSIBLE_HOME=str(directory / "home"),
        ANSIBLE_LOCAL_TEMP=str(directory / "tmp"),
        # As ansible_runner will set them.
        ANSIBLE_CALLBACK_PLUGINS=get_callback_dir(),
        ANSIBLE_STDOUT_CALLBACK="awx_display",
    )
    from activities.ansible import forked, preload, supervisor  # noqa: F401

    os.environ.clear()
    os.environ.update(own)
    # What is collected in a fork is copied there first; so nothing that is here now ever is.
    gc.collect()
    gc.freeze()


class Zygote:
    """`serve` returns when the worker's end is closed."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pids: dict[int, int] = {}  # batch -> pid, until its end was told
        self._ends: dict[int, int] = {}  # a pid's descriptor -> batch
        self._poll = select.poll()

    def serve(self) -> None:
        self._poll.register(self._control, select.POLLIN)
        self._say(ready=os.getpid())
        while True:
            for fd, _ in self._poll.poll():
                if fd in self._ends:
                    self._bury(fd)
                elif not self._heed():
                    return

    def _say(self, **message: int) -> None:
        self._control.send(json.dumps(message).encode())

    def _heed(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, MESSAGE, 2)
        if not data:
            return False
        message: dict[str, Any] = json.loads(data)
        if "start" in message:
            self._start(message["start"], fds)
        elif message["batch"] in self._pids:
            os.kill(self._pids[message["batch"]], message["signal"])
        return True

    def _start(self, batch: int, fds: list[int]) -> None:
        parent = os.getpid()
        try:
            talk, said = fds
            pid = os.fork()
        except (ValueError, OSError):
            # No memory or no descriptors for one more: an exception here would end the batches that run.
            self._say(refused=batch)
            return
        finally:
            if os.getpid() == parent:
                for fd in fds:
                    os.close(fd)
        if pid == 0:
            supervise(parent, talk, said)
        end = os.pidfd_open(pid)
        self._pids[batch], self._ends[end] = pid, batch
        self._poll.register(end, select.POLLIN)
        self._say(started=batch, pid=pid)

    def _bury(self, end: int) -> None:
        batch = self._ends.pop(end)
        self._poll.unregister(end)
        os.close(end)
        _, status = os.waitpid(self._pids.pop(batch), 0)
        self._say(ended=batch, rc=os.waitstatus_to_exitcode(status))


def supervise(parent: int, talk: int, said: int) -> NoReturn:
    """The fork's whole life: it must never return into the zygote's loop."""
    from activities.ansible import forked, supervisor

    code = 1
    try:
        shim.die_with_parent(lambda: os.getppid() != parent)
        shim.name_process("vz-supervisor")
        for fd, number in ((talk, 0), (talk, 1), (said, 2)):
            os.dup2(fd, number)
        forked.close_inherited()
        supervisor.main(supervisor.unchanged)
        code = 0
    except BaseException:  # noqa: BLE001 - as said above
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main(directory: Path) -> None:
    gc.disable()
    control = socket.socket(fileno=os.dup(0))
    # Nothing that Ansible starts shall read from or write to the worker's line.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    warm_up(directory)
    gc.enable()
    # Python's own handler would be inherited by every fork.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from activities.ansible import forked

    forked.install()
    Zygote(control).serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
