"""The whole stack as one object: started in order, stopped in reverse, killed and revived for crash tests."""

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from starter.dev.config import POSTGRES_URL, Config
from starter.dev.errors import StackError, check_not_stopped
from starter.dev.locks import FolderLock
from starter.dev.number import Place
from starter.dev.postgres import Postgres
from starter.dev.processes import Child, need_port
from starter.dev.temporal import Temporal

Say = Callable[[str], None]


def quiet(line: str) -> None:
    """A `say` that says nothing."""


@dataclass(frozen=True)
class Extra:
    """A further child of the stack: a worker (restarted when it dies) or a server (whose death ends the stack).

    `env` is laid over Stack.environment(). `grace`: seconds it gets to finish its work on stop. `port`: checked to
    be free before the start.
    """

    name: str
    argv: tuple[str, ...]
    kind: Literal["worker", "server"] = "worker"
    env: Mapping[str, str] = field(default_factory=dict)
    grace: float = 30.0
    port: int | None = None


class Stack:
    """What `config` describes, at `place`. Thread-safe to start from any thread (asyncio.to_thread included)."""

    def __init__(self, config: Config, place: Place, env: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.data = config.data or place.data
        self.place = Place(place.number, self.data)
        self._env = dict(os.environ if env is None else env)
        self._external = self._env.get("DATABASE_URL") or config.postgres.url
        if self._external is not None and not re.match(POSTGRES_URL, self._external):
            raise StackError("DATABASE_URL does not begin with postgresql://: set it to one that does, or unset it")
        self._lock = FolderLock(self.data / "stack.lock", "the dev stack")
        self._say: Say = quiet
        self.halt = threading.Event()
        temporal, postgres = config.temporal, config.postgres
        self.postgres = Postgres(
            self.data, postgres.port or place.postgres_port, postgres.database, say=lambda line: self._say(line)
        )
        self.temporal = Temporal(
            self.data,
            temporal.port or place.temporal_port,
            temporal.ui_port or place.ui_port,
            temporal.namespace,
            temporal.search_attributes,
            temporal.dynamic_config,
            {"--metrics-port": place.temporal_metrics_port, "--http-port": place.temporal_http_port},
            say=lambda line: self._say(line),
        )

    @property
    def database_url(self) -> str:
        """`postgresql+psycopg://...`, also of a stack that another process runs. Raises StackError before the first."""
        if self._external is None:
            return self.postgres.url
        return "postgresql+psycopg://" + self._external.partition("://")[2]

    @property
    def temporal_address(self) -> str:
        """host:port of the gRPC frontend."""
        return self.temporal.address

    @property
    def namespace(self) -> str:
        return self.temporal.namespace

    @property
    def ui_url(self) -> str:
        return self.temporal.ui_url

    @property
    def api_port(self) -> int:
        return self.config.api.port or self.place.api_port

    def environment(self) -> dict[str, str]:
        """What a child needs to find this stack, over our own environment without its other TEMPORAL_* variables.

        Those are dropped because a TEMPORAL_API_KEY or TLS setting of the person's shell would be sent to our server.
        """
        return {key: value for key, value in self._env.items() if not key.startswith("TEMPORAL_")} | {
            "DATABASE_URL": self.database_url,
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": self.namespace,
            "VULNZERO_NUMBER": str(self.place.number),
            "VULNZERO_DATA": str(self.data),
        }

    def start(self, say: Say = quiet, migrate: Callable[[str], None] | None = None) -> None:
        """Start the servers, then call `migrate(database_url)`. On any failure nothing stays behind.

        Raises StackError: a port is taken, the stack runs already, a server died or was not ready in 60 s.
        """
        self._say = say
        self._lock.take()
        try:
            # Both at once: each is idle for most of the other's start.
            self.temporal.launch()
            if self._external is None:
                self.postgres.start(self.halt)
                say(f"PostgreSQL  127.0.0.1:{self.postgres.port}, database {self.postgres.database}")
            else:
                say("PostgreSQL  as DATABASE_URL or temporal-dev.yml says, not started here")
            self.temporal.wait_ready(self.halt)
            say(f"Temporal    {self.temporal_address}, namespace {self.namespace}")
            say(f"Web UI      {self.ui_url}/namespaces/{self.namespace}")
            check_not_stopped(self.halt)
            if migrate is not None:
                migrate(self.database_url)
            check_not_stopped(self.halt)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what runs: Temporal first, so that nothing asks the database while it goes down. Safe to call twice."""
        try:
            self.temporal.stop()
        finally:
            try:
                self.postgres.stop()
            finally:
                self._lock.release()

    def spawn(self, extra: Extra) -> Child:
        """Start `extra` in this stack's environment, its output in logs/<name>.log. The caller stops it."""
        if extra.port is not None:
            need_port(extra.port, extra.name, "choose another port in temporal-dev.yml")
        env = self.environment() | dict(extra.env)
        child = Child(
            name=extra.name,
            argv=extra.argv,
            log=self.data / f"logs/{extra.name}.log",
            env=env,
            pid_file=self.data / f"{extra.name}.pid",
            grace=extra.grace,
        )
        child.start()
        return child

    def dead_server(self) -> Child | None:
        """A server of ours that has ended by itself, if any."""
        if self.temporal.server.exit_code is not None:
            return self.temporal.server
        if self._external is None and self.postgres.server.exit_code is not None:
            return self.postgres.server
        return None

    def kill_temporal(self) -> None:
        """SIGKILL the Temporal server, as a crash would."""
        self.temporal.kill()

    def restart_temporal(self) -> None:
        """Start it again (stopping it first where it runs) on the same file and ports."""
        self.temporal.stop()
        self.temporal.start()

    def kill_postgres(self) -> None:
        """SIGKILL every process of the embedded PostgreSQL. Raises StackError where the database is not ours."""
        self._need_own_postgres()
        self.postgres.kill()

    def restart_postgres(self) -> None:
        """Start it again (stopping it first where it runs) on the same data and port."""
        self._need_own_postgres()
        self.postgres.stop()
        self.postgres.start()

    def _need_own_postgres(self) -> None:
        if self._external is not None:
            raise StackError("PostgreSQL is not ours to stop (DATABASE_URL is set): unset it to use the embedded one")
