"""One batch, one Ansible run: `python -m activities.ansible.supervisor`, a job on stdin, lines on stdout.

A process of its own, because ansible_runner blocks, prints and forks; because a worker that dies must take Ansible
with it; and because a batch that dies must not take the worker. It knows nothing of the database.
"""

# ruff: noqa: E402
from activities.ansible import shim

shim.die_with_worker()

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_runner.interface import init_runner

from activities.ansible.job import Finished, Job, Line, bounded
from activities.ansible.outcomes import Outcomes
from activities.ansible.workspace import Workspace

SHIM = Path(__file__).with_name("shim.py")
IDENT = "run"
TAIL = 4096
MISSING = 127

Fence = Callable[[list[str]], list[str]]


def by_shim(command: list[str]) -> list[str]:
    """What runs `command` so that nothing of it outlives this process."""
    return [sys.executable, "-I", "-S", str(SHIM), str(os.getpid()), "--", sys.executable, *command]


def unchanged(command: list[str]) -> list[str]:
    """For a fork of the zygote, where `forked.ForkSpawn` fences what it starts itself."""
    return command


class Supervisor:
    """Runs one job; `run` returns once the last line is out."""

    def __init__(self, job: Job, out: int, fence: Fence = by_shim) -> None:
        self._job, self._out, self._fence = job, out, fence
        self._workspace = Workspace(job)
        self._outcomes = Outcomes([host.name for host in job.hosts], self._workspace.marks, job.mode)
        self.cancelled = False
        self._child: int | None = None

    def say(self, line: Line) -> None:
        data = line.model_dump_json().encode() + b"\n"
        while data:
            data = data[os.write(self._out, data) :]

    def run(self) -> None:
        finished = Finished(rc=None, status="failed", detail="Ansible was not started")
        try:
            self._workspace.write()
            finished = self._play()
        except Exception as error:  # noqa: BLE001 - whatever broke, every host still gets its outcome
            finished = Finished(rc=None, status="failed", detail=bounded(f"{type(error).__name__}: {error}", TAIL))
        for line in self._outcomes.close(self._why(finished)):
            self.say(line)
        shutil.rmtree(self._job.directory, ignore_errors=True)
        self.say(finished)

    def _why(self, finished: Finished) -> str:
        if self.cancelled:
            return "the run was cancelled"
        if finished.rc is None or finished.rc == MISSING:
            return f"Ansible was not run ({finished.detail})"
        return f"Ansible ended ({finished.status})"

    def _play(self) -> Finished:
        # Not found by PATH: what is missing there is a silent "failed" of ansible_runner, without a single event.
        ansible = Path(sys.executable).with_name("ansible-playbook")
        if not ansible.is_file():
            return Finished(
                rc=MISSING, status="failed", detail=f"{ansible} is missing: install ansible-core beside python"
            )
        runner = init_runner(
            private_data_dir=self._job.directory,
            inventory=str(Path(self._job.directory) / "inventory" / "hosts.json"),
            playbook="play.yml",
            ident=IDENT,
            event_handler=self._event,
            cancel_callback=lambda: self.cancelled,  # without one ansible_runner installs signal handlers of its own
            quiet=True,
            rotate_artifacts=0,
        )
        runner.config.command = self._fence([str(ansible), *runner.config.command[1:]])
        status, rc = runner.run()
        return Finished(rc=rc, status=status, detail="" if status == "successful" else self._tail())

    def _event(self, event: dict[str, Any]) -> bool:
        """False: keep no file of it. An exception here would abort the run with hosts in hand, so none leaves."""
        try:
            for line in self._outcomes.take(event):
                self.say(line)
        except BrokenPipeError:
            self.cancelled = True
        except Exception as error:  # noqa: BLE001
            print(f"event {event.get('event')}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False

    def _tail(self) -> str:
        output = Path(self._job.directory) / "artifacts" / IDENT / "stdout"
        try:
            return output.read_text(errors="replace")[-TAIL:].strip()
        except OSError:
            return ""


def main(fence: Fence = by_shim) -> None:
    # Whatever prints in this process must not tear our lines apart.
    out = os.dup(1)
    os.dup2(2, 1)
    with open(0, "rb", closefd=False) as given:
        text = given.read()
    if not text:
        return  # the worker thought better of it
    started = time.monotonic()
    job = Job.model_validate_json(text)
    os.chdir(job.directory)  # whoever looks at this machine's processes sees which batch each belongs to
    supervisor = Supervisor(job, out, fence)

    def cancel(*_: object) -> None:
        supervisor.cancelled = True

    signal.signal(signal.SIGTERM, cancel)
    signal.signal(signal.SIGINT, cancel)
    supervisor.run()
    print(f"batch took {time.monotonic() - started:.2f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
