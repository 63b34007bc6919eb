"""A command that looks must be there at once: what it loads, and what a thousand assets cost."""

import asyncio
import os
import resource
import subprocess
import sys

import pytest

from activities.database.session import Database
from tests.activities.ledger import a_deployment, close
from tests.starter.cli.conftest import Vulnzero

HEAVY = ("sqlalchemy", "temporalio", "rich", "asyncssh", "yaml", "ansible")


def seconds_of_work(*arguments: str) -> float:
    """Processor seconds of the command: what else the machine does is not counted."""
    # As users run it: with the byte code that the first start wrote.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = [sys.executable, "-m", "starter.cli", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "command",
    [
        ("list",), ("list", "-o", "json"), ("show", "1"), ("asset", "list"), ("asset", "show", "web-001"),
        ("patch", "list"), ("plan", "acme-1.0.1", "--to", "all"), ("logs", "1"), ("logs", "1", "--follow"),
    ],
)  # fmt: skip
async def test_what_only_looks_loads_nothing_heavy(
    database: Database, vulnzero: Vulnzero, command: tuple[str, ...]
) -> None:
    await close(database, (await a_deployment(database)).id)
    code = (
        "import sys; from starter.cli.exits import run; from starter.cli.main import root;"
        f"code = run(root, {command!r});"
        f"print(code, [name for name in {HEAVY} if name in sys.modules])"
    )
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await program.communicate()
    assert out.decode().splitlines()[-1] == "0 []"


async def test_a_thousand_assets_are_listed_planned_and_shown_within_a_second(
    database: Database, vulnzero: Vulnzero
) -> None:
    await close(database, (await a_deployment(database, 1000, wave=100)).id)
    for command in (("asset", "list"), ("plan", "acme-1.0.1", "--to", "all"), ("show", "1"), ("list",)):
        best = min([await asyncio.to_thread(seconds_of_work, *command) for _ in range(3)])
        assert best < 1.0, command


def test_the_start_of_a_command_takes_half_a_second_of_work_at_most(vulnzero: Vulnzero) -> None:
    assert min(seconds_of_work("list") for _ in range(5)) < 0.5
