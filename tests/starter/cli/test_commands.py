"""The command line as a person and a program meet it: words, JSON and exit codes."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from activities.database.session import Database
from starter.cli.main import root
from starter.client import DeploymentClient
from starter.dev.temporal import Temporal
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import Hosts, serving


def test_importing_twice_changes_nothing(vulnzero: Vulnzero, files: tuple[str, str]) -> None:
    assert vulnzero("asset", "import", files[0])[1] == "assets: 3 new, 0 changed, 0 as before\n"
    assert vulnzero("asset", "import", files[0])[1] == "assets: 0 new, 0 changed, 3 as before\n"
    assert json.loads(vulnzero("patch", "import", files[1], "-o", "json")[1])["created"] == 1


def test_lists_are_arrays_and_single_things_objects(vulnzero: Vulnzero, files: tuple[str, str]) -> None:
    vulnzero("asset", "import", files[0])
    vulnzero("patch", "import", files[1])
    machines = json.loads(vulnzero("asset", "list", "-o", "json")[1])
    assert [one["name"] for one in machines] == ["web1", "web2", "web3"]
    assert json.loads(vulnzero("asset", "show", "web2", "-o", "json")[1])["labels"] == {"env": "prod", "zone": "c"}
    assert json.loads(vulnzero("patch", "list", "-o", "json")[1])[0]["cves"] == ["CVE-2024-12345"]
    assert json.loads(vulnzero("patch", "show", "1", "-o", "json")[1])["name"] == "acme-1.0.1"
    assert json.loads(vulnzero("list", "-o", "json")[1]) == []


def test_columns_are_aligned(vulnzero: Vulnzero, files: tuple[str, str]) -> None:
    vulnzero("asset", "import", files[0])
    lines = vulnzero("asset", "list")[1].splitlines()
    assert len({line.index("debian") for line in lines[1:]} | {lines[0].index("PLATFORM")}) == 1


def test_a_plan_that_nobody_can_confirm_needs_yes(vulnzero: Vulnzero) -> None:
    code, _, err = vulnzero("deploy", "acme-1.0.1", "--to", "all")
    assert code == 2
    assert "add --yes" in err


def test_a_dead_temporal_is_exit_3_and_leaves_no_row(vulnzero: Vulnzero, files: tuple[str, str]) -> None:
    vulnzero("asset", "import", files[0])
    vulnzero("patch", "import", files[1])
    code, _, err = vulnzero("deploy", "acme-1.0.1", "--to", "all", "--yes")
    assert code == 3
    assert "Temporal does not answer at 127.0.0.1:1 (TEMPORAL_ADDRESS): connection refused" in err
    assert json.loads(vulnzero("list", "-o", "json")[1]) == []


@pytest.mark.parametrize(
    "command", [("lst",), ("show",), ("show", "x"), ("list", "--nope"), ("cancel", "77"), ("watch", "77"), ("asset",)]
)
def test_wrong_usage_and_unknown_things_are_exit_2(
    vulnzero: Vulnzero, temporal: Temporal, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.address)
    code, out, _ = vulnzero(*command)
    assert (code, out) == (2, "")


def test_every_command_has_an_example_and_speaks_json(vulnzero: Vulnzero) -> None:
    def leaves(group: Any, path: tuple[str, ...]) -> Any:
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            yield from leaves(command, (*path, name)) if hasattr(command, "list_commands") else [(*path, name)]

    for path in leaves(root, ()):
        code, out, _ = vulnzero(*path, "--help")
        assert code == 0
        assert f"vulnzero {' '.join(path)}" in out.split("Example:")[1], path
        assert "-o, --output" in out, path
        assert "--no-color" in out, path


async def test_deploy_and_watch_follow_it_to_the_end(
    client: DeploymentClient,
    database: Database,
    temporal: Temporal,
    vulnzero: Vulnzero,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal.namespace)
    deploy = ("deploy", "acme-1.0.1", "--to", "all", "--yes", "--wait-seconds", "0", "--watch")
    async with serving(client.temporal, database, Hosts(database)):
        code, out, _ = await asyncio.to_thread(vulnzero, *deploy)
    assert code == 0
    assert "6 hosts (all)" in out
    assert len(re.findall(r"web\d SUCCEEDED: acme is at 1.0.1", out)) == 6
    assert re.search(r"deployment 1: SUCCEEDED in .* s: 6 of 6 hosts run the fixed version", out)
    code, out, err = await asyncio.to_thread(vulnzero, "watch", "1", "-o", "json")
    assert code == 0
    assert json.loads(out)["hosts_done"] == 6
    assert "web1 SUCCEEDED" in err
    shown = json.loads((await asyncio.to_thread(vulnzero, "show", "1", "-o", "json"))[1])
    assert shown["state"] == "SUCCEEDED"
    assert {host["after"] for host in shown["hosts"]} == {"1.0.1"}


async def test_a_deployment_that_does_not_succeed_is_exit_1_and_names_the_hosts(
    client: DeploymentClient,
    database: Database,
    temporal: Temporal,
    vulnzero: Vulnzero,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal.namespace)
    deploy = ("deploy", "acme-1.0.1", "--to", "id=1", "--yes", "--watch", "-o", "json")
    async with serving(client.temporal, database, Hosts(database, frozenset({"web1"}))):
        code, out, _ = await asyncio.to_thread(vulnzero, *deploy)
    assert code == 1
    assert json.loads(out)["state"] == "FAILED"
    code, out, _ = await asyncio.to_thread(vulnzero, "watch", "1")
    assert code == 1
    assert re.search(r"web1 +1  ROLLED_BACK  /health answers 500; put back: acme is at 1.0.0 again", out)


def test_30_lists_in_a_row_end_with_0_and_help_is_quick(database_url: str) -> None:
    """The SDK's abort at interpreter exit would show as 134 in about half of the runs that load it."""
    environ = os.environ | {"DATABASE_URL": database_url}
    program = [sys.executable, "-c", "import temporalio.client; from starter.cli.main import main; main()", "list"]
    running = []
    codes = []
    for _ in range(30):
        running.append(subprocess.Popen(program, env=environ, stdout=subprocess.DEVNULL))
        if len(running) == 3:
            codes += [one.wait() for one in running]
            running = []
    assert codes == [0] * 30
    best = min(_help_seconds(environ) for _ in range(5))
    assert best < 0.3


def _help_seconds(environ: dict[str, str]) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "starter.cli", "--help"], env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; from starter.cli.exits import run; from starter.cli.main import root;"
        "run(root, ['deploy', '--help']);"
        "print([name for name in ('temporalio', 'sqlalchemy', 'rich', 'pydantic', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
