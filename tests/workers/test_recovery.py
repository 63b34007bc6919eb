"""What a worker puts in order: batches of the dead, rows without a workflow. On a real Temporal."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.database.batches import Batches
from activities.database.claims import Claims
from activities.database.deployments import Deployments, OpenDeployment
from activities.database.session import Database
from tests.activities.ledger import Frozen, Try, a_deployment, ask, counts, enqueue, store
from tests.support.waiting import until
from workers import recovery
from workers.identity import this_process
from workers.recovery import fail_dead_batches, reconcile
from workflows.contracts.names import HostState, Queue, workflow_id

PATIENCE = timedelta(minutes=5)  # a retry that came of a timeout would fail these tests by their own
DEAD = "/".join([*this_process().rsplit("/", 1)[:1], "1"])  # our pid at another start time


@workflow.defn(name="Patient", sandboxed=False)
class Patient:
    """Runs the one activity `hold`, again and again until a try of it ends well."""

    @workflow.run
    async def run(self, deployment_id: int) -> int:
        answer: int = await workflow.execute_activity(
            "hold", deployment_id, start_to_close_timeout=PATIENCE, heartbeat_timeout=PATIENCE,
            retry_policy=RetryPolicy(initial_interval=PATIENCE, backoff_coefficient=1.0),
        )  # fmt: skip
        return answer


@workflow.defn(name="RollingDeployment", sandboxed=False)
class Waits:
    @workflow.run
    async def run(self, request: dict[str, Any] | None = None) -> None:
        await workflow.wait_condition(lambda: False)


class Holding:
    """The activity: it takes the batch and a host, as `worker`, and hangs on its first try only."""

    def __init__(self, database: Database, worker: str, host: int) -> None:
        self._database, self._worker, self._host = database, worker, host
        self.tries: list[int] = []

    @activity.defn(name="hold")
    async def hold(self, deployment_id: int) -> int:
        info = activity.info()
        async with self._database.transaction() as session:
            taken = await Batches(session).take(
                deployment_id, f"{info.workflow_run_id}/{info.activity_id}", info.attempt, self._worker, info.task_token
            )
            await Claims(session, deployment_id, taken.id, taken.attempt).claim(self._host)
        self.tries.append(info.attempt)
        if info.attempt == 1:
            await asyncio.Event().wait()
        return info.attempt


@asynccontextmanager
async def serving(client: Client, *activities: Callable[..., Awaitable[Any]]) -> AsyncIterator[str]:
    """A worker on a queue of its own; also Temporal's own queue of our workflows is served by `Waits`."""
    queue = f"recovery-{uuid.uuid4()}"
    async with Worker(
        client, task_queue=queue, workflows=[Patient, Waits], activities=activities,
        workflow_runner=UnsandboxedWorkflowRunner(), graceful_shutdown_timeout=timedelta(0),
    ):  # fmt: skip
        yield queue


async def start(
    client: Client, queue: str, name: str = "RollingDeployment", **options: Any
) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(name, id=f"w-{uuid.uuid4()}", task_queue=queue, **options)


async def registered(database: Database, deployment: int, handle: WorkflowHandle[Any, Any], sql: Any) -> None:
    """As the workflow of a raw client would be: under its own id, older than a minute."""
    sql.execute(
        "update deployments set workflow_id = %s, first_run_id = %s, state = 'RUNNING' where id = %s",
        [handle.id, handle.first_execution_run_id, deployment],
    )
    aged(sql)


def aged(sql: psycopg.Connection) -> None:
    sql.execute("update deployments set created_at = now() - interval '61 seconds'")


def row(sql: psycopg.Connection, deployment: int) -> tuple[Any, ...]:
    found = sql.execute("select state, message from deployments where id = %s", [deployment]).fetchone()
    assert found is not None
    return tuple(found)


@pytest.fixture
async def deployment(database: Database, sql: psycopg.Connection) -> Frozen:
    """Admitted, with a lease on each of its hosts."""
    deployment = await a_deployment(database)
    sql.execute("insert into leases (asset_id, deployment_id) select asset_id, deployment_id from plan_hosts")
    return deployment


async def test_rule_17_a_dead_workers_batch_is_failed_so_that_its_next_try_starts_at_once(
    client: Client, database: Database, deployment: Frozen
) -> None:
    holding = Holding(database, DEAD, deployment.assets[0])
    async with serving(client, holding.hold) as queue:
        handle = await start(client, queue, "Patient", arg=deployment.id)
        await until(lambda: holding.tries == [1], "the first try holds the batch")
        assert await fail_dead_batches(client, database) == 1
        assert await asyncio.wait_for(handle.result(), 20) == 2


async def test_a_living_workers_batch_is_left_alone(client: Client, database: Database, deployment: Frozen) -> None:
    holding = Holding(database, this_process(), deployment.assets[0])
    async with serving(client, holding.hold) as queue:
        handle = await start(client, queue, "Patient", arg=deployment.id)
        await until(lambda: holding.tries == [1], "the first try holds the batch")
        assert await fail_dead_batches(client, database) == 0
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        await handle.terminate()


