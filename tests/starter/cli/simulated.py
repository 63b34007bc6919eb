"""Hosts that are only names behind the real workflow and the real ledger: what a client meets, without any machine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.database.batches import Batches
from activities.database.claims import Claims
from activities.database.deployments import Deployments
from activities.database.session import Database
from workers.registry import build
from workers.settings import Settings
from workflows import ports
from workflows.contracts.inventory import AssetSpec, PatchSpec
from workflows.contracts.names import HostState, Kind, Queue
from workflows.contracts.steps import ApplyBatch, CheckResult, Counts, DeploymentRef, ProbeWave, WaveCounts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0w"
PATCH = PatchSpec.model_validate(
    {"name": "acme-1.0.1", "platforms": {"debian": {"package": "acme", "version": "1.0.1"}}, "cves": ["CVE-2024-12345"]}
)


def assets(number: int, platform: str = "debian") -> list[AssetSpec]:
    return [
        AssetSpec(
            name=f"web{index}", address="10.0.0.1", platform=platform, host_key=KEY, credential="agent",
            labels={"env": "prod", "zone": "abc"[index % 3]},
        )
        for index in range(1, number + 1)
    ]  # fmt: skip


class Hosts:
    """`fails`: names whose patch fails; `stuck`: that cannot be put back. `gate`: a host ends only while it is set."""

    def __init__(
        self, database: Database, fails: frozenset[str] = frozenset(), stuck: frozenset[str] = frozenset()
    ) -> None:
        self._database = database
        self._fails = fails
        self._stuck = stuck
        self.gate = asyncio.Event()
        self.gate.set()

    @activity.defn(name=ports.CHECK_CONNECTIVITY.name)
    async def check(self, ref: DeploymentRef) -> CheckResult:
        return CheckResult(counts=await self._counts(ref.deployment_id), message="all answer")

    @activity.defn(name=ports.APPLY_BATCH.name)
    async def apply(self, ask: ApplyBatch) -> WaveCounts:
        info = activity.info()
        async with self._database.transaction() as session:
            taken = await Batches(session).take(ask.deployment_id, info.activity_id, info.attempt, "here", b"t")
            claims = Claims(session, ask.deployment_id, taken.id, info.attempt, ask.kind)
            hosts = await claims.remaining(ask.offset, ask.limit, ask.broken_only)
        for host in hosts:
            async with self._database.transaction() as session:
                claims = Claims(session, ask.deployment_id, taken.id, info.attempt, ask.kind)
                claim = await claims.claim(host.asset.id)
            if claim.fence is None:
                continue
            while not self.gate.is_set():
                activity.heartbeat()
                await asyncio.wait([asyncio.create_task(self.gate.wait())], timeout=1)
            state, said, before, after = self._outcome(host.asset.name, ask.kind)
            async with self._database.transaction() as session:
                await Claims(session, ask.deployment_id, taken.id, info.attempt, ask.kind).settle(
                    claim.fence, state, said, {"version": before}, {"version": after}
                )
        async with self._database.transaction() as session:
            await Batches(session).end(taken.id, info.attempt)
            asked = await Deployments(session).counts(ask.deployment_id, ask.offset, ask.limit)
        return WaveCounts(asked=asked, deployment=await self._counts(ask.deployment_id))

    @activity.defn(name=ports.PROBE_WAVE.name)
    async def probe(self, ask: ProbeWave) -> WaveCounts:
        counts = await self._counts(ask.deployment_id)
        return WaveCounts(asked=counts, deployment=counts)

    def _outcome(self, name: str, kind: Kind) -> tuple[HostState, str, str, str]:
        """State, sentence, and the versions before and after."""
        if kind is Kind.ROLLBACK and name in self._stuck:
            return HostState.ROLLBACK_FAILED, "acme 1.0.0 is gone from its repository", "1.0.1", "1.0.1"
        if kind is Kind.ROLLBACK:
            return HostState.ROLLED_BACK, "acme is at 1.0.0 again", "1.0.1", "1.0.0"
        if name in self._fails:
            return HostState.FAILED, "/health answers 500", "1.0.0", "1.0.0"
        return HostState.SUCCEEDED, "acme is at 1.0.1", "1.0.0", "1.0.1"

    async def _counts(self, deployment_id: int) -> Counts:
        async with self._database.transaction() as session:
            return await Deployments(session).counts(deployment_id)

    @property
    def activities(self) -> list[Callable[..., Any]]:
        return [self.check, self.apply, self.probe]


@asynccontextmanager
async def serving(client: Client, database: Database, hosts: Hosts) -> AsyncIterator[None]:
    """The real workers for workflows and ledger, and these hosts where Ansible would be."""
    settings = Settings(database_url="unused", queues=(Queue.WORKFLOWS, Queue.CONTROL))
    async with AsyncExitStack() as stack:
        for worker in build(client, database, settings):
            await stack.enter_async_context(worker)
        await stack.enter_async_context(Worker(client, task_queue=Queue.ANSIBLE, activities=hosts.activities))
        yield
