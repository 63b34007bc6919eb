"""Other programs, run so that a failure is one readable line and a long run is never silent."""

import queue
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from starter.lab.errors import LabError

Say = Callable[[str], None]
QUIET_SECONDS = 4.0  # a person who sees nothing for longer thinks that it hangs


def silent(_: str) -> None:
    """A `Say` for callers that want no progress."""


def sh(*argv: str, stdin: str | None = None, mend: str = "") -> str:
    """Runs a short command and gives its output; LabError with its last words and the `mend` when it fails."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise LabError(f"{argv[0]} is not installed: apt-get install the package that holds it") from missing
    if done.returncode != 0:
        raise failed(argv, done.returncode, (done.stderr or done.stdout).splitlines(), mend)
    return done.stdout


def failed(argv: Sequence[str], code: int, lines: Sequence[str], mend: str = "") -> LabError:
    """The LabError of a command that failed: what it was, its last words, and the mend."""
    words = " / ".join(line.strip() for line in lines[-3:] if line.strip()) or f"exit code {code}"
    return LabError(f"`{shlex.join(argv)[:160]}` failed: {words}" + (f". {mend}" if mend else ""))


def sh_saying(
    argv: Sequence[str],
    say: Say,
    label: str,
    *,
    env: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    mend: str = "",
) -> None:
    """Runs a long command and says its steps ("I: ..." lines) and the seconds gone, at least every 4 s.

    `pass_fds` keep a lock held by the command itself, should this process die before it.
    """
    started = time.monotonic()
    lines: queue.Queue[str | None] = queue.Queue()
    tail: deque[str] = deque(maxlen=20)
    step = ""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        pass_fds=pass_fds,
    )

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = started
    with process:
        try:
            while True:
                try:
                    line = lines.get(timeout=max(0.05, said + QUIET_SECONDS - time.monotonic()))
                except queue.Empty:
                    line = ""
                if line is None:
                    break
                if line:
                    tail.append(line)
                new_step = line.startswith("I: ")
                if new_step:
                    step = line[3:]
                if new_step or time.monotonic() - said >= QUIET_SECONDS:
                    said = time.monotonic()
                    say(f"{label}: {step or 'working'} ({said - started:.0f} s)")
        except BaseException:
            # Left alone, the command would go on writing into a directory that the next attempt removes.
            process.terminate()
            raise
    if process.returncode != 0:
        raise failed(argv, process.returncode, list(tail), mend)
