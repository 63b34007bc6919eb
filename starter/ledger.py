"""The ledger as a client sees it: reads, imports, and the one QUEUED row that a client writes."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING

from activities.database.listening import Listener, Reader
from activities.database.views import DeploymentLine, DeploymentView, HostFact, HostLine, LogLine, Views
from starter.choosing import choose
from workflows.contracts.errors import UnknownThing
from workflows.contracts.inventory import Asset, AssetSpec, Patch, PatchSpec
from workflows.contracts.names import DeploymentState, HostState, WorkflowType
from workflows.contracts.requests import DeploymentRequest

if TYPE_CHECKING:
    from activities.database.inventory import Imported
    from activities.database.session import Database

EVENTS_AT_ONCE = 1000
_PUT_BACK = {
    HostState.ROLLED_BACK: "put back",
    HostState.ROLLBACK_FAILED: "not put back",
    HostState.SUPERSEDED: "left alone",
}


class Ledger:
    """Each method is one transaction. All raise LedgerUnavailable where the database is away or has no tables.

    What reads goes over a plain connection: what writes needs SQLAlchemy, which takes longer to load than most commands
    take to run.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._reader = Reader(url)
        self._views = Views(self._reader)
        self._writer: Database | None = None

    async def __aenter__(self) -> "Ledger":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._reader.close()
        if self._writer is not None:
            await self._writer.close()

    async def ping(self) -> None:
        """Raises LedgerUnavailable where nobody answers; tables are not needed."""
        await self._reader.rows("select 1")

    async def import_assets(self, specs: Sequence[AssetSpec]) -> "Imported":
        from activities.database.inventory import Assets

        async with self._database.transaction() as session:
            return await Assets(session).store(specs)

    async def import_patches(self, specs: Sequence[PatchSpec]) -> "Imported":
        from activities.database.inventory import Patches

        async with self._database.transaction() as session:
            return await Patches(session).store(specs)

    async def assets(self) -> list[Asset]:
        return await self._views.assets()

    async def asset(self, identity: str) -> Asset:
        """By id or name. Raises UnknownThing."""
        return await self._views.asset(identity)

    async def patches(self) -> list[Patch]:
        return await self._views.patches()

    async def patch(self, identity: str | int) -> Patch:
        """By id or name. Raises UnknownThing."""
        return await self._views.patch(identity)

    async def select(self, selector: str) -> list[Asset]:
        """Raises InvalidRequest, UnknownThing (an id nobody has) or EmptySelection."""
        return choose(selector, await self._views.assets()).chosen

    async def by_ids(self, ids: Iterable[int]) -> list[Asset]:
        """Raises UnknownThing naming the first id that is not there."""
        known = {asset.id: asset for asset in await self._views.assets()}
        wanted = list(dict.fromkeys(ids))
        if missing := next((asset_id for asset_id in wanted if asset_id not in known), None):
            raise UnknownThing("asset", missing)
        return [known[asset_id] for asset_id in wanted]

    async def facts(self, patch: Patch, assets: Sequence[Asset]) -> dict[int, HostFact]:
        """What is stored of hosts that `patch` is meant for, by asset id."""
        return await self._views.facts(patch.id, [asset.id for asset in assets])

    async def enqueue(self, strategy: WorkflowType, request: DeploymentRequest) -> int:
        """Writes the QUEUED row; its id names the workflow to start."""
        from activities.database.deployments import Deployments

        async with self._database.transaction() as session:
            return await Deployments(session).enqueue(strategy, request.model_dump(mode="json", exclude_none=True))

    async def reject(self, deployment_id: int, message: str) -> None:
        """Closes a row whose workflow could not be started. Claims are refused from here on, whoever asks."""
        from activities.database.deployments import Deployments

        async with self._database.transaction() as session:
            await Deployments(session).close(deployment_id, DeploymentState.REJECTED, message)

    async def deployments(self, active: bool = False, limit: int = 100) -> list[DeploymentLine]:
        return await self._views.deployments(active, limit)

    async def deployment(self, deployment_id: int) -> DeploymentView:
        """Raises UnknownThing."""
        return await self._views.deployment(deployment_id)

    async def hosts(self, deployment_id: int) -> list[HostLine]:
        """In rollout order. A host that failed and was put back tells of both: its last run knows the latter alone."""
        hosts = await self._views.hosts(deployment_id)
        if not any(host.state in _PUT_BACK for host in hosts):
            return hosts
        failed = {
            line.host: line.message
            async for line in self.events(deployment_id, failed=True)
            if line.kind == "host" and (line.data or {}).get("state") == HostState.FAILED
        }
        return [
            host.model_copy(update={"message": f"{failed[host.name]}; {_PUT_BACK[host.state]}: {host.message}"})
            if host.state in _PUT_BACK and host.name in failed
            else host
            for host in hosts
        ]

    async def events(
        self, deployment_id: int, after: int = 0, hosts: Sequence[str] = (), failed: bool = False
    ) -> AsyncIterator[LogLine]:
        """All with an offset above `after`, oldest first; `hosts` and `failed` as in Views.log."""
        while True:
            lines = await self._views.log(deployment_id, after, EVENTS_AT_ONCE, hosts, failed)
            for line in lines:
                yield line
            if len(lines) < EVENTS_AT_ONCE:
                return
            after = lines[-1].offset

    def listener(self, deployment_id: int) -> Listener:
        """For who follows a deployment; close it."""
        return Listener(self._url, deployment_id)

    @property
    def _database(self) -> "Database":
        from activities.database.session import Database

        if self._writer is None:
            self._writer = Database(self._url, pool_size=2)
        return self._writer
