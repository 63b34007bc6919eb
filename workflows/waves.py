"""The step runner: patches waves and waits in between, inside the strategy's own workflow."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import reduce
from operator import add

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import ports
    from workflows.contracts.names import DeploymentState, HostState
    from workflows.contracts.plans import Wave
    from workflows.contracts.steps import BATCH_LIMIT, ApplyBatch, Counts, ProbeWave, WaveCounts
    from workflows.decisions.claims import spent_budget
    from workflows.decisions.steps import PatchWave, Step, WaitStep
    from workflows.situation import Situation, Wait

# One workflow task that schedules a thousand activities makes the server end the workflow.
BATCHES_AT_ONCE = 4


class Waves:
    def __init__(
        self,
        now: Situation,
        enter: Callable[[DeploymentState, str], Awaitable[None]],
        show: Callable[[], None],
    ) -> None:
        assert now.plan is not None and now.deployment_id is not None
        self._now, self._enter, self._show = now, enter, show
        self._plan, self._deployment_id = now.plan, now.deployment_id

    async def run(self, steps: tuple[Step, ...]) -> None:
        """Runs steps until all are done, a budget is spent or the deployment is cancelled."""
        for step in steps:
            if self._over():
                return
            match step:
                case PatchWave(wave=wave):
                    await self._patch(wave)
                case WaitStep():
                    await self._wait(step)

    def _over(self) -> bool:
        return self._now.cancelling or spent_budget(self._now.counts, self._plan.thresholds) is not None

    async def _patch(self, wave: Wave) -> None:
        of = f"wave {wave.number} of {len(self._plan.waves)}"
        left_before = wave.hosts
        while True:
            await workflow.wait_condition(lambda: not self._now.paused)
            if self._now.cancelling:
                return
            pauses = self._now.pauses
            self._now.wave_states[wave.number] = "running"
            await self._enter(DeploymentState.RUNNING, f"patching {of}, {wave.hosts} hosts")
            done = await self._apply(wave, of)
            left = done.of(HostState.PENDING)
            # Claims said no to the hosts that are left: for a pause, which ends, or because hosts beside them were
            # broken for a while. Where nothing moved and nobody paused, they will say no for good.
            if not left or self._over() or (left == left_before and pauses == self._now.pauses):
                break
            left_before = left
        if done.of(HostState.SUCCEEDED):
            probed = await ports.PROBE_WAVE.call(
                ProbeWave(deployment_id=self._deployment_id, wave=wave.number), f"probe the patched hosts of {of}"
            )
            self._now.count(probed.deployment, workflow.now())
        self._now.wave_states[wave.number] = "stopped" if self._over() else "done"
        self._show()

    async def _apply(self, wave: Wave, of: str) -> Counts:
        gate = asyncio.Semaphore(BATCHES_AT_ONCE)

        async def one(offset: int) -> WaveCounts:
            limit = min(BATCH_LIMIT, wave.first + wave.hosts - offset)
            part = (
                "" if wave.hosts <= BATCH_LIMIT else f", hosts {offset - wave.first + 1}-{offset - wave.first + limit}"
            )
            async with gate:
                batch = ApplyBatch(deployment_id=self._deployment_id, wave=wave.number, offset=offset, limit=limit)
                done = await ports.APPLY_BATCH.call(batch, f"{of}: patch {limit} hosts{part}")
                self._now.count(done.deployment, workflow.now())
                self._show()
                return done

        parts = range(wave.first, wave.first + wave.hosts, BATCH_LIMIT)
        results = await asyncio.gather(*(one(offset) for offset in parts))
        return reduce(add, (result.asked for result in results))

    async def _wait(self, step: WaitStep) -> None:
        """A durable wait that stands still while paused and keeps its remaining time to the second (rule 11)."""
        now = self._now
        wait = now.wait = Wait(wait_id=step.wait_id, what=step.what, remaining=step.seconds)
        until = workflow.now() + timedelta(seconds=step.seconds)
        await self._enter(DeploymentState.WAITING, f"{step.what}, until {until:%H:%M:%S} UTC")
        while wait.remaining > 0 and not wait.promoted and not now.cancelling:
            await workflow.wait_condition(lambda: not now.paused)
            if now.cancelling or wait.promoted:
                break
            wait.since = workflow.now()
            self._show()
            try:
                await workflow.wait_condition(
                    lambda: now.paused or wait.promoted or now.cancelling,
                    timeout=timedelta(seconds=wait.remaining), timeout_summary=step.what,
                )  # fmt: skip
            except TimeoutError:
                break
            wait.stop(workflow.now())
        now.wait = None
        self._show()
