"""The ledger as a client sees it: reads, imports, and the one QUEUED row that a client writes."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from activities.database.deployments import Deployments
from activities.database.events import Event, Events
from activities.database.inventory import Assets, Imported, Patches
from activities.database.session import Database
from activities.database.views import DeploymentLine, DeploymentView, HostLine, Views
from workflows.contracts.inventory import Asset, AssetSpec, Patch, PatchSpec
from workflows.contracts.names import DeploymentState, WorkflowType
from workflows.contracts.plans import PlanHost
from workflows.contracts.requests import DeploymentRequest

EVENTS_AT_ONCE = 1000


class Ledger:
    """Each method is one transaction. All raise LedgerUnavailable where the database is away or has no tables."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, pool_size=2)

    async def __aenter__(self) -> "Ledger":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        """Raises LedgerUnavailable where nobody answers; tables are not needed."""
        async with self._database.transaction() as session:
            await session.connection()

    async def import_assets(self, specs: Sequence[AssetSpec]) -> Imported:
        async with self._database.transaction() as session:
            return await Assets(session).store(specs)

    async def import_patches(self, specs: Sequence[PatchSpec]) -> Imported:
        async with self._database.transaction() as session:
            return await Patches(session).store(specs)

    async def assets(self) -> list[Asset]:
        async with self._database.transaction() as session:
            return await Assets(session).all()

    async def asset(self, identity: str) -> Asset:
        """By id or name. Raises UnknownThing."""
        async with self._database.transaction() as session:
            return await Assets(session).get(identity)

    async def patches(self) -> list[Patch]:
        async with self._database.transaction() as session:
            return await Patches(session).all()

    async def patch(self, identity: str | int) -> Patch:
        """By id or name. Raises UnknownThing."""
        async with self._database.transaction() as session:
            return await Patches(session).get(identity)

    async def select(self, selector: str) -> list[PlanHost]:
        """Raises InvalidRequest, UnknownThing (an id nobody has) or EmptySelection."""
        async with self._database.transaction() as session:
            return await Assets(session).select(selector)

    async def by_ids(self, ids: Iterable[int]) -> list[PlanHost]:
        """Raises UnknownThing naming the first id that is not there."""
        async with self._database.transaction() as session:
            found = await Assets(session).by_ids(ids)
        return [PlanHost(asset_id=one.id, name=one.name, platform=one.platform, labels=one.labels) for one in found]

    @asynccontextmanager
    async def assets_for_planning(self) -> AsyncIterator[Assets]:
        """The inventory as the planner takes it, in one transaction."""
        async with self._database.transaction() as session:
            yield Assets(session)

    async def enqueue(self, strategy: WorkflowType, request: DeploymentRequest) -> int:
        """Writes the QUEUED row; its id names the workflow to start."""
        async with self._database.transaction() as session:
            return await Deployments(session).enqueue(strategy, request.model_dump(mode="json", exclude_none=True))

    async def reject(self, deployment_id: int, message: str) -> None:
        """Closes a row whose workflow could not be started. Claims are refused from here on, whoever asks."""
        async with self._database.transaction() as session:
            await Deployments(session).close(deployment_id, DeploymentState.REJECTED, message)

    async def deployments(self, active: bool = False, limit: int = 100) -> list[DeploymentLine]:
        async with self._database.transaction() as session:
            return await Views(session).deployments(active, limit)

    async def deployment(self, deployment_id: int) -> DeploymentView:
        """Raises UnknownThing."""
        async with self._database.transaction() as session:
            return await Views(session).deployment(deployment_id)

    async def hosts(self, deployment_id: int) -> list[HostLine]:
        async with self._database.transaction() as session:
            return await Views(session).hosts(deployment_id)

    async def events(self, deployment_id: int, after: int = 0, limit: int = EVENTS_AT_ONCE) -> Sequence[Event]:
        """Oldest first, with an offset above `after`."""
        async with self._database.transaction() as session:
            return await Events(session).read(deployment_id, after, limit)
