"""The log of a deployment on the command line: filtered, live, and to be gone on with."""

import asyncio
import json
import re

import pytest

from activities.database.events import Events, NewEvent
from activities.database.session import Database
from starter.client import DeploymentClient
from tests.activities.ledger import Frozen, Try, a_deployment, close
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import Hosts, serving
from workflows.contracts import Rolling
from workflows.contracts.names import HostState


@pytest.fixture
async def told(database: Database) -> Frozen:
    """A closed deployment: web-001 was patched, web-002 failed, and web-003 was lost."""
    deployment = await a_deployment(database, 3)
    attempt = await Try.take(database, deployment.id)
    for asset, state in zip(deployment.assets, (HostState.SUCCEEDED, HostState.FAILED, HostState.UNKNOWN), strict=True):
        await attempt.settle(await attempt.fence(asset), state, f"it is {state.lower()}")
    async with database.transaction() as session:
        data = {"task": "patch", "status": "failed"}
        event = NewEvent(kind="task", asset_id=deployment.assets[1], message="patch: failed, \x1b[31mdpkg", data=data)
        await Events(session).add(deployment.id, event)
    await close(database, deployment.id)
    return deployment


def test_each_line_has_number_time_host_and_what_happened(told: Frozen, vulnzero: Vulnzero) -> None:
    code, out, _ = vulnzero("logs", "1")
    assert code == 0
    lines = [re.fullmatch(r" *(\d+)  \d\d:\d\d:\d\d  (\S+) +(.*)", line) for line in out.splitlines()]
    assert [(line[1], line[2]) for line in lines if line][:4] == [
        ("1", "-"),
        ("2", "-"),
        ("3", "web-001"),
        ("4", "web-001"),
    ]
    assert [line[3] for line in lines if line][3] == "SUCCEEDED: it is succeeded"
    assert "\x1b" not in out


def test_of_one_host(told: Frozen, vulnzero: Vulnzero) -> None:
    found = json.loads(vulnzero("logs", "1", "--host", "web-002", "-o", "json")[1])
    assert [line["message"] for line in found] == ["claimed", "it is failed", "patch: failed, \x1b[31mdpkg"]
    code, _, err = vulnzero("logs", "1", "--host", "web-009")
    assert code == 2
    assert err == "error: no host web-009 in deployment 1; 'vulnzero show 1' names them\n"


def test_only_what_failed(told: Frozen, vulnzero: Vulnzero) -> None:
    found = json.loads(vulnzero("logs", "1", "--failed", "-o", "json")[1])
    assert [line["message"] for line in found] == ["it is failed", "it is unknown", "patch: failed, \x1b[31mdpkg"]


def test_since_an_offset(told: Frozen, vulnzero: Vulnzero) -> None:
    every = json.loads(vulnzero("logs", "1", "-o", "json")[1])
    assert [line["offset"] for line in every] == list(range(1, 11))
    assert json.loads(vulnzero("logs", "1", "--since", "8", "-o", "json")[1]) == every[8:]
    assert vulnzero("logs", "1", "--since", "10", "-o", "json")[1] == "[]\n"


async def test_following_a_deployment_from_its_start_tells_all_and_ends_with_it(
    client: DeploymentClient, database: Database, hosts: Hosts, vulnzero: Vulnzero
) -> None:
    hosts.gate.clear()
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="all", strategy=Rolling(wait_seconds=0))
        following = asyncio.create_task(asyncio.to_thread(vulnzero, "logs", "1", "--follow", "-o", "json"))
        hosts.gate.set()
        await deployment.result()
        code, out, _ = await asyncio.wait_for(following, 20)
    found = json.loads(out)
    assert code == 0
    assert [line["offset"] for line in found] == list(range(1, len(found) + 1))
    assert found[-1]["message"] == "SUCCEEDED: 6 of 6 hosts run the fixed version"
