"""The plan a person sees is the plan a worker freezes; it rests on what is stored, and says how old that is."""

import asyncio
import json
from typing import Any

import pytest

from activities.database.admission import admit
from activities.database.session import Database
from starter.client import DeploymentClient
from starter.dev.temporal import Temporal
from tests.activities.ledger import Try, a_deployment, close
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import Hosts, assets, serving
from workflows.contracts import Rolling
from workflows.contracts.names import HostState


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ((), Rolling()),
        (("--batch-size", "50%"), Rolling(batch_size="50%")),
        (("--batch-size", "2 hosts", "--wait-seconds", "0"), Rolling(batch_size="2 hosts", wait_seconds=0)),
        (("--continue-on-error", "--min-healthy", "0.5"), Rolling(continue_on_error=True, min_healthy=0.5)),
    ],
)
async def test_its_hash_waves_and_limits_are_those_that_a_worker_freezes(
    client: DeploymentClient,
    database: Database,
    hosts: Hosts,
    vulnzero: Vulnzero,
    options: tuple[str, ...],
    strategy: Rolling,
) -> None:
    out = (await asyncio.to_thread(vulnzero, "plan", "acme-1.0.1", "--to", "env=prod", *options, "-o", "json"))[1]
    plan: dict[str, Any] = json.loads(out)
    async with serving(client.temporal, database, hosts):
        deployment = await client.deploy(1, selector="env=prod", strategy=strategy)
        await client.temporal.get_workflow_handle(deployment.workflow_id).cancel()
        await deployment.result()
    view = await client.ledger.deployment(deployment.id)
    frozen = await client.ledger.hosts(deployment.id)
    assert plan["hash"] == view.plan_hash
    assert view.thresholds is not None
    assert plan["thresholds"] == view.thresholds.model_dump(mode="json")
    assert [(host["name"], wave["number"]) for wave in plan["waves"] for host in wave["hosts"]] == [
        (host.name, host.wave) for host in frozen
    ]


def test_it_tells_who_is_left_out_and_by_what(stocked: Vulnzero) -> None:
    plan = ("plan", "acme-1.0.1", "--to", "env=prod,zone notin (a,c)", "--batch-size", "1 host")
    code, out, _ = stocked(*plan)
    assert code == 0
    assert "left out  2 of 3 assets: 2 by zone notin (a,c)" in out
    assert json.loads(stocked(*plan, "-o", "json")[1])["left_out"] == {"zone notin (a,c)": 2}
    assert "left out" not in stocked("plan", "acme-1.0.1", "--to", "all")[1]
    assert "left out  1 of 3 assets: 1 by id" in stocked("plan", "acme-1.0.1", "--to", "id=1,2")[1]


def test_it_tells_limits_as_counts_and_the_waits(stocked: Vulnzero) -> None:
    out = stocked("plan", "acme-1.0.1", "--to", "all", "--min-healthy", "50%", "--batch-size", "1 host")[1]
    assert "waves     3, 1 min between (default): 2 min of waits" in out
    assert "ends at   1 failed or 2 unreachable hosts" in out
    assert "limits    10 at once, 2 must stay in service, 5 min a host" in out


async def test_it_tells_what_the_last_run_left_on_each_host_and_who_has_it_now(
    database: Database, vulnzero: Vulnzero
) -> None:
    earlier = await a_deployment(database, 3)
    attempt = await Try.take(database, earlier.id)
    await attempt.settle(await attempt.fence(earlier.assets[0]))
    await attempt.settle(await attempt.fence(earlier.assets[1]), HostState.FAILED)
    async with database.transaction() as session:
        assert (await admit(session, earlier.id, 5)).granted
    plan = ("plan", "acme-1.0.1", "--to", "all")
    text = (await asyncio.to_thread(vulnzero, *plan))[1]
    assert "stored    2 at 1.0.1, 1 never seen, seen 0." in text
    assert "3 of them belong to deployment 1 now: this one would wait for it" in text
    await close(database, earlier.id)
    found = json.loads((await asyncio.to_thread(vulnzero, *plan, "-o", "json"))[1])
    hosts = {host["name"]: host for wave in found["waves"] for host in wave["hosts"]}
    assert [(hosts[name]["version"], hosts[name]["state"]) for name in sorted(hosts)] == [
        ("1.0.1", "SUCCEEDED"), ("1.0.1", "FAILED"), (None, None),
    ]  # fmt: skip
    assert {host["held_by"] for host in hosts.values()} == {None}


async def test_hosts_that_the_patch_has_no_package_for_refuse_it_with_their_number(
    client: DeploymentClient, vulnzero: Vulnzero
) -> None:
    others = [one.model_copy(update={"name": f"old-{one.name}"}) for one in assets(2, platform="solaris")]
    await client.ledger.import_assets(others)
    code, _, err = await asyncio.to_thread(vulnzero, "plan", "acme-1.0.1", "--to", "all")
    assert code == 2
    assert err == (
        "error: old-web1: is solaris, for which patch acme-1.0.1 has no package, nor for 1 more of the chosen hosts; "
        "it has debian: leave the others out of the selector\n"
    )


async def test_it_asks_no_worker_and_writes_nothing(
    client: DeploymentClient, temporal: Temporal, vulnzero: Vulnzero
) -> None:
    temporal.kill()
    assert (await asyncio.to_thread(vulnzero, "plan", "acme-1.0.1", "--to", "all"))[0] == 0
    assert await client.ledger.deployments() == []
