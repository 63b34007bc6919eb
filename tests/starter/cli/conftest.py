"""The command line in this process, on a database of the test's own, and files to import."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from starter.cli.exits import run
from starter.cli.main import root
from tests.starter.cli.simulated import PATCH, assets

Vulnzero = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vulnzero(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vulnzero:
    """Runs a command; answers exit code, standard output and standard error."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(root, arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """An asset and a patch file."""
    machines, patches = tmp_path / "assets.json", tmp_path / "patches.json"
    machines.write_text(json.dumps({"assets": [one.model_dump(mode="json") for one in assets(3)]}))
    patches.write_text(json.dumps({"patches": [PATCH.model_dump(mode="json")]}))
    return str(machines), str(patches)


@pytest.fixture
def stocked(vulnzero: Vulnzero, files: tuple[str, str]) -> Vulnzero:
    """`vulnzero` with three assets and one patch in the inventory."""
    vulnzero("asset", "import", files[0])
    vulnzero("patch", "import", files[1])
    return vulnzero
