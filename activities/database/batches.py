"""Which try of which worker holds a batch: what lets a retry take over at once, and an old try be refused."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.deployments import Deployments
from activities.database.tables import BatchRow
from workflows.contracts.errors import StaleAttempt
from workflows.contracts.inventory import Patch
from workflows.contracts.model import Contract
from workflows.contracts.plans import Thresholds


class OpenBatch(Contract):
    """`task_token` completes or fails the activity from outside; `worker` names the process that held it."""

    id: int
    deployment_id: int
    attempt: int
    worker: str
    task_token: bytes


class Taken(Contract):
    """A batch that this try holds, and what it needs of its deployment."""

    id: int
    attempt: int
    deployment_id: int
    deployment_attempt: int
    patch: Patch
    thresholds: Thresholds


class Batches:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def take(self, deployment_id: int, activity: str, attempt: int, worker: str, task_token: bytes) -> Taken:
        """Takes the batch over for this try. Raises StaleAttempt where a newer one has it."""
        deployment = await Deployments(self._session).locked(deployment_id)
        assert deployment.plan is not None, "a batch runs only after the plan is frozen"
        new = insert(BatchRow).values(
            deployment_id=deployment_id, activity=activity, attempt=attempt, worker=worker, task_token=task_token
        )
        batch_id: int | None = await self._session.scalar(
            new.on_conflict_do_update(
                index_elements=["deployment_id", "activity"],
                set_={
                    "attempt": attempt, "worker": worker, "task_token": task_token, "ended_at": None,
                    "started_at": func.now(),
                },
                where=BatchRow.attempt <= attempt,
            ).returning(BatchRow.id)
        )  # fmt: skip
        if batch_id is None:
            raise StaleAttempt(f"attempt {attempt} of batch {activity} is over: a newer one took it")
        return Taken(
            id=batch_id,
            attempt=attempt,
            deployment_id=deployment_id,
            deployment_attempt=deployment.attempt,
            patch=Patch.model_validate(deployment.plan["patch"]),
            thresholds=Thresholds.model_validate(deployment.plan["thresholds"]),
        )

    async def end(self, batch_id: int, attempt: int) -> None:
        """Closes the batch. Hosts still in hand become UNKNOWN: nobody looks after them from here on."""
        batch = await self._session.get_one(BatchRow, batch_id)
        deployments = Deployments(self._session)
        await deployments.locked(batch.deployment_id)
        ended = await self._session.scalar(
            update(BatchRow)
            .where(BatchRow.id == batch_id, BatchRow.attempt == attempt)
            .values(ended_at=func.clock_timestamp())
            .returning(BatchRow.id)
        )
        if ended is not None:
            await deployments.lose(batch.deployment_id, "the batch ended without a word from this host", batch_id)

    async def open_ones(self) -> list[OpenBatch]:
        rows = await self._session.scalars(select(BatchRow).where(BatchRow.ended_at.is_(None)))
        return [_open(row) for row in rows]


def _open(row: BatchRow) -> OpenBatch:
    return OpenBatch(
        id=row.id, deployment_id=row.deployment_id, attempt=row.attempt, worker=row.worker, task_token=row.task_token
    )
