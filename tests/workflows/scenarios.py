"""Deployments whose histories are kept: changed workflow code must replay each, or mark the change."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle

from tests.support.waiting import until
from tests.support.world import World
from workflows.contracts import AllAtOnce, Canary, Rolling
from workflows.contracts.steps import Admission

HISTORIES = Path(__file__).with_name("histories")
REQUEST = {"patch_id": 1, "selector": "all", "requested_by": "ada"}
SLOW = Rolling(batch_size="50%", wait_seconds=1e6)
QUICK = Rolling(batch_size="50%", wait_seconds=0)
BUSY = Admission(granted=False, reason="all 5 deployment slots are taken")

Act = Callable[[WorkflowHandle[Any, Any]], Awaitable[Any]]


async def _nothing(handle: WorkflowHandle[Any, Any]) -> None:
    pass


async def _waits(handle: WorkflowHandle[Any, Any]) -> None:
    async def waiting() -> bool:
        return bool((await handle.query("status"))["state"] == "WAITING")

    await until(waiting, "it waits")


async def _promoted(handle: WorkflowHandle[Any, Any]) -> None:
    await _waits(handle)
    await handle.execute_update("promote", {"by": "ada"})


async def _paused(handle: WorkflowHandle[Any, Any]) -> None:
    await _waits(handle)
    await handle.signal("pause", {"by": "ada"})
    await handle.signal("promote", {"by": "bob"})  # does not apply
    await handle.execute_update("resume", {"by": "ada"})
    await handle.execute_update("promote", {"by": "ada"})


async def _cancelled(handle: WorkflowHandle[Any, Any]) -> None:
    await _waits(handle)
    await handle.cancel()


async def _rolled_back(handle: WorkflowHandle[Any, Any]) -> None:
    await _waits(handle)
    await handle.execute_update("rollback", {"by": "ada"})


SCENARIOS: dict[str, tuple[Callable[[], World], Act]] = {
    "rolling-done": (lambda: World(hosts=4, params=QUICK), _nothing),
    "rolling-queued": (lambda: World(hosts=2, params=QUICK, admissions=[BUSY]), _nothing),
    "rolling-failed": (lambda: World(hosts=4, params=QUICK, fails=frozenset({0})), _nothing),
    "rolling-rejected": (lambda: World(hosts=4, params=QUICK, unreachable=frozenset({0, 1})), _nothing),
    "rolling-promoted": (lambda: World(hosts=4, params=SLOW), _promoted),
    "rolling-paused": (lambda: World(hosts=4, params=SLOW), _paused),
    "rolling-cancelled": (lambda: World(hosts=4, params=SLOW), _cancelled),
    "rolling-put-back": (lambda: World(hosts=4, params=QUICK, fails=frozenset({1})), _nothing),
    "rolling-rolled-back": (lambda: World(hosts=4, params=SLOW), _rolled_back),
    "canary-done": (lambda: World(hosts=4, params=Canary(monitoring_duration=0)), _nothing),
    "canary-promoted": (lambda: World(hosts=4, params=Canary(stages=["1 host", 1])), _promoted),
    "canary-rolled-back": (
        lambda: World(hosts=4, params=Canary(monitoring_duration=0), fails=frozenset({0})),
        _nothing,
    ),
    "all-at-once-done": (lambda: World(hosts=4, params=AllAtOnce()), _nothing),
    "rolling-many-batches": (lambda: World(hosts=900, params=QUICK), _nothing),
}
