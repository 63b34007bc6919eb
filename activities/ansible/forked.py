"""Ansible in a fork of this process instead of a new one: what `ansible-playbook` would do, with all of it imported.

ansible_runner stays as it is: it starts its command by `pexpect.spawn`, and `ForkSpawn` stands in for that. What an
exec would have done is done by hand: signals, descriptors, environment, standard streams.
"""

import os
import pty
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import pexpect  # type: ignore[import-untyped]
import ptyprocess  # type: ignore[import-untyped]
from ansible import constants
from ansible.cli.playbook import PlaybookCLI

from activities.ansible import shim

BROKEN = 250
# Beyond any descriptor that a process of ours opens; a bound because the limit itself may be a thousand million.
DESCRIPTORS = 65536


def close_inherited() -> None:
    """All but 0, 1 and 2, as an exec would. A fork that kept its batch's line would hide the batch's end from the
    worker. Python's objects of those descriptors stay referenced by the frames below us, so none is closed twice."""
    os.closerange(3, DESCRIPTORS)


class ForkSpawn(pexpect.spawn):  # type: ignore[misc]
    """A `pexpect.spawn` whose child is a fork that plays."""

    def _spawnpty(
        self, args: Sequence[bytes], env: Mapping[str, str], cwd: str, echo: bool = True, **_: Any
    ) -> ptyprocess.PtyProcess:
        supervisor = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid, fd = pty.fork()
        if pid == 0:
            _play_fenced([os.fsdecode(one) for one in args], env, cwd, supervisor)
        process = ptyprocess.PtyProcess(pid, fd)
        process.argv, process.env, process.launch_dir = args, env, cwd
        # It is closed after its end was seen: its tenth of a second would be lost on every batch.
        process.delayafterclose = 0
        process.setecho(echo)
        return process


def install() -> None:
    """From now on ansible_runner forks, in this process and in its forks."""
    pexpect.spawn = ForkSpawn


def _play_fenced(arguments: list[str], environment: Mapping[str, str], directory: str, parent: int) -> NoReturn:
    code = BROKEN
    try:
        # The supervisor's own handlers would only set a flag here.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        shim.name_process("vz-fence")
        close_inherited()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        code = shim.fenced(lambda: _play(arguments), parent)
    except BaseException:  # noqa: BLE001 - whatever it is, no fork may return into its parent's frames
        traceback.print_exc()
    finally:
        os._exit(code)


def _play(arguments: list[str]) -> NoReturn:
    code = BROKEN
    try:
        shim.name_process("vz-ansible")
        # The one setting that differs from batch to batch and was frozen when Ansible was imported.
        constants.DEFAULT_FORKS = constants.config.get_config_value("DEFAULT_FORKS")
        PlaybookCLI.cli_executor(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
