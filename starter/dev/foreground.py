"""`vulnzero dev`: the stack and its further children in the foreground, until Ctrl-C or a server's death."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from starter.dev.errors import StackError, StackStopped
from starter.dev.processes import Child
from starter.dev.stack import Extra, Say, Stack

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A worker that dies within QUICK seconds of its start QUICK_DEATHS times in a row will not get better by itself.
QUICK, QUICK_DEATHS = 10.0, 5


@dataclass
class _Watched:
    extra: Extra
    child: Child
    started: float
    quick_deaths: int = 0
    restart_at: float | None = None


def run_foreground(
    stack: Stack,
    extras: "Sequence[Extra] | Callable[[Stack], Sequence[Extra]]" = (),
    *,
    say: Say = print,
    migrate: Callable[[str], None] | None = None,
    ready: Callable[[], None] | None = None,
    poll: float = 0.1,
    restart_delay: float = 0.5,
) -> None:
    """Run `stack` with `extras` until SIGINT, SIGTERM or SIGHUP, then stop all, users before servers.

    `ready()` is called once all runs. A second Ctrl-C cuts the workers' grace. Raises StackError where a server died
    or a worker does not stay up; all is stopped then too. Call it from the main thread. `poll` and `restart_delay`
    (doubled at each further quick death of a worker) are seconds.
    """
    with _signals(stack.halt, say) as hurry:
        watched: list[_Watched] = []
        try:
            stack.start(say, migrate)
            for extra in extras(stack) if callable(extras) else extras:
                watched.append(_Watched(extra, stack.spawn(extra), time.monotonic()))
                say(f"{extra.name:<11} pid {watched[-1].child.pid}, log {watched[-1].child.log}")
            if ready is not None:
                ready()
            while not stack.halt.wait(poll):
                _look_after(stack, watched, say, restart_delay)
        except StackStopped:
            pass
        finally:
            _stop_all(watched, hurry, say)
            stack.stop()
            # Not where another process has the stack: that one goes on.
            if watched or stack.halt.is_set():
                say("stopped; everything is kept for the next start")


@contextmanager
def _signals(halt: threading.Event, say: Say) -> Iterator[threading.Event]:
    """Turn stop signals into `halt`, later ones into `hurry`: an exception in mid-start would leave children behind."""
    hurry = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        (hurry if halt.is_set() else halt).set()

    # A signal that is ignored stays so: under nohup a closed terminal is no reason to stop.
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield hurry
    finally:
        halt.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _look_after(stack: Stack, watched: list[_Watched], say: Say, restart_delay: float) -> None:
    if server := stack.dead_server():
        raise StackError(f"{server.name} ended with {server.exit_code}: {server.last_words()}")
    for one in watched:
        if one.child.alive:
            continue
        if one.restart_at is None:
            _note_death(one, say, restart_delay)
        elif time.monotonic() >= one.restart_at:
            one.child, one.started, one.restart_at = stack.spawn(one.extra), time.monotonic(), None


def _note_death(one: _Watched, say: Say, restart_delay: float) -> None:
    name, code = one.extra.name, one.child.exit_code
    if one.extra.kind == "server":
        raise StackError(f"{name} ended with {code}: {one.child.last_words()}")
    quick = time.monotonic() - one.started < QUICK
    one.quick_deaths = one.quick_deaths + 1 if quick else 0
    if one.quick_deaths >= QUICK_DEATHS:
        raise StackError(f"{name} does not stay up (ended {QUICK_DEATHS} times): {one.child.last_words()}")
    # A first death is mended at once; only one that repeats itself waits, so as not to burn the machine.
    delay = 0.0 if one.quick_deaths <= 1 else restart_delay * 2 ** (one.quick_deaths - 2)
    one.restart_at = time.monotonic() + delay
    say(f"{name} ended with {code}, starting it again: {one.child.last_words()}")


def _stop_all(watched: list[_Watched], hurry: threading.Event, say: Say) -> None:
    """Workers and API first and together, while their servers still answer: a worker must report what it did."""
    living = [one for one in watched if one.child.alive]
    if living:
        say(f"stopping {', '.join(one.extra.name for one in living)}; Ctrl-C again does not wait for them")
    for one in living:
        assert one.child.process is not None
        one.child.process.terminate()
    for one in living:
        deadline = time.monotonic() + one.extra.grace
        while one.child.alive and time.monotonic() < deadline and not hurry.wait(0.02):
            pass
    with ThreadPoolExecutor(max_workers=max(1, len(watched))) as pool:
        list(pool.map(lambda one: one.child.kill(), watched))
    sys.stdout.flush()
