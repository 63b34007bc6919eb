"""What a worker puts in order when it starts: batches of a dead predecessor, and rows without a workflow."""

import logging
from datetime import timedelta

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.database.batches import Batches
from activities.database.deployments import Deployments, OpenDeployment
from activities.database.session import Database
from workers.identity import is_dead
from workflows.contracts.names import DeploymentState, Queue, workflow_id

log = logging.getLogger("vulnzero.recovery")

# A client inserts its row and then starts the workflow; a younger row may be between the two.
WITHOUT_WORKFLOW = timedelta(minutes=1)


async def fail_dead_batches(client: Client, database: Database) -> int:
    """Fails the tries whose worker process is certainly dead, so that the next try need not wait for a heartbeat."""
    async with database.transaction() as session:
        batches = await Batches(session).open_ones()
    failed = 0
    for batch in batches:
        if not is_dead(batch.worker):
            continue
        try:
            await client.get_async_activity_handle(task_token=batch.task_token).fail(
                ApplicationError("its worker died", type="WorkerDied", next_retry_delay=timedelta(milliseconds=1))
            )
            log.warning("batch %s of deployment %s: took it over from a dead worker", batch.id, batch.deployment_id)
            failed += 1
        except RPCError as error:
            # It ended, or was taken over in the meantime: exactly what was wanted.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
    return failed


async def reconcile(client: Client, database: Database) -> int:
    """Starts QUEUED rows that stayed without a workflow, and closes rows whose workflow is over or gone."""
    async with database.transaction() as session:
        rows = await Deployments(session).open_ones(WITHOUT_WORKFLOW)
    mended = 0
    for row in rows:
        status = await _status(client, row)
        if status is WorkflowExecutionStatus.RUNNING:
            continue
        if status is None and row.state is DeploymentState.QUEUED and row.first_run_id is None:
            log.warning("deployment %s was queued without a workflow: starting it", row.id)
            try:
                await client.start_workflow(
                    row.strategy, row.request, id=workflow_id(row.id), task_queue=Queue.WORKFLOWS
                )
            except WorkflowAlreadyStartedError:
                continue  # another worker was quicker
        else:
            why = f"its workflow is {status.name.lower()}" if status else "its workflow is gone"
            log.warning("deployment %s is open but %s: closing it", row.id, why)
            async with database.transaction() as session:
                await Deployments(session).orphaned(row.id, f"closed without a verdict: {why}")
        mended += 1
    return mended


async def _status(client: Client, row: OpenDeployment) -> WorkflowExecutionStatus | None:
    """Of the run chain that the row belongs to; None where the server knows no such workflow."""
    try:
        newest = await client.get_workflow_handle(row.workflow_id).describe()
        if row.first_run_id in (None, newest.raw_info.first_run_id or row.first_run_id):
            return newest.status
        # A later workflow has the id, so the row's own is over; only one of an id can run.
        return (await client.get_workflow_handle(row.workflow_id, run_id=row.first_run_id).describe()).status
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
