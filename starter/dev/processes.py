"""Child processes that never outlive us, say why they died, and are ended by pid."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starter.dev import proc
from starter.dev.errors import StackError, check_not_stopped
from starter.dev.spawner import spawn

_LOG_LIMIT = 10 * 1024 * 1024


@dataclass
class Child:
    """One supervised process: `argv` with its output appended to `log`, in a session of its own.

    A session of its own, because Ctrl-C in a terminal would else hit the servers before those who use them.
    `death_signal` is what the kernel sends it when we die, even by SIGKILL. Times are seconds.
    """

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] | None = None
    cwd: Path = Path("/")
    user: str | None = None
    pid_file: Path | None = None
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    death_signal: signal.Signals = signal.SIGKILL
    grace: float = 10.0
    umask: int = -1
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Its pid. Raises StackError where it was not started."""
        if self.process is None:
            raise StackError(f"{self.name} is not started: start it first")
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """As subprocess gives it: negative for a signal, None while it runs."""
        return None if self.process is None else self.process.poll()

    def start(self) -> None:
        """Start it, after ending what a crashed supervisor left under the same pid file. Raises StackError."""
        if self.alive:
            return
        self.end_former()
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _rotate(self.log)
        try:
            with self.log.open("ab") as log:
                self.process = spawn(
                    self.argv, log, self.env, self.cwd, self.user, death_signal=self.death_signal, umask=self.umask
                )
        except OSError as error:
            raise StackError(f"cannot start {self.name}: {error}; run `make install`") from error
        if self.pid_file is not None:
            self.pid_file.write_text(f"{self.pid} {proc.started(self.pid)}\n")

    def wait_ready(self, ready: Callable[[], bool], seconds: float, halt: threading.Event | None = None) -> None:
        """Wait until `ready()`, at most `seconds`. Raises StackError with its last words where it dies or is late."""
        deadline = time.monotonic() + seconds
        while not ready():
            check_not_stopped(halt)
            if not self.alive:
                raise StackError(f"{self.name} ended with {self.exit_code} while starting: {self.last_words()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s: {self.last_words()}")
            time.sleep(0.02)

    def stop(self, grace: float | None = None) -> None:
        """Ask it to end, `grace` seconds per stop signal, then kill it. Does nothing where it has ended."""
        if self.process is not None:
            for number in self.stop_signals:
                if not self.alive:
                    break
                self.process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(self.grace if grace is None else grace)
            self.kill()

    def kill(self) -> None:
        """SIGKILL it and its own children, and wait until none is left: a survivor would hold its data or port."""
        if self.process is None:
            return
        family: dict[int, int | None] = {}
        if self.alive:
            # Held still first: a server that forks between the count and the kill would leave one behind.
            self.process.send_signal(signal.SIGSTOP)
            family = {pid: proc.started(pid) for pid in proc.children(self.pid)}
            self.process.kill()
        self.process.wait()
        for pid, birth in family.items():
            end_by_pid(pid, birth, (signal.SIGKILL,), 5.0)
        if self.pid_file is not None:
            self.pid_file.unlink(missing_ok=True)

    def end_former(self) -> None:
        """End what a former supervisor left running under our pid file; a pid that is someone else's now is spared."""
        if self.pid_file is None:
            return
        try:
            pid, birth = (int(word) for word in self.pid_file.read_text().split())
        except (OSError, ValueError):
            return
        end_by_pid(pid, birth, self.stop_signals, self.grace)
        self.pid_file.unlink(missing_ok=True)

    def last_words(self, count: int = 1) -> str:
        """The last `count` lines of its log and where the rest is, for a message."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 4096))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        last = " ".join(line.strip()[:300] for line in lines[-count:])
        return f"{last or 'it said nothing'} (see {self.log})"


def end_by_pid(pid: int, birth: int | None, signals: Sequence[signal.Signals], grace: float) -> None:
    """End process `pid` if it is still the one that started at `birth` ticks, kindly first, then by SIGKILL."""
    for number in (*signals, signal.SIGKILL):
        if birth is None or proc.started(pid) != birth:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + grace
        while proc.started(pid) == birth and time.monotonic() < deadline:
            time.sleep(0.01)
    if proc.started(pid) == birth:
        raise StackError(f"pid {pid} ({proc.command(pid)}) does not end: end it yourself and try again")


def need_port(port: int, what: str, mend: str) -> None:
    """Refuse early and by name: a server that finds its port taken says it in a log nobody reads. Raises StackError."""
    if not proc.is_free(port):
        by = proc.holder(port) or "a process that is not ours to see"
        raise StackError(f"port {port} for {what} is taken by {by}: end that process, or {mend}")


def _rotate(log: Path) -> None:
    with contextlib.suppress(OSError):
        if log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_name(log.name + ".1"))
