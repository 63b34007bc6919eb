"""Calls to a workflow, with each way they can go wrong as an error of our own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Client,
    RPCError,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCStatusCode

from starter.errors import NoAnswer, NoWorker, WorkflowClosed
from workers.connection import TemporalUnavailable
from workflows.contracts.errors import Refused, VulnzeroError
from workflows.contracts.names import STATUS_QUERY, Queue, Verb
from workflows.contracts.requests import VerbAnswer, VerbArgument
from workflows.contracts.status import Status

ANSWER_SECONDS = 10.0
_AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


async def has_worker(client: Client, queue: Queue) -> bool:
    """Whether somebody polls `queue` (or did within the last minutes: the server forgets slowly)."""
    kinds = [TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY]
    if queue is Queue.WORKFLOWS:
        kinds = [TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW]
    async with translated(client):
        for kind in kinds:
            answer = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
                )
            )
            if answer.pollers:
                return True
    return False


@asynccontextmanager
async def translated(client: Client) -> AsyncIterator[None]:
    """A gRPC fault as TemporalUnavailable; other statuses pass, for the caller to judge."""
    try:
        yield
    except RPCError as error:
        if error.status not in _AWAY:
            raise
        raise unavailable(client, error) from error


def unavailable(client: Client, error: RPCError | TimeoutError) -> TemporalUnavailable:
    address = client.service_client.config.target_host
    problem = " ".join(error.message.split())[:160] if isinstance(error, RPCError) else "no answer in time"
    return TemporalUnavailable(address, f"namespace {client.namespace}", problem)


async def send(client: Client, handle: WorkflowHandle[Any, Any], verb: Verb, argument: VerbArgument) -> VerbAnswer:
    """One verb as an update. Raises Refused with the workflow's own reason, WorkflowClosed, NoWorker, NoAnswer."""
    raw = argument.model_dump(mode="json", exclude_unset=True)
    # Asked first: an update that nobody takes now could still be carried out when a worker comes, long after its
    # sender has been told that it failed.
    if not await has_worker(client, Queue.WORKFLOWS):
        raise NoWorker(Queue.WORKFLOWS, f"'{verb}'; it was not sent")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer: VerbAnswer = await handle.execute_update(verb, raw, result_type=VerbAnswer)
            return answer
    except WorkflowUpdateFailedError as error:
        reason = error.cause.message if isinstance(error.cause, ApplicationError) else str(error.cause)
        raise Refused(reason) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        raise await _silence(client, f"'{verb}'", "it may still take effect when one comes") from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise WorkflowClosed(f"{verb} refused: {_closed(error)}") from None
        raise unavailable(client, error) from error


async def ask_status(client: Client, handle: WorkflowHandle[Any, Any]) -> Status:
    """Raises NoWorker or NoAnswer after ANSWER_SECONDS, WorkflowClosed where Temporal has forgotten it."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer: Status = await handle.query(STATUS_QUERY, result_type=Status)
            return answer
    except TimeoutError:
        raise await _silence(client, "the status query", "") from None
    except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        raise NoAnswer(f"the status query failed: {error}") from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise WorkflowClosed(_closed(error)) from None
        if error.status in (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED):
            raise await _silence(client, "the status query", "") from None
        raise unavailable(client, error) from error


async def describe(client: Client, handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionStatus | None:
    """Temporal's own word on the workflow; None where it knows none."""
    try:
        async with translated(client):
            return (await handle.describe()).status
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise unavailable(client, error) from error


async def _silence(client: Client, asked: str, beyond: str) -> VulnzeroError:
    """Why there was no answer: nobody to give one, or somebody who did not."""
    if not await has_worker(client, Queue.WORKFLOWS):
        return NoWorker(Queue.WORKFLOWS, f"{asked} ({beyond})" if beyond else asked)
    return NoAnswer(f"{asked} was not answered in {ANSWER_SECONDS:.0f} s", "look at the workflow in Temporal's Web UI")


def _closed(error: RPCError) -> str:
    if "already completed" in error.message:
        return "the deployment's workflow is closed"
    return f"Temporal has no such workflow any more ({error.message})"
