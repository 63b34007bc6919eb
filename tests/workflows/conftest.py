"""Workflows on a real Temporal server with a virtual clock for each workflow."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment
from temporalio.worker import Worker

from starter.dev.temporal import find_binary
from tests.support.world import World
from workers.registry import WORKFLOWS, runner
from workflows.contracts.names import SEARCH_ATTRIBUTES, Queue

DYNAMIC = {
    "frontend.WorkflowTimeSkippingEnabled": "true",
    # Without it each skip costs a second of real time.
    "history.timerProcessorMaxTimeShift": '"20ms"',
}


def _flags() -> list[str]:
    flags = [word for key, value in DYNAMIC.items() for word in ("--dynamic-config-value", f"{key}={value}")]
    return flags + [word for key, kind in SEARCH_ATTRIBUTES.items() for word in ("--search-attribute", f"{key}={kind}")]


@pytest.fixture(scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """Time runs only when a test says so (`forward`), or by itself where a workflow is started with `skipping`."""
    async with await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(find_binary()),
        dev_server_extra_args=_flags(),
        dev_server_log_level="error",
    ) as environment:
        yield environment


Serve = Callable[[World], AbstractAsyncContextManager[None]]


@pytest.fixture
def serve(environment: WorkflowEnvironment) -> Serve:
    """Workers for a simulated world, on all queues."""

    @asynccontextmanager
    async def serving(world: World) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for queue in Queue:
                workflows: dict[str, Any] = {"workflows": WORKFLOWS} if queue is Queue.WORKFLOWS else {}
                activities: dict[str, Any] = {} if workflows else {"activities": world.activities}
                await stack.enter_async_context(
                    Worker(
                        environment.client, task_queue=queue, workflow_runner=runner(),
                        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1), **workflows, **activities,
                    )
                )  # fmt: skip
            yield

    return serving


class Drive:
    """Starts a deployment and moves its clock."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.client: Client = environment.client
        self._started = 0

    async def start(self, raw: Any = None, kind: str = "RollingDeployment") -> WorkflowHandle[Any, Any]:
        self._started += 1
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(
            kind,
            args=[] if raw is None else [raw],
            id=f"test-{id(self)}-{self._started}",
            task_queue=Queue.WORKFLOWS,
        )
        return handle

    async def forward(self, handle: WorkflowHandle[Any, Any], seconds: float) -> None:
        await self._environment.fast_forward(handle, timedelta(seconds=seconds))


@pytest.fixture
def drive(environment: WorkflowEnvironment) -> Drive:
    return Drive(environment)
