"""What this host remembers of deployments: the lock with the fence, the journal, `before` and result records."""

import errno
import fcntl
import json
import os
import time

JOURNAL_LIMIT = 1024 * 1024


class Busy(Exception):
    """Another run held the lock for the whole wait."""


class Fenced(Exception):
    """A newer claim was here: whoever sent this run lost the host."""

    def __init__(self, seen):
        Exception.__init__(self, f"fence {seen} was seen")
        self.seen = seen


class State:
    """One run's view. `enter` comes first; everything that writes a record needs the lock it takes.

    Under /var/lib, not /run: a reboot in the middle must not make an old attempt welcome again.
    """

    def __init__(self, root, fence, deployment, attempt, kind):
        self.root, self.fence, self.deployment, self.attempt, self.kind = root, fence, deployment, attempt, kind
        self.lock_fd = None
        self.began = False

    def _path(self, name):
        return os.path.join(self.root, name)

    def enter(self, wait):
        """Take the lock within `wait` seconds and show the fence. Errors: `Busy`, `Fenced`."""
        if not os.path.isdir(self.root):
            os.makedirs(self.root, 0o700)
        os.chmod(self.root, 0o700)
        self.journal("ARRIVE")
        fd = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        end = time.time() + wait
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if time.time() >= end:
                self.journal("BUSY")
                raise Busy()
            time.sleep(0.05)
        self.lock_fd = fd  # kept open until the process ends: the lock must outlive every step
        seen = int(os.pread(fd, 32, 0).decode().strip() or 0)
        if self.fence < seen:
            self.journal("FENCED")
            raise Fenced(seen)
        if self.fence > seen:
            # One short write of fixed width: a crash in it leaves the old or the new number, never none.
            os.pwrite(fd, f"{self.fence:020d}\n".encode(), 0)
            os.fsync(fd)

    def journal(self, event):
        """One line an event, for people and for the tests that look for two runs at a time."""
        line = {
            "event": event,
            "fence": self.fence,
            "deployment": self.deployment,
            "attempt": self.attempt,
            "kind": self.kind,
            "at": time.time(),
            "pid": os.getpid(),
        }
        fd = os.open(self._path("journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, (json.dumps(line, sort_keys=True) + "\n").encode())
            if os.fstat(fd).st_size > JOURNAL_LIMIT and self.lock_fd is not None:
                os.rename(self._path("journal"), self._path("journal.1"))
        finally:
            os.close(fd)

    # -- what the host was before

    def _before(self):
        return self._path(f"before-{self.deployment}.json")

    def before(self):
        return self._read(self._before())

    def keep_before(self, evidence):
        """First writer wins: a second attempt sees a half patched host, and must not take that for the start."""
        temporary = self._write_aside(self._before(), evidence)
        try:
            os.link(temporary, self._before())
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        os.unlink(temporary)
        self._sync_root()
        return self.before()

    # -- how it ended

    def _result(self, kind):
        return self._path(f"result-{self.deployment}-{kind}.json")

    def record(self):
        return self._read(self._result(self.kind))

    def left_by_patch(self):
        """The version that this deployment's patch left, None where no record says so."""
        record = self._read(self._result("patch"))
        return ((record or {}).get("after") or {}).get("version")

    def answers(self):
        """The record that ends this run before it begins: a success of any attempt, or this attempt's own end."""
        record = self.record()
        if record and (record["state"] == "SUCCEEDED" or record["attempt"] == self.attempt):
            return record
        return None

    def start(self):
        """From here on the host changes: no older record describes it any more, not even the other kind's."""
        for kind in ("patch", "rollback"):
            if os.path.exists(self._result(kind)):
                os.unlink(self._result(kind))
        self._sync_root()
        self.began = True
        self.journal("START")

    def finish(self, record):
        """Write the result before anybody hears of it: the answer may never arrive."""
        kept = dict(record, attempt=self.attempt, fence=self.fence, at=time.time())
        os.rename(self._write_aside(self._result(self.kind), kept), self._result(self.kind))
        self._sync_root()
        self.journal("END" if self.began else "SKIP")

    # -- files

    @staticmethod
    def _read(path):
        try:
            with open(path) as file:
                return json.load(file)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    @staticmethod
    def _write_aside(path, value):
        temporary = f"{path}.{os.getpid()}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(value, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _sync_root(self):
        fd = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
