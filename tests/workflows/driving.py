"""What tests of deployments say to them and wait for."""

import asyncio
from typing import Any

from temporalio.client import WorkflowHandle

from tests.support.waiting import until
from workflows.contracts.names import DeploymentState
from workflows.contracts.steps import DeploymentResult

REQUEST = {"patch_id": 1, "selector": "all", "requested_by": "ada"}
S = DeploymentState


async def state(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = await handle.query("status")
    return answer


async def reaches(handle: WorkflowHandle[Any, Any], wanted: DeploymentState, **also: Any) -> dict[str, Any]:
    """The status, once it is in this state."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        found.update(await state(handle))
        return found["state"] == wanted and all(found[key] == value for key, value in also.items())

    await until(there, f"state {wanted} {also}", lambda: str(found))
    return found


async def timer_runs(handle: WorkflowHandle[Any, Any]) -> bool:
    waits_for = (await state(handle))["waits_for"]
    return waits_for is not None and waits_for["until"] is not None


async def result(handle: WorkflowHandle[Any, Any]) -> DeploymentResult:
    return DeploymentResult.model_validate(await asyncio.wait_for(handle.result(), 30))
