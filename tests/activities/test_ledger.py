"""The activities that remember: safe to repeat, and the ledger's word is what they answer."""

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.database.inventory import Assets
from activities.database.session import Database
from activities.ledger import LedgerActivities
from tests.activities.ledger import Try, a_deployment, ask, close, spec, store
from workflows.contracts.errors import EmptySelection, InvalidRequest, UnknownThing
from workflows.contracts.names import DeploymentState, HostState
from workflows.contracts.steps import Close, DeploymentRef, Register

DEFAULTS = {"batch_size": "50%", "wait_seconds": 7.0, "host_timeout": 99}


def activities(database: Database) -> LedgerActivities:
    return LedgerActivities(database, 5, DEFAULTS)


async def registered(database: Database, hosts: int = 4, **changes: object) -> DeploymentRef:
    patch_id, _ = await store(database, hosts)
    wanted = ask(patch_id, "nightly")
    request = wanted.request.model_copy(update=changes)
    given = Register.model_validate(wanted.model_dump() | {"request": request.model_dump()})
    return await ActivityEnvironment().run(activities(database).register, given)


async def test_rule_1_a_plan_is_made_once_and_a_host_that_joins_later_is_not_in_it(
    database: Database, sql: psycopg.Connection
) -> None:
    ref = await registered(database)
    first = await ActivityEnvironment().run(activities(database).freeze_plan, ref)
    assert (first.hosts, [wave.hosts for wave in first.waves], first.wait_seconds) == (4, [2, 2], 7.0)
    assert (first.environments, first.thresholds.host_timeout) == (("lab",), 99)
    async with database.transaction() as session:
        await Assets(session).store([spec(5)])
    assert await ActivityEnvironment().run(activities(database).freeze_plan, ref) == first
    assert sql.execute("select count(*) from plan_hosts").fetchone() == (4,)
    assert sql.execute("select count(*) from events where kind = 'plan'").fetchone() == (1,)


async def test_a_request_beats_the_defaults(database: Database) -> None:
    ref = await registered(database, strategy_params={"batch_size": "4 hosts", "max_concurrency": 2})
    plan = await ActivityEnvironment().run(activities(database).freeze_plan, ref)
    assert ([wave.hosts for wave in plan.waves], plan.thresholds.max_concurrency) == ([4], 2)


async def test_hosts_of_a_platform_without_a_package_are_refused_by_name_and_nothing_is_frozen(
    database: Database, sql: psycopg.Connection
) -> None:
    ref = await registered(database, hosts=2)
    async with database.transaction() as session:
        await Assets(session).store([spec(2, platform="rhel9")])
    with pytest.raises(InvalidRequest, match="web-002: is rhel9"):
        await ActivityEnvironment().run(activities(database).freeze_plan, ref)
    assert sql.execute("select plan, plan_hash from deployments").fetchall() == [(None, None)]


async def test_a_selection_of_nobody_is_refused(database: Database) -> None:
    ref = await registered(database, selector="env=nowhere")
    with pytest.raises(EmptySelection):
        await ActivityEnvironment().run(activities(database).freeze_plan, ref)


@pytest.mark.parametrize("patch_id", [404, 2**40])
async def test_a_patch_that_nobody_registered_is_refused_before_a_row_is_made(
    database: Database, sql: psycopg.Connection, patch_id: int
) -> None:
    with pytest.raises(UnknownThing, match=f"no patch {patch_id}"):
        await ActivityEnvironment().run(activities(database).register, ask(patch_id, "nightly"))
    assert sql.execute("select count(*) from deployments").fetchone() == (0,)


async def test_rule_10_the_result_counts_what_was_never_started_and_the_overshoot(database: Database) -> None:
    deployment = await a_deployment(database, hosts=6, max_concurrency=3, max_failures=1)
    batch = await Try.take(database, deployment.id)
    for fence in [await batch.fence(asset) for asset in deployment.assets[:3]]:
        await batch.settle(fence, HostState.FAILED)
    ending = Close(deployment_id=deployment.id, state=DeploymentState.FAILED, message="stopped", overshoot=2)
    result = await ActivityEnvironment().run(activities(database).close, ending)
    assert result.counts.by_state == {HostState.FAILED: 3, HostState.NOT_STARTED: 3}
    assert (result.overshoot, result.state, result.message) == (2, DeploymentState.FAILED, "stopped")
    assert await ActivityEnvironment().run(activities(database).close, ending) == result


async def test_a_deployment_that_was_closed_already_answers_how(database: Database) -> None:
    deployment = await a_deployment(database)
    await close(database, deployment.id, DeploymentState.FAILED, "closed without a verdict")
    late = Close(deployment_id=deployment.id, state=DeploymentState.SUCCEEDED, message="all well")
    result = await ActivityEnvironment().run(activities(database).close, late)
    assert (result.state, result.message) == (DeploymentState.FAILED, "closed without a verdict")


async def test_a_deployment_that_was_rejected_before_its_plan_has_a_result(database: Database) -> None:
    ref = await registered(database)
    ending = Close(deployment_id=ref.deployment_id, state=DeploymentState.REJECTED, message="no such host")
    result = await ActivityEnvironment().run(activities(database).close, ending)
    assert (result.counts.by_state, result.overshoot, result.started_at) == ({}, 0, None)
