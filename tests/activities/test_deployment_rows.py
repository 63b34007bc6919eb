"""The life of a deployment's row: frozen plan, states, verbs, counts, one close."""

import psycopg
import pytest

from activities.database.admission import admit
from activities.database.deployments import Deployments
from activities.database.events import Events
from activities.database.inventory import Patches
from activities.database.session import Database
from tests.activities.ledger import Try, a_deployment, close, counts, entry, steer, verb, word
from workflows.contracts.errors import UnknownThing
from workflows.contracts.inventory import Package, PatchSpec
from workflows.contracts.names import Control, DeploymentState, HostState, Verb
from workflows.contracts.steps import Counts, RecordVerb


async def messages(database: Database, deployment_id: int) -> list[str]:
    async with database.transaction() as session:
        return [event.message for event in await Events(session).read(deployment_id)]


async def record(database: Database, *verbs: RecordVerb) -> None:
    for one in verbs:
        async with database.transaction() as session:
            await Deployments(session).record_verb(one)


def row(sql: psycopg.Connection, columns: str = "control, control_sequence, state, message") -> tuple[object, ...]:
    found = sql.execute(f"select {columns} from deployments".encode()).fetchone()
    assert found is not None
    return tuple(found)


async def test_rule_1_a_frozen_plan_keeps_its_hosts_in_their_order_and_waves(
    database: Database, sql: psycopg.Connection
) -> None:
    frozen = await a_deployment(database, hosts=5, wave=2)
    assert sql.execute("select position, wave, asset_id from plan_hosts order by position").fetchall() == [
        (position, wave, asset)
        for position, (wave, asset) in enumerate(zip([1, 1, 2, 2, 3], frozen.assets, strict=True))
    ]
    plan, digest = row(sql, "plan, plan_hash")
    assert isinstance(plan, dict) and "hosts" not in plan and plan["environments"] == ["lab"]
    assert (await messages(database, frozen.id))[-1] == f"planned 5 hosts in 3 waves, plan {str(digest)[:12]}"


async def test_entering_a_state_again_leaves_no_double_event(database: Database) -> None:
    deployment = await a_deployment(database)
    before = len(await messages(database, deployment.id))
    for _ in range(3):
        async with database.transaction() as session:
            await Deployments(session).enter(entry(deployment.id, 1, "patching wave 1 of 1"))
    assert (await messages(database, deployment.id))[before:] == ["RUNNING: patching wave 1 of 1"]


async def test_an_older_state_that_comes_late_changes_nothing(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database)
    for write, message in ((2, "the newer"), (1, "the older")):
        async with database.transaction() as session:
            await Deployments(session).enter(entry(deployment.id, write, message))
    assert row(sql, "message") == ("the newer",)


async def test_a_deployment_nobody_has_is_unknown(database: Database) -> None:
    for unknown in (999, 2**63):
        async with database.transaction() as session:
            with pytest.raises(UnknownThing, match=f"no deployment {unknown}"):
                await Deployments(session).enter(entry(unknown, 1, ""))


async def test_rule_15_a_verb_recorded_again_leaves_no_double(database: Database) -> None:
    deployment = await a_deployment(database)
    before = len(await messages(database, deployment.id))
    pause = verb(deployment.id, 1, Verb.PAUSE, Control.PAUSE, DeploymentState.PAUSED)
    await record(database, pause, pause, pause)
    assert (await messages(database, deployment.id))[before:] == ["pause by ada: pause was heard"]


async def test_rule_11_a_late_older_verb_never_undoes_a_newer_one(database: Database, sql: psycopg.Connection) -> None:
    deployment = await a_deployment(database)
    pause = verb(deployment.id, 1, Verb.PAUSE, Control.PAUSE, DeploymentState.PAUSED)
    resume = verb(deployment.id, 2, Verb.RESUME, Control.RUN, DeploymentState.RUNNING)
    again = verb(deployment.id, 3, Verb.PAUSE, Control.PAUSE, DeploymentState.PAUSED)
    await record(database, again, pause, resume)
    assert row(sql) == ("pause", 3, "PAUSED", "as pause 3 left it")
    assert sum("by ada:" in message for message in await messages(database, deployment.id)) == 3


async def test_what_a_batch_asked_of_the_workflow_is_not_undone_by_the_verb_it_came_from(
    database: Database, sql: psycopg.Connection
) -> None:
    """A batch's second try may bring the workflow's word before the verb itself is recorded."""
    deployment = await a_deployment(database)
    await steer(database, deployment.id, 2, Control.PAUSE)
    await steer(database, deployment.id, 1, Control.RUN)
    await record(database, verb(deployment.id, 2, Verb.PAUSE, Control.PAUSE, DeploymentState.PAUSED))
    assert row(sql) == ("pause", 2, "PAUSED", "as pause 2 left it")


