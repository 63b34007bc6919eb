"""The practice fleet is not taken from under a stack that may be patching it."""

import os
import sys
from pathlib import Path

import pytest

from starter.dev.locks import FolderLock
from starter.dev.number import Place
from tests.starter.cli.conftest import Vulnzero


@pytest.fixture
def removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was removed: a stand-in for the fleet of a place of its own."""
    removed: list[str] = []

    class Fleet:
        def __init__(self, number: int, data: Path) -> None:
            pass

        def down(self, say: object) -> None:
            removed.append("all")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("starter.cli.place.my_place", lambda: Place(1, tmp_path))
    monkeypatch.setattr("starter.lab.fleet.Fleet", Fleet)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    return removed


def test_a_fleet_whose_stack_runs_stays_unless_told_so(removed: list[str], tmp_path: Path, vulnzero: Vulnzero) -> None:
    lock = FolderLock(tmp_path / "stack.lock", "the dev stack")
    lock.take()
    try:
        code, _, err = vulnzero("lab", "down")
        assert (code, removed) == (2, [])
        assert "the dev stack of this fleet runs, and may be patching these hosts: end it first, or add --yes" in err
        assert vulnzero("lab", "down", "--yes")[0] == 0
        assert removed == ["all"]
    finally:
        lock.release()


def test_a_fleet_without_a_stack_goes_at_once(removed: list[str], vulnzero: Vulnzero) -> None:
    assert vulnzero("lab", "down")[0] == 0
    assert removed == ["all"]
