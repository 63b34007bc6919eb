"""Servers of their own for a test: a folder and ports that nobody else has, and nothing left afterwards."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from starter.dev import proc
from starter.dev.postgres import Postgres
from starter.dev.temporal import Temporal

# What is lost with the machine may be: a test's data is not worth a wait for the disk. Not synchronous_commit: with
# that off a SIGKILL of the server alone loses commits, and a crash test would find fault with the wrong program.
FAST = {"fsync": "off", "full_page_writes": "off"}


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter too, unlike pytest's tmp_path under root. Removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vulnzero-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_postgres(settings: Mapping[str, str] = FAST, data: Path | None = None) -> Iterator[Postgres]:
    """A running PostgreSQL with an empty database `vulnzero` on a free port; `data` keeps its folder where you say."""
    with scratch_folder() as folder:
        server = Postgres(data or folder, proc.free_port(), settings=settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def scratch_temporal(
    dynamic_config: Mapping[str, object] | None = None,
    search_attributes: Mapping[str, str] | None = None,
    data: Path | None = None,
) -> Iterator[Temporal]:
    """A running Temporal on free ports, e.g. with `{"frontend.WorkflowTimeSkippingEnabled": True}`."""
    with scratch_folder() as folder:
        server = Temporal(
            data or folder,
            proc.free_port(),
            proc.free_port(),
            search_attributes=search_attributes,
            dynamic_config=dynamic_config,
        )
        server.start()
        try:
            yield server
        finally:
            # Its kind stop takes 1.2 s, and nobody will read this file again.
            if server.alive and data is None:
                server.kill()
            server.stop()
