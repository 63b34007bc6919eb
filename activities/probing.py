"""The activities that look at hosts without changing them: can they be reached, are they well."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import httpx
from temporalio import activity

from activities.database.deployments import Deployments
from activities.database.hosts import PlannedHosts
from activities.database.session import Database
from activities.reaching import Unreachable, connect, each, reach
from workflows import ports
from workflows.contracts.inventory import Asset, HttpProbe
from workflows.contracts.names import HostState
from workflows.contracts.steps import CheckResult, DeploymentRef, ProbeWave, WaveCounts

BETWEEN_TRIES = 1.0


class ProbingActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name=ports.CHECK_CONNECTIVITY.name)
    async def check_connectivity(self, ref: DeploymentRef) -> CheckResult:
        """Connects to every planned host that has no state yet; who cannot be reached is UNREACHABLE (rule 6)."""
        async with self._database.transaction() as session:
            pending = await PlannedHosts(session, ref.deployment_id).in_state(None)
        trouble = await _each(pending, reach)
        async with self._database.transaction() as session:
            hosts = PlannedHosts(session, ref.deployment_id)
            for asset, why in trouble:
                await hosts.mark(asset, HostState.UNREACHABLE, f"not reached: {why}")
            counts = await Deployments(session).counts(ref.deployment_id)
        lost = counts.of(HostState.UNREACHABLE)
        example = next((f", e.g. {asset.name}: {why}" for asset, why in trouble), "")
        return CheckResult(counts=counts, message=f"{lost} hosts cannot be reached{example}")

    @activity.defn(name=ports.PROBE_WAVE.name)
    async def probe_wave(self, ask: ProbeWave) -> WaveCounts:
        """Probes the services of patched hosts from the hosts themselves; who is not well is FAILED.

        A host that cannot be reached for its probe stays as it is: its patch and its own probe are recorded, and a
        cut network is no failure of the patch.
        """
        async with self._database.transaction() as session:
            patched = await PlannedHosts(session, ask.deployment_id).in_state(HostState.SUCCEEDED, ask.wave)
        trouble = await _each(patched, probe)
        async with self._database.transaction() as session:
            hosts = PlannedHosts(session, ask.deployment_id)
            for asset, why in trouble:
                await hosts.mark(asset, HostState.FAILED, why)
            deployments = Deployments(session)
            counts = await deployments.counts(ask.deployment_id)
            asked = counts if ask.wave is None else await deployments.wave_counts(ask.deployment_id, ask.wave)
            return WaveCounts(asked=asked, deployment=counts)


async def _each(assets: Sequence[Asset], look: Callable[[Asset], Awaitable[str | None]]) -> list[tuple[Asset, str]]:
    """Looks at all, some at once; answers with those that are in trouble and why, in the order given."""
    answers: dict[int, str | None] = {}
    async with aclosing(each(assets, look)) as looks:
        async for looked in looks:
            answers[looked.asset.id] = looked.answer
            activity.heartbeat(len(answers))
    return [(asset, why) for asset in assets if (why := answers[asset.id]) is not None]


async def probe(asset: Asset) -> str | None:
    """None when every probe of the asset's services is good, else which was not and why."""
    probes = [(service.name, service.probe) for service in asset.services if service.probe]
    if not probes:
        return None
    try:
        async with connect(asset) as connection:
            for service, wanted in probes:
                # Through the session, so that a service which listens on the host's loopback alone is seen as well.
                listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", wanted.port)
                try:
                    if why := await _http(listener.get_port(), wanted):
                        return f"health probe of {service} on port {wanted.port}{wanted.path}: {why}"
                finally:
                    listener.close()
    except Unreachable as error:
        activity.logger.warning("%s could not be probed: %s", asset.name, error)
    return None


async def _http(port: int, wanted: HttpProbe) -> str | None:
    """Asks until the answer is good or the probe's timeout (seconds) is over; then what the last answer was."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wanted.timeout
    # verify=False: this is plain HTTP inside the SSH session, and loading certificates would cost 30 ms a host.
    async with httpx.AsyncClient(timeout=wanted.timeout, trust_env=False, verify=False) as client:
        while True:
            try:
                status = (await client.get(f"http://127.0.0.1:{port}{wanted.path}")).status_code
                why = None if status == wanted.status else f"answered {status} instead of {wanted.status}"
            except httpx.HTTPError as error:
                why = f"no answer ({type(error).__name__})"
            if why is None or loop.time() + BETWEEN_TRIES > until:
                return f"{why} for {wanted.timeout:.0f} s" if why else None
            await asyncio.sleep(BETWEEN_TRIES)
