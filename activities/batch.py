"""One try of one batch: Ansible asks for each host, and each host's outcome is in the ledger the moment it is told."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from temporalio import activity

from activities.ansible.claims import ClaimServer, No, Start
from activities.ansible.job import Finished, Job, JobHost, Outcome, Started, TaskEvent
from activities.ansible.launching import Launch
from activities.ansible.runner import BatchRun
from activities.database.batches import Taken
from activities.database.claims import Claims
from activities.database.session import Database, Session
from activities.story import Story
from workflows.contracts.errors import LedgerUnavailable, StaleAttempt
from workflows.contracts.inventory import Asset
from workflows.contracts.names import HostState, Kind
from workflows.decisions.claims import Answer

# How long a claim that has to wait sleeps unless a host of this batch ends first: other workers' hosts count as well.
LOOK_AGAIN = 0.25
DATABASE_AGAIN = 0.5


class BatchTry:
    """`lost` holds, after a run, the hosts that were claimed and whose end nobody knows."""

    def __init__(
        self,
        database: Database,
        taken: Taken,
        run_dir: Path,
        launch: Launch,
        draining: asyncio.Event,
        kind: Kind = Kind.PATCH,
    ) -> None:
        self._database = database
        self._taken = taken
        self._run_dir = run_dir
        self._launch = launch
        self._draining = draining
        self._kind = kind
        self._freed = asyncio.Event()
        self._assets: dict[str, Asset] = {}
        self._fences: dict[str, int] = {}
        self._again: set[str] = set()
        self._settling = False
        self.lost: list[Asset] = []

    async def run(self, assets: Sequence[Asset], settling: bool = False) -> None:
        """One Ansible run over `assets`. `settling`: they were lost by this same try, which asks once more."""
        self._assets = {asset.name: asset for asset in assets}
        self._settling = settling
        self.lost = []
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=f"b{self._taken.id}-", dir=self._run_dir))
        socket = str(directory.with_suffix(".sock"))
        job = _job(self._taken, self._kind, assets, directory, socket)
        async with (
            ClaimServer(socket, self._ask),
            Story(self._database, self._taken.deployment_id) as story,
            BatchRun(job, self._launch) as run,
        ):
            async for line in run:
                match line:
                    case Started():
                        pass
                    case TaskEvent():
                        story.tell(self._assets[line.host].id, line)
                    case Outcome():
                        await self._settle(line)
                    case Finished() if line.status != "successful":
                        activity.logger.info("Ansible ended as %s: %s", line.status, line.detail)

    async def _ask(self, host: str) -> Start | No:
        """The gate. Held back while it has to wait, and while the database is away: nothing starts unseen."""
        unheard = False  # a claim may have been granted in the moment the connection was lost
        while True:
            self._freed.clear()
            if self._draining.is_set():
                return No(reason="the worker is stopping")
            try:
                async with self._database.transaction() as session:
                    claim = await self._claims(session).claim(self._assets[host].id, self._settling or unheard)
            except LedgerUnavailable as error:
                unheard = True
                activity.logger.warning("claims wait: %s", error)
                await asyncio.sleep(DATABASE_AGAIN)
                continue
            match claim.decision.answer:
                case Answer.START:
                    assert claim.fence is not None
                    self._fences[host] = claim.fence
                    if claim.again:
                        self._again.add(host)
                    return Start(fence=claim.fence)
                case Answer.NO:
                    return No(reason=claim.decision.reason)
            try:
                await asyncio.wait_for(self._freed.wait(), LOOK_AGAIN)
            except TimeoutError:
                continue

    async def _settle(self, outcome: Outcome) -> None:
        fence = self._fences.get(outcome.host)
        if fence is None or outcome.state == "NOT_CLAIMED":
            return
        state = _state(outcome, self._kind)
        if state is HostState.UNREACHABLE and outcome.host in self._again:
            # This run never got in, but the one before it may have: until a look, nobody knows.
            state = HostState.UNKNOWN
        if state is HostState.UNKNOWN:
            self.lost.append(self._assets[outcome.host])
        while True:
            try:
                async with self._database.transaction() as session:
                    await self._claims(session).settle(fence, state, outcome.message, outcome.before, outcome.after)
                break
            except StaleAttempt as error:
                activity.logger.warning("%s: outcome %s refused: %s", outcome.host, state, error)
                break
            except LedgerUnavailable as error:
                # The host's own record has it too, should this worker die before the database is back.
                activity.logger.warning("outcome of %s waits: %s", outcome.host, error)
                await asyncio.sleep(DATABASE_AGAIN)
        self._freed.set()

    def _claims(self, session: Session) -> Claims:
        return Claims(session, self._taken.deployment_id, self._taken.id, self._taken.attempt, self._kind)


def _state(outcome: Outcome, kind: Kind) -> HostState:
    """The host's state that this outcome means, by the way the host was taken."""
    if kind is Kind.PATCH:
        return HostState(outcome.state)
    if outcome.superseded:
        return HostState.SUPERSEDED
    match outcome.state:
        case "SUCCEEDED" | "SKIPPED":
            return HostState.ROLLED_BACK
        case "UNKNOWN":
            return HostState.UNKNOWN
    return HostState.ROLLBACK_FAILED


def _job(taken: Taken, kind: Kind, assets: Sequence[Asset], directory: Path, socket: str) -> Job:
    return Job(
        batch=f"d{taken.deployment_id}-b{taken.id}-t{taken.attempt}",
        deployment=taken.deployment_id,
        attempt=taken.deployment_attempt,
        kind=kind.value,
        directory=str(directory),
        claim_socket=socket,
        forks=min(taken.thresholds.max_concurrency, len(assets)),
        host_timeout=taken.thresholds.host_timeout,
        hosts=tuple(_host(taken, kind, asset) for asset in assets),
    )


def _host(taken: Taken, kind: Kind, asset: Asset) -> JobHost:
    package = taken.patch.platforms[asset.platform]
    service = taken.patch.service
    return JobHost(
        name=asset.name,
        address=asset.address,
        port=asset.port,
        user=asset.user,
        host_key=" ".join(asset.host_key.split()[:2]),
        credential=asset.credential,
        become=asset.user != "root",
        package=package.package,
        # What a host goes back to is what it recorded itself, before its first change.
        version=package.version if kind is Kind.PATCH else None,
        service=service,
        probe=next((each.probe for each in asset.services if each.name == service and each.probe), None),
    )
