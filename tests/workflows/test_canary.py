"""The canary and the all-at-once deployment on the virtual clock, over a simulated world."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from tests.support.waiting import until
from tests.support.world import World
from tests.workflows.conftest import Drive, Serve
from tests.workflows.driving import REQUEST, S, reaches, result, state, timer_runs
from workflows.contracts import AllAtOnce, Canary, Rolling
from workflows.contracts.names import HostState, OnFailure

CANARY = "CanaryDeployment"


async def test_all_at_once_takes_every_host_in_one_wave(serve: Serve, drive: Drive) -> None:
    world = World(hosts=450, params=AllAtOnce())
    async with serve(world):
        done = await result(await drive.start(REQUEST, "AllAtOnceDeployment"))
    assert done.success
    assert sorted(world.patched) == list(range(450))
    assert world.states_entered == [S.CHECKING, S.RUNNING, S.VALIDATING]


async def test_a_canary_is_watched_for_15_minutes_between_its_stages(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Canary())
    async with serve(world):
        handle = await drive.start(REQUEST, CANARY)
        watched = await reaches(handle, S.WAITING, wait_id="monitor-stage-1")
        assert (len(world.patched), watched["waits_for"]["remaining_seconds"]) == (1, 900)
        await drive.forward(handle, 899)
        assert (await state(handle))["wait_id"] == "monitor-stage-1"
        await drive.forward(handle, 5)
        await reaches(handle, S.WAITING, wait_id="monitor-stage-2")
        assert len(world.patched) == 5
        await drive.forward(handle, 905)
        assert (await result(handle)).success
    assert world.probes > 15, "the patched hosts are probed again and again meanwhile"


async def test_rule_9_a_canary_that_falls_ill_while_it_is_watched_is_rolled_back(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Canary(), sick=frozenset({0}), sick_after=3)
    async with serve(world):
        handle = await drive.start(REQUEST, CANARY)
        await reaches(handle, S.WAITING, wait_id="monitor-stage-1")
        await drive.forward(handle, 600)
        done = await result(handle)
    assert done.state is S.ROLLED_BACK
    assert done.message == "stopped: 1 of at most 1 failed hosts; 1 hosts run again what they ran before"
    assert (world.patched, world.rolled_back) == ([0], [0])
    assert S.ROLLING_BACK in world.states_entered


async def test_rule_12_without_auto_promote_each_stage_waits_for_a_person(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Canary(monitoring_duration=0, auto_promote=False))
    async with serve(world):
        handle = await drive.start(REQUEST, CANARY)
        await reaches(handle, S.GATED, wait_id="gate-stage-1")
        await drive.forward(handle, 1e6)
        assert (await state(handle))["state"] == S.GATED
        await handle.execute_update("promote", {"by": "ada"})
        await reaches(handle, S.GATED, wait_id="gate-stage-2")
        await handle.execute_update("promote", {"by": "ada"})
        assert (await result(handle)).success


async def test_rule_12_a_full_promote_ends_all_later_waits_and_gates_too(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Canary(auto_promote=False))
    async with serve(world):
        handle = await drive.start(REQUEST, CANARY)
        await reaches(handle, S.WAITING, wait_id="monitor-stage-1")
        await handle.execute_update("promote", {"by": "ada", "full": True})
        assert (await result(handle)).success


async def test_a_promote_in_the_middle_of_a_monitoring_window_ends_it(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Canary())
    async with serve(world):
        handle = await drive.start(REQUEST, CANARY)
        await reaches(handle, S.WAITING, wait_id="monitor-stage-1")
        await drive.forward(handle, 450)
        await handle.execute_update("promote", {"by": "ada", "wait_id": "monitor-stage-1"})
        await reaches(handle, S.WAITING, wait_id="monitor-stage-2")
        await handle.execute_update("cancel")
        await result(handle)


async def test_rule_11_a_pause_across_the_end_of_a_monitoring_window_keeps_its_rest(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Canary())
    async with serve(world):
        handle = await drive.start(REQUEST, CANARY)
        await reaches(handle, S.WAITING, wait_id="monitor-stage-1")
        await drive.forward(handle, 600)
        await handle.execute_update("pause")
        before = (await reaches(handle, S.PAUSED))["waits_for"]["remaining_seconds"]
        await drive.forward(handle, 10_000)
        await handle.execute_update("resume")
        await until(lambda: timer_runs(handle), "the window goes on")
        assert (await state(handle))["waits_for"]["remaining_seconds"] == pytest.approx(before, abs=1)
        assert before == pytest.approx(300, abs=5)
        await handle.execute_update("cancel")
        await result(handle)


@pytest.mark.parametrize(
    ("policy", "expected", "back"),
    [
        (OnFailure.STOP, S.FAILED, []),
        (OnFailure.ROLLBACK_FAILED, S.FAILED, [3]),
        (OnFailure.ROLLBACK, S.ROLLED_BACK, [3, 2, 0, 1]),
    ],
)
async def test_rule_9_what_follows_a_spent_budget_is_the_deployments_choice(
    serve: Serve, drive: Drive, policy: OnFailure, expected: Any, back: list[int]
) -> None:
    params = Rolling(batch_size="2 hosts", wait_seconds=0, on_failure=policy)
    world = World(hosts=8, params=params, fails=frozenset({3}))
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert done.state is expected, done.message
    assert sorted(world.rolled_back) == sorted(back)
    assert world.patched == [0, 1, 2, 3]


async def test_rule_19_the_last_wave_goes_back_first(serve: Serve, drive: Drive) -> None:
    params = Rolling(batch_size="2 hosts", wait_seconds=0, on_failure=OnFailure.ROLLBACK)
    world = World(hosts=8, params=params, fails=frozenset({5}))
    async with serve(world):
        await result(await drive.start(REQUEST))
    assert world.rolled_back == [4, 5, 2, 3, 0, 1]


async def test_rule_9_a_spent_budget_can_wait_for_a_persons_choice(serve: Serve, drive: Drive) -> None:
    params = Rolling(batch_size="2 hosts", wait_seconds=0, on_failure=OnFailure.PAUSE)
    world = World(hosts=8, params=params, fails=frozenset({2}))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.PAUSED)
        for verb in ("resume", "promote"):
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update(verb)
        await handle.execute_update("rollback", {"by": "ada", "reason": "not worth it"})
        done = await result(handle)
    assert done.state is S.ROLLED_BACK
    assert sorted(world.rolled_back) == [0, 1, 2]


async def test_rule_19_a_rollback_can_be_asked_for_at_any_time(serve: Serve, drive: Drive) -> None:
    world = World(hosts=6, params=Rolling(batch_size="2 hosts", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await handle.execute_update("rollback", {"by": "ada", "reason": "the shop is slow"})
        done = await result(handle)
    assert done.state is S.ROLLED_BACK
    assert done.message == "rolled back by request; 2 hosts run again what they ran before"
    assert done.counts.by_state == {HostState.ROLLED_BACK: 2, HostState.PENDING: 4}


async def test_rule_11_a_pause_in_mid_rollback_holds_hosts_and_loses_none(serve: Serve, drive: Drive) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    world = World(hosts=4, params=Rolling(batch_size="3 hosts", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)

        def on_host(position: int) -> Any:
            if position == 1:
                reached.set()
                return go_on.wait()
            return None

        world.on_host = on_host
        await handle.execute_update("rollback", {"by": "ada"})
        await asyncio.wait_for(reached.wait(), 10)
        await handle.execute_update("pause", {"by": "ada"})
        go_on.set()
        await until(lambda: world.rolled_back == [0, 1], "the host in hand finishes")
        await handle.execute_update("resume")
        assert (await result(handle)).state is S.ROLLED_BACK
    assert world.rolled_back == [0, 1, 2]


async def test_a_host_that_cannot_go_back_is_not_hidden(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Canary(monitoring_duration=0), fails=frozenset({1}), stuck=frozenset({1}))
    async with serve(world):
        done = await result(await drive.start(REQUEST, CANARY))
    assert done.state is S.ROLLBACK_FAILED
    assert "1 hosts could not be put back" in done.message


async def test_three_days_of_waits_pass_in_seconds(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="1 host", wait_seconds=86_400))
    async with serve(world):
        handle = await drive.start(REQUEST)
        for wave in (1, 2, 3):
            await reaches(handle, S.WAITING, wait_id=f"after-wave-{wave}")
            await until(lambda: timer_runs(handle), "the timer is started")
            await drive.forward(handle, 86_400)
        assert (await asyncio.wait_for(result(handle), 20)).success
