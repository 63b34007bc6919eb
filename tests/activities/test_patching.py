"""`apply_batch` without hosts: what it takes over, what it returns, and how it leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities import patching
from activities.ansible.launching import Launch, cold
from activities.database.batches import Taken
from activities.database.session import Database
from activities.patching import PatchingActivities
from tests.activities.ledger import Frozen, Try, a_deployment, counts, steer
from tests.support.waiting import until
from workflows.contracts.errors import StaleAttempt, WorkerDraining
from workflows.contracts.inventory import Asset
from workflows.contracts.names import Control, HostState, Kind
from workflows.contracts.steps import ApplyBatch, ControlAnswer, WaveCounts

Play = Callable[["Played", Sequence[Asset], bool], Awaitable[None]]


class Played:
    """In place of a run of Ansible: `play` says what becomes of the hosts."""

    play: Play
    runs: list[tuple[list[int], bool]]

    def __init__(
        self,
        database: Database,
        taken: Taken,
        run_dir: Path,
        launch: Launch,
        draining: asyncio.Event,
        kind: Kind = Kind.PATCH,
    ) -> None:
        self.batch = Try(database, taken)
        self.draining = draining
        self.lost: list[Asset] = []

    async def run(self, assets: Sequence[Asset], settling: bool = False) -> None:
        self.lost = []
        type(self).runs.append(([asset.id for asset in assets], settling))
        await type(self).play(self, assets, settling)


async def all_well(played: Played, assets: Sequence[Asset], settling: bool) -> None:
    for asset in assets:
        await played.batch.settle(await played.batch.fence(asset.id, settling))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    stub = type("Stub", (Played,), {"play": staticmethod(all_well), "runs": []})
    monkeypatch.setattr(patching, "BatchTry", stub)
    return stub


class Workflow:
    """The answers of the workflow to the control query, one after the other."""

    def __init__(self, *answers: ControlAnswer | RPCError) -> None:
        self.answers = list(answers)

    def get_workflow_handle(self, *_: object, **__: object) -> "Workflow":
        return self

    async def query(self, *_: object, **__: object) -> ControlAnswer:
        answer = self.answers.pop(0)
        if isinstance(answer, RPCError):
            raise answer
        return answer


def environment(attempt: int = 1) -> ActivityEnvironment:
    env = ActivityEnvironment()
    env.info = replace(env.info, attempt=attempt)
    return env


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


ACTIVITY = "test-run/test"  # as the environment's own run and activity id make it


def applying(
    env: ActivityEnvironment, database: Database, tmp_path: Path, deployment: Frozen, *said: Any
) -> "asyncio.Task[WaveCounts]":
    one = PatchingActivities(database, cast(Client, Workflow(*said)), tmp_path, "worker", cold)
    ask = ApplyBatch(deployment_id=deployment.id, wave=1, offset=0, limit=len(deployment.assets))
    return asyncio.ensure_future(env.run(one.apply_batch, ask))


async def test_rule_16_a_batch_whose_hosts_are_all_finished_answers_from_the_ledger_and_runs_nothing(
    database: Database, tmp_path: Path, played: type[Played]
) -> None:
    deployment = await a_deployment(database, hosts=3, wave=2)
    earlier = await Try.take(database, deployment.id, activity=ACTIVITY)
    await earlier.settle(await earlier.fence(deployment.assets[0]))
    await earlier.settle(await earlier.fence(deployment.assets[1]), HostState.FAILED)
    one = PatchingActivities(database, cast(Client, Workflow()), tmp_path, "worker", cold)
    ask = ApplyBatch(deployment_id=deployment.id, wave=1, offset=0, limit=2)
    found = await environment().run(one.apply_batch, ask)
    done = {HostState.SUCCEEDED: 1, HostState.FAILED: 1}
    assert (found.asked.by_state, found.deployment.by_state) == (done, done | {HostState.PENDING: 1})
    assert played.runs == [] and left_in(tmp_path) == []


async def test_rule_17_a_try_whose_batch_a_newer_one_has_taken_is_stale(
    database: Database, tmp_path: Path, played: type[Played]
) -> None:
    deployment = await a_deployment(database)
    await Try.take(database, deployment.id, attempt=2, activity=ACTIVITY)
    with pytest.raises(StaleAttempt):
        await applying(environment(1), database, tmp_path, deployment)
    assert played.runs == []


async def test_rule_11_a_later_try_brings_the_workflows_word_before_its_first_claim(
    database: Database, tmp_path: Path, played: type[Played], sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database)
    away = RPCError("no worker", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    async def look(self: Played, assets: Sequence[Asset], settling: bool) -> None:
        assert sql.execute("select control, control_sequence from deployments").fetchall() == [("pause", 4)]

    played.play = staticmethod(look)
    said = (away, ControlAnswer(control=Control.PAUSE, sequence=4))
    await applying(environment(2), database, tmp_path, deployment, *said)
    assert len(played.runs) == 1


async def test_a_later_try_whose_workflow_is_gone_is_stale(
    database: Database, tmp_path: Path, played: type[Played]
) -> None:
    deployment = await a_deployment(database)
    with pytest.raises(StaleAttempt, match="gone"):
        await applying(environment(2), database, tmp_path, deployment, RPCError("", RPCStatusCode.NOT_FOUND, b""))
    assert played.runs == []


async def test_a_host_that_was_lost_is_asked_for_once_more_and_no_third_time(
    database: Database, tmp_path: Path, played: type[Played]
) -> None:
    deployment = await a_deployment(database, hosts=2)

    async def lose(self: Played, assets: Sequence[Asset], settling: bool) -> None:
        for asset in assets:
            await self.batch.settle(await self.batch.fence(asset.id, settling), HostState.UNKNOWN)
        self.lost = [assets[0]]

    played.play = staticmethod(lose)
    found = await applying(environment(), database, tmp_path, deployment)
    assert played.runs == [(list(deployment.assets), False), ([deployment.assets[0]], True)]
    assert found.asked.by_state == {HostState.UNKNOWN: 2}


async def test_a_worker_that_stops_hands_over_what_it_has_not_finished(
    database: Database, tmp_path: Path, played: type[Played], sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database, hosts=2)
    env = environment()

    async def drain(self: Played, assets: Sequence[Asset], settling: bool) -> None:
        await all_well(self, assets[:1], settling)
        env.worker_shutdown()
        await self.draining.wait()

    played.play = staticmethod(drain)
    with pytest.raises(WorkerDraining):
        await applying(env, database, tmp_path, deployment)
    assert sql.execute("select ended_at from batches").fetchall() == [(None,)]


async def test_a_worker_that_stops_with_nothing_left_ends_its_batch(
    database: Database, tmp_path: Path, played: type[Played], sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(database, hosts=2)
    env = environment()

    async def drain(self: Played, assets: Sequence[Asset], settling: bool) -> None:
        await all_well(self, assets, settling)
        env.worker_shutdown()
        await self.draining.wait()

    played.play = staticmethod(drain)
    assert (await applying(env, database, tmp_path, deployment)).asked.by_state == {HostState.SUCCEEDED: 2}
    assert sql.execute("select count(*) from batches where ended_at is not null").fetchone() == (1,)


@pytest.mark.parametrize(
    ("why", "state"),
    [
        (ActivityCancellationDetails(not_found=True), HostState.UNKNOWN),
        # Another try goes on at once. Until then its hosts count as in hand: as unknown ones they would spend the
        # budget, and the other batches of the wave would leave the rest of the fleet unpatched.
        (ActivityCancellationDetails(worker_shutdown=True), HostState.RUNNING),
    ],
    ids=["workflow gone", "worker stops"],
)
async def test_what_is_in_hand_when_a_batch_is_cut_off_depends_on_whether_another_try_comes(
    database: Database, tmp_path: Path, played: type[Played], why: ActivityCancellationDetails, state: HostState
) -> None:
    deployment = await a_deployment(database, hosts=2)

    async def hang(self: Played, assets: Sequence[Asset], settling: bool) -> None:
        await self.batch.fence(assets[0].id)
        await asyncio.Event().wait()

    async def in_hand() -> bool:
        return (await counts(database, deployment.id)).of(HostState.RUNNING) == 1

    played.play = staticmethod(hang)
    env = environment()
    running = applying(env, database, tmp_path, deployment)
    await until(in_hand, "a host is in hand")
    env.cancel(why)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await counts(database, deployment.id)).by_state == {state: 1, HostState.PENDING: 1}


async def test_rule_7_hosts_that_cannot_be_reached_are_data_and_the_budget_stops_the_rest(
    database: Database, tmp_path: Path
) -> None:
    """With the real Ansible: nobody listens at the hosts' port."""
    deployment = await a_deployment(database, hosts=4, max_concurrency=1, max_unreachable=2)
    found = await applying(environment(), database, tmp_path, deployment)
    assert found.asked.by_state == {HostState.UNREACHABLE: 2, HostState.PENDING: 2}
    assert left_in(tmp_path) == []


async def test_rule_11_a_paused_deployment_gives_its_batch_back_with_every_host_pending(
    database: Database, tmp_path: Path
) -> None:
    """With the real Ansible, which asks for each host and is told no."""
    deployment = await a_deployment(database)
    await steer(database, deployment.id, 1, Control.PAUSE)
    assert (await applying(environment(), database, tmp_path, deployment)).asked.by_state == {HostState.PENDING: 4}