async def test_a_batch_that_is_over_at_temporal_is_no_fault_and_is_asked_for_no_more_once_its_deployment_is_closed(
    client: Client, database: Database, deployment: Frozen, sql: psycopg.Connection
) -> None:
    holding = Holding(database, DEAD, deployment.assets[0])
    async with serving(client, holding.hold) as queue:
        handle = await start(client, queue, "Patient", arg=deployment.id)
        await until(lambda: holding.tries == [1], "the first try holds the batch")
        await handle.terminate()
        assert await fail_dead_batches(client, database) == 0
        await registered(database, deployment.id, handle, sql)
        await reconcile(client, database)
    async with database.transaction() as session:
        assert await Batches(session).open_ones() == []


async def test_rule_18_the_row_of_a_terminated_workflow_is_closed_its_leases_freed_its_hosts_unknown(
    client: Client, database: Database, deployment: Frozen, sql: psycopg.Connection
) -> None:
    batch = await Try.take(database, deployment.id)
    await batch.fence(deployment.assets[0])
    await batch.settle(await batch.fence(deployment.assets[1]))
    async with serving(client) as queue:
        handle = await start(client, queue)
        await registered(database, deployment.id, handle, sql)
        assert await reconcile(client, database) == 0
        assert row(sql, deployment.id)[0] == "RUNNING"
        await handle.terminate()
        assert await reconcile(client, database) == 1
    assert row(sql, deployment.id) == ("FAILED", "closed without a verdict: its workflow is terminated")
    for table in ("leases", "queue"):
        assert sql.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)
    found = await counts(database, deployment.id)
    assert found.by_state == {HostState.UNKNOWN: 1, HostState.SUCCEEDED: 1, HostState.PENDING: 2}
    told = sql.execute("select asset_id from events where data->>'state' = 'UNKNOWN'").fetchall()
    assert told == [(deployment.assets[0],)]
    assert await reconcile(client, database) == 0


async def test_a_row_is_closed_although_a_later_workflow_of_the_same_id_runs(
    client: Client, database: Database, deployment: Frozen, sql: psycopg.Connection
) -> None:
    """Its leases would be held for ever by a deployment that nobody steers."""
    async with serving(client) as queue:
        handle = await start(client, queue)
        await registered(database, deployment.id, handle, sql)
        await handle.terminate()
        later = await client.start_workflow("RollingDeployment", id=handle.id, task_queue=queue)
        assert await reconcile(client, database) == 1
        assert row(sql, deployment.id)[0] == "FAILED"
        assert (await later.describe()).status is WorkflowExecutionStatus.RUNNING
        await later.terminate()


async def test_a_row_whose_workflow_the_server_has_forgotten_is_closed(
    client: Client, database: Database, deployment: Frozen, sql: psycopg.Connection
) -> None:
    sql.execute("update deployments set workflow_id = 'gone', first_run_id = %s", [str(uuid.uuid4())])
    aged(sql)
    assert await reconcile(client, database) == 1
    assert row(sql, deployment.id)[1] == "closed without a verdict: its workflow is gone"


async def queued(database: Database, sql: psycopg.Connection) -> int:
    """A row whose number no workflow of an earlier test had."""
    patch_id, _ = await store(database, 1)
    sql.execute(f"alter table deployments alter column id restart with {uuid.uuid4().int % 10**9}".encode())
    return await enqueue(database, patch_id)


async def test_a_queued_row_without_a_workflow_is_started_after_a_minute_and_not_before(
    client: Client, database: Database, sql: psycopg.Connection
) -> None:
    number = await queued(database, sql)
    sql.execute("update deployments set created_at = now() - interval '50 seconds'")
    assert await reconcile(client, database) == 0
    aged(sql)
    assert await reconcile(client, database) == 1
    handle = client.get_workflow_handle(workflow_id(number))
    found = await handle.describe()
    assert (found.status, found.workflow_type) == (WorkflowExecutionStatus.RUNNING, "RollingDeployment")
    assert found.task_queue == Queue.WORKFLOWS
    assert row(sql, number)[0] == "QUEUED"
    assert await reconcile(client, database) == 0
    await handle.terminate()


async def test_workers_that_reconcile_at_once_start_a_workflow_once(
    client: Client, database: Database, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await queued(database, sql)
    aged(sql)
    both, look = asyncio.Barrier(2), recovery._status

    async def at_once(client: Client, row: OpenDeployment) -> WorkflowExecutionStatus | None:
        found = await look(client, row)
        await both.wait()
        return found

    monkeypatch.setattr(recovery, "_status", at_once)
    assert sorted(await asyncio.gather(reconcile(client, database), reconcile(client, database))) == [0, 1]
    await client.get_workflow_handle(workflow_id(number)).terminate()


async def test_a_row_whose_workflow_runs_and_has_not_registered_yet_is_left_alone(
    client: Client, database: Database, sql: psycopg.Connection
) -> None:
    number = await queued(database, sql)
    aged(sql)
    async with serving(client) as queue:
        handle = await client.start_workflow("RollingDeployment", id=workflow_id(number), task_queue=queue)
        assert await reconcile(client, database) == 0
        async with database.transaction() as session:
            await Deployments(session).register(ask(1, handle.id, handle.first_execution_run_id or "", "run"))
        assert await reconcile(client, database) == 0
        await handle.terminate()
