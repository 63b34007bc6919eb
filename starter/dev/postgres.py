"""The embedded PostgreSQL: made, started, healed and stopped by us, on 127.0.0.1 alone."""

import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from starter.dev import proc
from starter.dev.errors import StackError
from starter.dev.locks import FolderLock
from starter.dev.postgres_binaries import ENVIRONMENT, Binaries, can_enter, last_line, locate
from starter.dev.postgres_cluster import USER, Cluster
from starter.dev.processes import Child, end_by_pid, need_port

# Recovery after a crash may take minutes, and one that is cut short begins again from the start.
_READY_SECONDS = 300.0


class Postgres:
    """One server under folder `data`: its files in postgres/, the password in postgres.password, logs/postgres.log.

    `settings` are further server settings (`{"fsync": "off"}` for tests whose data may die with the machine).
    """

    def __init__(
        self,
        data: Path,
        port: int,
        database: str = "vulnzero",
        settings: Mapping[str, str] | None = None,
        binaries: Binaries | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.data = data
        self.port = port
        self.database = database
        self.files = Cluster(data, lambda line: self._say(line))
        self._settings = dict(settings or {})
        self._binaries = binaries
        self._say = say
        self._lock = FolderLock(data / "postgres.lock", "PostgreSQL")
        self._server: Child | None = None

    @property
    def url(self) -> str:
        """The DATABASE_URL, `postgresql+psycopg://...`. Raises StackError before the first start."""
        return f"postgresql+psycopg://{USER}:{quote(self.files.password)}@127.0.0.1:{self.port}/{self.database}"

    @property
    def server(self) -> Child:
        """The server's process. Raises StackError where it was never started."""
        if self._server is None:
            raise StackError(f"PostgreSQL in {self.data} is not started: start it first")
        return self._server

    @property
    def alive(self) -> bool:
        return self._server is not None and self._server.alive

    def start(self, halt: threading.Event | None = None) -> None:
        """Start it, from whatever a crash left behind, and wait until it answers and `database` exists.

        Raises StackError: port taken, folder in use or not to be entered, another major version's data, server died.
        """
        if self.alive:
            return
        binaries = self._binaries = self._binaries or locate()
        self._lock.take()
        try:
            self._check_folder(binaries)
            self._end_former()
            need_port(self.port, "PostgreSQL", "choose another `postgres.port` in temporal-dev.yml")
            self.files.make(binaries, durable=self._settings.get("fsync") != "off")
            self._launch(binaries, halt)
            self._make_database(binaries)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it kindly: clients are cut off, everything committed is kept."""
        if self._server is not None:
            self._server.stop()
        self._lock.release()

    def kill(self) -> None:
        """SIGKILL all of it, as a crash of the machine would; start() brings it back."""
        self.server.kill()

    def _check_folder(self, binaries: Binaries) -> None:
        if binaries.user is not None and not can_enter(self.data.resolve(), binaries.uid):
            raise StackError(
                f"PostgreSQL runs as {binaries.user}, who cannot enter {self.data.resolve()}:"
                " choose another data folder, or run `chmod o+x` on it and those above it"
            )

    def _end_former(self) -> None:
        """End every process of a supervisor that died: the postmaster kindly, then backends that outlived one.

        Then take away a pid file that PostgreSQL would stumble over for ever: its number is another process's now, or
        it is empty. Never earlier, and no other: by it a new server sees that old backends still write to the data.
        """
        folder, pid_file = self.files.folder, self.files.folder / "postmaster.pid"
        try:
            named = int(pid_file.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            named = 0
        old = proc.working_in(folder)
        if old:
            self._say(f"PostgreSQL of an earlier run still runs (pid {', '.join(map(str, old))}): ending it")
        for pid in sorted(old, key=lambda pid: pid != named):
            kindly = (signal.SIGINT, signal.SIGQUIT) if pid == named else ()
            end_by_pid(pid, proc.started(pid), kindly, 10.0)
        if proc.PROC.is_dir() and (named <= 0 or proc.started(named) is not None):
            pid_file.unlink(missing_ok=True)

    def _launch(self, binaries: Binaries, halt: threading.Event | None) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            # No socket file: its path may be too long for the kernel, and its lock file is one more thing to go stale.
            "unix_socket_directories": "",
            "log_line_prefix": "%m [%p] ",
            "max_connections": "200",
            **self._settings,
        }
        options = [option for key, value in settings.items() for option in ("-c", f"{key}={value}")]
        self._server = Child(
            name="PostgreSQL",
            argv=[str(binaries.bin / "postgres"), "-D", str(self.files.folder), *options],
            log=self.data / "logs/postgres.log",
            env=ENVIRONMENT,
            user=binaries.user,
            stop_signals=(signal.SIGINT, signal.SIGQUIT),
            death_signal=signal.SIGINT,
            grace=20.0,
        )
        self._server.start()
        self._server.wait_ready(lambda: self._is_ready(binaries), _READY_SECONDS, halt)

    def _is_ready(self, binaries: Binaries) -> bool:
        # The pid file first: another server on this port would answer pg_isready just as well.
        try:
            lines = (self.files.folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready" or lines[0] != str(self.server.pid):
            return False
        return binaries.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-t", "5").returncode == 0

    def _make_database(self, binaries: Binaries) -> None:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        query = f"select 1 from pg_database where datname = '{self.database}'"
        found = binaries.run("psql", *where, "-d", "postgres", "-XAtqc", query, password=self.files.password)
        if found.returncode == 0 and not found.stdout.strip():
            found = binaries.run("createdb", *where, self.database, password=self.files.password)
        if found.returncode != 0:
            raise StackError(
                f"cannot make database {self.database}: {last_line(found.stderr)};"
                f" if the password is wrong, remove {self.files.password_file} and start again"
            )
