"""A file lock that dies with its holder: a crash leaves nothing to clean up."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starter.dev import proc
from starter.dev.errors import StackError


class FolderLock:
    """Keep a second supervisor off the same data: two servers on one data folder would destroy it.

    The kernel lets go when the process ends, however it ends. Children do not inherit it.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take it, or do nothing where this object has it already. Raises StackError that names the holder's pid."""
        if self._descriptor is not None:
            return
        try:
            # Passable for others: PostgreSQL runs as "nobody" under root and has to reach its own folder inside.
            self.path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StackError(
                f"cannot write {self.path} ({error.strerror}): run this as the user whose folder it is,"
                " or choose another `data` in temporal-dev.yml"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            command = proc.command(int(pid)) if pid.isdigit() else ""
            raise StackError(
                f"{self.what} in {self.path.parent} runs already, under pid {pid or 'unknown'}"
                f"{f' ({command})' if command else ''}: use that one, or end it (kill {pid or 'PID'}) and try again"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two holders lock two different files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for `path`'s lock and hold it for the block: for short work that must not interleave."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
