"""The activity that patches hosts. It returns what the ledger shows, not what this try of it did."""

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio import activity
from temporalio.client import Client, RPCError, RPCStatusCode

from activities.ansible.launching import Launch
from activities.batch import BatchTry
from activities.database.batches import Batches, Taken
from activities.database.claims import Claims
from activities.database.deployments import Deployments
from activities.database.session import Database
from activities.heartbeats import heartbeats
from workflows import ports
from workflows.contracts.errors import StaleAttempt, WorkerDraining
from workflows.contracts.inventory import Asset
from workflows.contracts.names import CONTROL_QUERY, HostState
from workflows.contracts.steps import ApplyBatch, ControlAnswer, WaveCounts

ASK_AGAIN = 0.5


class PatchingActivities:
    """`worker` names this process (machine, boot, pid, start) in the ledger; `run_dir` is private to it,
    and `launch` starts a supervisor."""

    def __init__(self, database: Database, client: Client, run_dir: Path, worker: str, launch: Launch) -> None:
        self._database = database
        self._client = client
        self._run_dir = run_dir
        self._worker = worker
        self._launch = launch

    @activity.defn(name=ports.APPLY_BATCH.name)
    async def apply_batch(self, ask: ApplyBatch) -> WaveCounts:
        """Patches the hosts of one batch that the ledger does not show finished.

        A try after the first asks the workflow before its first claim: a pause given while no worker lived is
        known to the workflow alone. Raises StaleAttempt where a newer try has the batch, WorkerDraining where this
        worker stops with hosts left.
        """
        info = activity.info()
        async with heartbeats():
            if info.attempt > 1:
                await self._heed_workflow(ask.deployment_id)
            async with self._database.transaction() as session:
                taken = await Batches(session).take(
                    ask.deployment_id,
                    f"{info.workflow_run_id}/{info.activity_id}",
                    info.attempt,
                    self._worker,
                    info.task_token,
                )
            try:
                return await self._run(ask, taken)
            except asyncio.CancelledError:
                # A worker that stops is followed by another try, for which its hosts stay in hand: as UNKNOWN ones
                # they would spend the budget, and batches that run beside this one would be refused the rest.
                details = activity.cancellation_details()
                if details is None or not details.worker_shutdown:
                    await asyncio.shield(self._abandon(taken))
                raise

    async def _run(self, ask: ApplyBatch, taken: Taken) -> WaveCounts:
        draining = asyncio.Event()
        watch = asyncio.create_task(_watch(draining))
        try:
            batch = BatchTry(self._database, taken, self._run_dir, self._launch, draining, ask.kind)
            while hosts := await self._remaining(ask, taken):
                await batch.run(hosts)
                if not batch.lost or draining.is_set():
                    break
                # One more claim each: it waits for the host's lock, answers from the host's record, or ends what
                # was begun. Who stays unknown after that needs a person. While they were unknown they counted
                # against the budget, so hosts that were refused meanwhile ask again.
                await batch.run(batch.lost, settling=True)
        finally:
            watch.cancel()
        async with self._database.transaction() as session:
            counts = await Deployments(session).counts(ask.deployment_id, ask.offset, ask.limit)
            if draining.is_set() and counts.of(HostState.PENDING, HostState.RUNNING, HostState.UNKNOWN):
                raise WorkerDraining("this worker stops; another goes on with the batch")
            await Batches(session).end(taken.id, taken.attempt)
            counts = await Deployments(session).counts(ask.deployment_id, ask.offset, ask.limit)
            return WaveCounts(asked=counts, deployment=await Deployments(session).counts(ask.deployment_id))

    async def _remaining(self, ask: ApplyBatch, taken: Taken) -> list[Asset]:
        async with self._database.transaction() as session:
            claims = Claims(session, taken.deployment_id, taken.id, taken.attempt, ask.kind)
            return [host.asset for host in await claims.remaining(ask.offset, ask.limit, ask.broken_only)]

    async def _heed_workflow(self, deployment_id: int) -> None:
        """Brings the workflow's word on control into the ledger, and waits for it as long as it takes."""
        info = activity.info()
        assert info.workflow_id is not None
        handle = self._client.get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
        while True:
            try:
                answer = await handle.query(CONTROL_QUERY, result_type=ControlAnswer, rpc_timeout=timedelta(seconds=5))
                break
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise StaleAttempt("the workflow of this batch is gone") from error
                activity.logger.warning("no claim before the workflow has answered: %s", error.message)
                await asyncio.sleep(ASK_AGAIN)
        async with self._database.transaction() as session:
            await Deployments(session).set_control(deployment_id, answer.control, answer.sequence)

    async def _abandon(self, taken: Taken) -> None:
        async with self._database.transaction() as session:
            await Batches(session).end(taken.id, taken.attempt)


async def _watch(draining: asyncio.Event) -> None:
    await activity.wait_for_worker_shutdown()
    draining.set()
