"""Folders and config for stacks that meet nobody else's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from starter.dev import config, proc
from starter.dev.number import Place, allot
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


def place_in(folder: Path, name: str) -> Place:
    (folder / name).mkdir()
    # A number whose ports nobody uses: these tests may run beside somebody's own stack.
    return Place.of(allot(str(folder / name), folder / "root"), folder / "root")


@pytest.fixture(scope="module")
def used_place() -> Iterator[Place]:
    with scratch_folder() as folder:
        yield place_in(folder, "checkout")


@pytest.fixture
def place(used_place: Place) -> Place:
    """A place where a stack may have run before: making its data anew for every test would be most of the time."""
    shutil.rmtree(used_place.data / "logs", ignore_errors=True)
    return used_place
