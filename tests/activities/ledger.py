"""What the tests of the ledger share: hosts by the number, a frozen deployment, and each repository call as a
transaction of its own, as a worker makes them."""

from collections.abc import Sequence
from typing import Any

from activities.database.batches import Batches, Taken
from activities.database.claims import Claim, Claims
from activities.database.deployments import Deployments
from activities.database.inventory import Assets, Patches
from activities.database.session import Database
from workflows.contracts.inventory import AssetSpec, Package, PatchSpec
from workflows.contracts.model import Contract
from workflows.contracts.names import Control, DeploymentState, HostState, Kind, OnFailure, Verb, WorkflowType
from workflows.contracts.plans import Plan, Thresholds, Wave
from workflows.contracts.requests import DeploymentRequest
from workflows.contracts.steps import Counts, EnterState, RecordVerb, Register
from workflows.decisions.planning import plan_hash, waves

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5Yw0g0u0sQfQmGkY5p2m1mC0q6rT2c2v3l4n5o6p7q"
LIMITS = Thresholds(
    max_failures=2, max_unreachable=3, max_concurrency=3, min_healthy=0, host_timeout=300, on_failure=OnFailure.STOP
)


def spec(number: int, **changes: Any) -> AssetSpec:
    fields: dict[str, Any] = {
        "name": f"web-{number:03}", "address": "127.0.0.1", "port": 1, "platform": "debian", "labels": {"env": "lab"},
        "host_key": KEY, "credential": "file:/nowhere/key",
    }  # fmt: skip
    return AssetSpec.model_validate(fields | changes)


def patch(**changes: Any) -> PatchSpec:
    fields: dict[str, Any] = {"name": "acme-1.0.1", "cves": ("CVE-2024-12345",), "severity": "critical"}
    platforms = {"debian": Package(package="acme", version="1.0.1")}
    return PatchSpec.model_validate(fields | {"platforms": platforms} | changes)


async def store(database: Database, hosts: int) -> tuple[int, list[int]]:
    """The patch's id, and those of the assets web-001, web-002, ..."""
    async with database.transaction() as session:
        await Patches(session).store([patch()])
        await Assets(session).store([spec(number) for number in range(1, hosts + 1)])
        assets = [asset.id for asset in await Assets(session).all()][:hosts]
        return (await Patches(session).get("acme-1.0.1")).id, assets


class Frozen(Contract):
    """A deployment with a plan; `assets` in rollout order."""

    id: int
    assets: tuple[int, ...]


async def enqueue(database: Database, patch_id: int) -> int:
    request = {"patch_id": patch_id, "selector": "all", "requested_by": "ada"}
    async with database.transaction() as session:
        return await Deployments(session).enqueue(WorkflowType.ROLLING, request)


async def freeze(database: Database, patch_id: int, assets: Sequence[int], size: int | None, **limits: Any) -> Frozen:
    deployment = await enqueue(database, patch_id)
    cut: tuple[Wave, ...] = waves(len(assets), size or len(assets))
    async with database.transaction() as session:
        patch = await Patches(session).get(patch_id)
    plan = Plan(
        strategy="rolling", patch=patch, hosts=tuple(assets), waves=cut,
        thresholds=LIMITS.model_copy(update=limits),
    )  # fmt: skip
    async with database.transaction() as session:
        deployments = Deployments(session)
        await deployments.freeze(await deployments.locked(deployment), plan, plan_hash(plan), ["lab"])
    return Frozen(id=deployment, assets=tuple(assets))


async def a_deployment(database: Database, hosts: int = 4, wave: int | None = None, **limits: Any) -> Frozen:
    """Over web-001 to web-`hosts`, in waves of `wave`; `limits` are thresholds that differ from LIMITS."""
    patch_id, assets = await store(database, hosts)
    return await freeze(database, patch_id, assets, wave, **limits)


class Try:
    """One try of one batch, each step in a transaction of its own."""

    def __init__(self, database: Database, taken: Taken) -> None:
        self.database = database
        self.taken = taken
        self.kind = Kind.PATCH

    @classmethod
    async def take(cls, database: Database, deployment_id: int, attempt: int = 1, activity: str = "run/1") -> "Try":
        async with database.transaction() as session:
            taken = await Batches(session).take(deployment_id, activity, attempt, f"worker-{attempt}", b"token")
        return cls(database, taken)

    def _claims(self, session: Any) -> Claims:
        return Claims(session, self.taken.deployment_id, self.taken.id, self.taken.attempt, self.kind)

    async def remaining(self, offset: int = 0, limit: int = 200, broken_only: bool = False) -> list[int]:
        async with self.database.transaction() as session:
            return [host.asset.id for host in await self._claims(session).remaining(offset, limit, broken_only)]

    async def claim(self, asset_id: int, settling: bool = False) -> Claim:
        async with self.database.transaction() as session:
            return await self._claims(session).claim(asset_id, settling)

    async def fence(self, asset_id: int, settling: bool = False) -> int:
        claim = await self.claim(asset_id, settling)
        assert claim.fence is not None, f"the claim was not granted: {claim.decision}"
        return claim.fence

    async def settle(self, fence: int, state: HostState = HostState.SUCCEEDED, message: str = "patched") -> None:
        async with self.database.transaction() as session:
            await self._claims(session).settle(fence, state, message, {"version": "1.0.0"}, {"version": "1.0.1"})

    async def end(self) -> None:
        async with self.database.transaction() as session:
            await Batches(session).end(self.taken.id, self.taken.attempt)


async def counts(database: Database, deployment_id: int, first: int = 0, hosts: int | None = None) -> Counts:
    async with database.transaction() as session:
        return await Deployments(session).counts(deployment_id, first, hosts)


async def close(
    database: Database, deployment_id: int, state: DeploymentState = DeploymentState.SUCCEEDED, message: str = "done"
) -> None:
    async with database.transaction() as session:
        await Deployments(session).close(deployment_id, state, message)


def verb(deployment_id: int, sequence: int, which: Verb, control: Control, state: DeploymentState) -> RecordVerb:
    return RecordVerb(
        deployment_id=deployment_id, verb=which, sequence=sequence, write=sequence, control=control, state=state,
        by="ada", reason="", applied=True, message=f"{which} was heard", sentence=f"as {which} {sequence} left it",
    )  # fmt: skip


def entry(deployment_id: int, write: int, message: str) -> EnterState:
    return EnterState(deployment_id=deployment_id, write=write, state=DeploymentState.RUNNING, message=message)


def ask(patch_id: int, workflow_id: str, first_run_id: str = "first", run_id: str = "first") -> Register:
    request = DeploymentRequest(patch_id=patch_id, selector="all", requested_by="ada")
    return Register(
        workflow_id=workflow_id, first_run_id=first_run_id, run_id=run_id,
        strategy=WorkflowType.ROLLING, request=request,
    )  # fmt: skip


def word(claim: Claim) -> str:
    return claim.decision.answer.value


async def steer(database: Database, deployment_id: int, sequence: int, control: Control) -> None:
    async with database.transaction() as session:
        await Deployments(session).set_control(deployment_id, control, sequence)
