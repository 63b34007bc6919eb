"""The rolling deployment on the virtual clock, over a simulated world. Rules are those of docs/rules.md."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from tests.support.waiting import until
from tests.support.world import World
from tests.workflows.conftest import Drive, Serve
from tests.workflows.driving import REQUEST, S, reaches, result, state, timer_runs
from workflows.contracts import Rolling
from workflows.contracts.names import Control, HostState, Verb
from workflows.contracts.steps import Admission


async def test_a_rolling_deployment_patches_wave_after_wave_in_plan_order(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Rolling(wait_seconds=0))
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert (done.state, done.success) == (S.SUCCEEDED, True)
    assert done.message == "10 of 10 hosts run the fixed version"
    assert world.patched == list(range(10))
    assert world.states_entered == [S.CHECKING, *[S.RUNNING] * 5, S.VALIDATING]


async def test_waits_are_durable_and_as_long_as_was_asked(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="50%", wait_seconds=3600))
    async with serve(world):
        handle = await drive.start(REQUEST)
        waiting = await reaches(handle, S.WAITING)
        assert waiting["wait_id"] == "after-wave-1"
        assert waiting["waits_for"]["remaining_seconds"] == 3600
        await drive.forward(handle, 3599)
        assert (await state(handle))["state"] == S.WAITING
        await drive.forward(handle, 2)
        assert (await result(handle)).success


async def test_rule_11_a_pause_keeps_the_rest_of_a_wait_to_the_second(serve: Serve, drive: Drive) -> None:
    world = World(hosts=2, params=Rolling(batch_size="50%", wait_seconds=3600))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await drive.forward(handle, 1000)
        await handle.execute_update("pause", {"by": "ada", "reason": "lunch"})
        paused = await reaches(handle, S.PAUSED)
        assert paused["waits_for"]["until"] is None
        assert paused["waits_for"]["remaining_seconds"] == pytest.approx(2600, abs=1)
        await drive.forward(handle, 50_000)
        assert (await state(handle))["state"] == S.PAUSED
        await handle.execute_update("resume", {"by": "ada"})
        waiting = await reaches(handle, S.WAITING)
        assert waiting["waits_for"]["remaining_seconds"] == pytest.approx(2600, abs=1)
        await drive.forward(handle, 2598)
        assert (await state(handle))["state"] == S.WAITING
        await drive.forward(handle, 5)
        assert (await result(handle)).success
    assert [(verb.verb, verb.control, verb.state) for verb in world.verbs] == [
        (Verb.PAUSE, Control.PAUSE, S.PAUSED),
        (Verb.RESUME, Control.RUN, S.WAITING),
    ]


async def test_rule_11_a_pause_in_mid_wave_lets_hosts_in_hand_finish_and_holds_the_others(
    serve: Serve, drive: Drive
) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    def on_host(position: int) -> Any:
        if position == 2:
            reached.set()
            return go_on.wait()
        return None

    world = World(hosts=6, params=Rolling(batch_size="100%"), on_host=on_host)
    async with serve(world):
        handle = await drive.start(REQUEST)
        await asyncio.wait_for(reached.wait(), 10)
        await handle.execute_update("pause", {"by": "ada"})
        go_on.set()
        await until(lambda: world.patched == [0, 1, 2], "the host in hand finishes")
        assert (await state(handle))["state"] == S.PAUSED
        await handle.execute_update("resume")
        assert (await result(handle)).success
    assert world.patched == list(range(6))


async def test_hosts_that_were_refused_while_others_were_broken_are_asked_again(serve: Serve, drive: Drive) -> None:
    world = World(hosts=6, params=Rolling(batch_size="3 hosts", wait_seconds=0), refusals={1: 1, 2: 2})
    async with serve(world):
        assert (await result(await drive.start(REQUEST))).success
    assert world.patched == [0, 1, 2, 3, 4, 5]


async def test_a_wave_whose_hosts_are_refused_for_good_does_not_hold_the_deployment(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="2 hosts", wait_seconds=0), refusals={1: 99})
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert done.state is S.SUCCEEDED_WITH_FAILURES
    assert world.patched == [0, 2, 3]


async def test_rule_12_promote_ends_the_wait_that_it_names_and_no_other(serve: Serve, drive: Drive) -> None:
    world = World(hosts=3, params=Rolling(batch_size="1 host", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING, wait_id="after-wave-1")
        await handle.execute_update("promote", {"by": "ada", "wait_id": "after-wave-1"})
        await reaches(handle, S.WAITING, wait_id="after-wave-2")
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update("promote", {"by": "ada", "wait_id": "after-wave-1"})
        assert "after-wave-1 is over" in str(refused.value.cause)
        await handle.execute_update("promote")
        assert (await result(handle)).success


async def test_rule_8_a_spent_budget_stops_the_rollout_and_leaves_the_rest_untouched(
    serve: Serve, drive: Drive
) -> None:
    world = World(hosts=10, params=Rolling(continue_on_error=True, wait_seconds=0), fails=frozenset({2, 3}))
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert done.state is S.FAILED
    assert done.message == (
        "stopped: 2 of at most 2 failed hosts; 2 broken hosts run again what they ran before; "
        "6 hosts were left untouched; 2 of 10 hosts run the fixed version"
    )
    assert world.patched == [0, 1, 2, 3]


async def test_rule_3_without_continue_on_error_the_first_failed_host_ends_it(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Rolling(wait_seconds=0), fails=frozenset({2}))
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert done.state is S.FAILED
    assert world.patched == [0, 1, 2]


async def test_a_host_that_falls_ill_during_the_wait_ends_it_before_the_next_wave(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="50%", wait_seconds=3600), sick=frozenset({1}))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await until(lambda: timer_runs(handle), "the timer is started")
        await drive.forward(handle, 3600)
        done = await result(handle)
    assert done.state is S.FAILED
    assert world.patched == [0, 1]


async def test_rule_6_a_connectivity_check_that_spends_the_budget_rejects_the_deployment(
    serve: Serve, drive: Drive
) -> None:
    world = World(hosts=10, unreachable=frozenset({4, 5}))
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert done.state is S.REJECTED
    assert "2 hosts cannot be reached" in done.message
    assert world.patched == []


async def test_rule_6_fewer_unreachable_hosts_do_not_stop_the_others(serve: Serve, drive: Drive) -> None:
    world = World(hosts=10, params=Rolling(wait_seconds=0), unreachable=frozenset({4}))
    async with serve(world):
        done = await result(await drive.start(REQUEST))
    assert done.state is S.SUCCEEDED_WITH_FAILURES
    assert len(world.patched) == 9


async def test_rule_13_a_soft_cancel_finishes_hosts_in_hand_and_starts_no_other(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="50%", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await handle.execute_update("cancel", {"by": "ada", "reason": "wrong patch"})
        done = await result(handle)
    assert done.state is S.CANCELLED
    assert done.counts.of(HostState.SUCCEEDED) == 2
    assert world.verbs[0].reason == "wrong patch"


async def test_temporals_own_cancel_is_a_soft_cancel(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="50%", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await handle.cancel()
        done = await result(handle)
    assert (done.state, world.verbs[0].by, world.verbs[0].control) == (S.CANCELLED, "Temporal cancel", Control.STOP)


async def test_a_cancel_reaches_a_paused_deployment(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="50%", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await handle.execute_update("pause")
        await handle.execute_update("cancel")
        assert (await result(handle)).state is S.CANCELLED


async def test_a_queued_deployment_waits_for_its_slot_and_can_be_cancelled(serve: Serve, drive: Drive) -> None:
    busy = Admission(granted=False, reason="host h1 belongs to deployment 3")
    world = World(hosts=2, admissions=[busy] * 50)
    async with serve(world):
        handle = await drive.start(REQUEST)
        await until(lambda: S.QUEUED in world.states_entered, "queued")
        assert world.entered[-1].message == "waits: host h1 belongs to deployment 3"
        await handle.execute_update("cancel")
        done = await result(handle)
    assert (done.state, done.message) == (S.CANCELLED, "cancelled before anything was started")


async def test_rule_15_a_signal_that_does_not_apply_is_recorded_and_ignored(serve: Serve, drive: Drive) -> None:
    world = World(hosts=2, params=Rolling(batch_size="50%", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await handle.signal("resume", {"by": "bob"})
        await handle.signal("pause", {"by": "bob", "raeson": "typo"})
        await handle.signal("pause", "not an object")
        await until(lambda: len(world.verbs) == 3, "three verbs are recorded")
        assert (await state(handle))["state"] == S.WAITING
        assert [verb.applied for verb in world.verbs] == [False, False, False]
        assert "nothing is paused" in world.verbs[0].message
        assert "raeson" in world.verbs[1].message
        assert "must be one JSON object" in world.verbs[2].message
        await handle.signal("promote")
        assert (await result(handle)).success


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (None, "patch_id: is missing"),
        ({"selector": "all"}, "patch_id: is missing"),
        ({"patch_id": "x", "selector": "all"}, "patch_id"),
        ({"patch_id": 1}, "asset_ids or selector"),
        ({"patch_id": 1, "selector": "all", "stratgy_params": {}}, "stratgy_params"),
        ({"patch_id": 1, "selector": "all", "strategy_params": {"batch_size": 1}}, "batch_size: 1 is ambiguous"),
        ({"patch_id": 1, "selector": "all", "strategy_params": {"wait_secs": 1}}, "wait_secs"),
        ("hello", "must be one JSON object"),
        ([1], "must be one JSON object"),
    ],
)
async def test_an_input_that_cannot_be_read_fails_the_workflow_with_the_fields_name(
    serve: Serve, drive: Drive, raw: Any, named: str
) -> None:
    async with serve(World()):
        handle = await drive.start(raw)
        with pytest.raises(WorkflowFailureError) as failure:
            await asyncio.wait_for(handle.result(), 20)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "InvalidRequest"
    assert named in str(failure.value.cause)


async def test_an_unknown_patch_fails_the_workflow_and_leaves_no_row(serve: Serve, drive: Drive) -> None:
    world = World()
    async with serve(world):
        handle = await drive.start({"patch_id": 404, "selector": "all"})
        with pytest.raises(WorkflowFailureError) as failure:
            await asyncio.wait_for(handle.result(), 20)
    assert "no patch 404" in str(failure.value.cause)
    assert world.closed is None


async def test_a_selection_that_matches_nothing_rejects_the_deployment(serve: Serve, drive: Drive) -> None:
    async with serve(World()):
        done = await result(await drive.start({"patch_id": 1, "selector": "env=nowhere"}))
    assert (done.state, done.message) == (S.REJECTED, "the selector 'env=nowhere' matches no asset")


async def test_an_update_with_a_misspelt_key_is_refused_with_the_keys_name(serve: Serve, drive: Drive) -> None:
    world = World(hosts=2, params=Rolling(batch_size="50%", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update("pause", {"bye": "ada"})
        assert "bye: is no field that is known here; known are: by, reason" in str(refused.value.cause)
        await handle.execute_update("cancel", rpc_timeout=timedelta(seconds=10))
        await result(handle)


async def test_the_web_ui_tells_the_story(serve: Serve, drive: Drive) -> None:
    world = World(hosts=4, params=Rolling(batch_size="50%", wait_seconds=1e6))
    async with serve(world):
        handle = await drive.start(REQUEST)
        await reaches(handle, S.WAITING)
        await until(lambda: timer_runs(handle), "the timer is started")
        description = await handle.describe()
        attributes = {pair.key.name: pair.value for pair in description.typed_search_attributes}
        attributes.pop("BuildIds")  # the server's own
        assert attributes == {
            "DeploymentId": 7, "DeploymentState": "WAITING", "Strategy": "RollingDeployment", "Severity": "critical",
            "Environment": "lab", "Cves": ["CVE-2024-12345"],
        }  # fmt: skip
        summaries = [
            event.user_metadata.summary.data.decode()
            async for event in handle.fetch_history_events()
            if event.user_metadata.summary.data
        ]
        assert '"wave 1 of 2: patch 2 hosts"' in summaries
        assert '"the wait after wave 1 of 2"' in summaries
        await handle.execute_update("cancel")
        await result(handle)
