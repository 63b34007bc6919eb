"""Folders and config for stacks that meet nobody else's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from starter.dev import config, proc
from starter.dev.scratch import scratch_folder

PAGE = Path(__file__).parents[3] / config.FILE


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch_folder() as path:
        yield path


@pytest.fixture
def quiet_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers do not depend on what happens to run on this machine."""
    monkeypatch.setattr(proc, "is_free", lambda port, host="": True)