async def test_a_verb_that_did_not_apply_is_in_the_story_as_ignored(database: Database) -> None:
    deployment = await a_deployment(database)
    ignored = verb(deployment.id, 1, Verb.PROMOTE, Control.RUN, DeploymentState.RUNNING)
    await record(database, ignored.model_copy(update={"applied": False, "reason": "in a hurry"}))
    assert (await messages(database, deployment.id))[-1] == "promote by ada (in a hurry), ignored: promote was heard"


async def test_closing_frees_the_hosts_and_the_slot_and_a_second_close_changes_nothing(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    async with database.transaction() as session:
        assert (await admit(session, deployment.id, 1)).granted
    assert sql.execute("select count(*) from leases").fetchone() == (4,)
    await close(database, deployment.id)
    closed, story = row(sql, "*"), await messages(database, deployment.id)
    for table in ("leases", "queue"):
        assert sql.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)
    await close(database, deployment.id, DeploymentState.FAILED, "too late")
    async with database.transaction() as session:
        await Deployments(session).enter(entry(deployment.id, 99, "late as well"))
    assert row(sql, "*") == closed
    assert await messages(database, deployment.id) == story


async def test_rule_18_a_closed_deployment_grants_no_claim_whatever_is_heard_later(database: Database) -> None:
    """Its hosts belong to nobody or to another deployment by now, those that a dead worker left behind included."""
    deployment = await a_deployment(database)
    first = await Try.take(database, deployment.id)
    await first.fence(deployment.assets[0])
    await close(database, deployment.id)
    await record(database, verb(deployment.id, 8, Verb.RESUME, Control.RUN, DeploymentState.RUNNING))
    await steer(database, deployment.id, 9, Control.RUN)
    second = await Try.take(database, deployment.id, attempt=2)
    for asset in deployment.assets[:2]:
        claim = await second.claim(asset)
        assert (word(claim), claim.decision.reason) == ("no", "the deployment is closed as SUCCEEDED")


async def test_a_verb_that_comes_after_the_close_is_told_and_changes_nothing(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    await close(database, deployment.id)
    await record(database, verb(deployment.id, 1, Verb.RESUME, Control.RUN, DeploymentState.RUNNING))
    assert row(sql) == ("stop", 0, "SUCCEEDED", "done")
    assert (await messages(database, deployment.id))[-1] == "resume by ada: resume was heard"


async def test_counts_are_of_each_hosts_latest_run_and_of_the_positions_asked_for(database: Database) -> None:
    deployment = await a_deployment(database, hosts=6, wave=4, max_concurrency=9)
    batch = await Try.take(database, deployment.id)
    for asset, state in zip(deployment.assets, (HostState.SUCCEEDED, HostState.FAILED, None), strict=False):
        fence = await batch.fence(asset)
        if state:
            await batch.settle(fence, state)
    again = await Try.take(database, deployment.id, attempt=2)
    await again.fence(deployment.assets[2])  # the abandoned run must not count as well
    one, rest = {HostState.SUCCEEDED: 1, HostState.FAILED: 1, HostState.RUNNING: 1}, HostState.PENDING
    assert await counts(database, deployment.id) == Counts(by_state=one | {rest: 3})
    assert await counts(database, deployment.id, 0, 4) == Counts(by_state=one | {rest: 1})
    assert await counts(database, deployment.id, 4) == Counts(by_state={rest: 2})
    async with database.transaction() as session:
        assert await Deployments(session).wave_counts(deployment.id, 1) == Counts(by_state=one | {rest: 1})
        assert await Deployments(session).wave_counts(deployment.id, 2) == Counts(by_state={rest: 2})


async def test_rule_1_a_patch_imported_anew_does_not_change_a_deployment_that_is_planned(database: Database) -> None:
    deployment = await a_deployment(database)
    before = (await Try.take(database, deployment.id)).taken.patch
    async with database.transaction() as session:
        stored = await Patches(session).get(before.id)
        newer = {"debian": Package(package="other", version="9.9")}
        await Patches(session).store(
            [PatchSpec.model_validate(stored.model_dump(exclude={"id"}) | {"platforms": newer})]
        )
    assert (await Try.take(database, deployment.id, attempt=2)).taken.patch == before
