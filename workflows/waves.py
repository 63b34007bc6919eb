"""The step runner: patches waves and waits in between, inside the strategy's own workflow."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import reduce
from operator import add

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import ports
    from workflows.contracts.names import DeploymentState, HostState, Kind
    from workflows.contracts.plans import Wave
    from workflows.contracts.steps import BATCH_LIMIT, ApplyBatch, Counts, ProbeWave, WaveCounts
    from workflows.decisions.claims import BROKEN, CHANGED, spent_budget
    from workflows.decisions.steps import GateStep, PatchWave, Step, WaitStep
    from workflows.situation import Situation, Wait

# One workflow task that schedules a thousand activities makes the server end the workflow.
BATCHES_AT_ONCE = 4
WORDS = {Kind.PATCH: "patch", Kind.ROLLBACK: "roll back"}
PROBE_EVERY = 60.0  # seconds between two looks at the patched hosts of a canary


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
                case GateStep():
                    await self._gate(step)

    def _over(self) -> bool:
        return self._now.ending or spent_budget(self._now.counts, self._plan.thresholds) is not None

    async def _patch(self, wave: Wave) -> None:
        of = f"wave {wave.number} of {len(self._plan.waves)}"
        left_before = wave.hosts
        while True:
            await workflow.wait_condition(lambda: not self._now.paused)
            if self._now.ending:
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
        self._now.wave_states[wave.number] = "stopped" if self._over() else "done"
        self._show()

    async def roll_back(self, broken_only: bool) -> None:
        """Puts hosts back to what they ran, the last wave first and without waits (rule 19)."""
        begun = [wave for wave in self._plan.waves if wave.number in self._now.wave_states]
        which = "the broken hosts" if broken_only else "every changed host"
        for wave in reversed(begun):
            of = f"wave {wave.number} of {len(self._plan.waves)}"
            while True:
                await workflow.wait_condition(lambda: not self._now.paused)
                pauses = self._now.pauses
                await self._enter(DeploymentState.ROLLING_BACK, f"putting {which} of {of} back")
                done = await self._apply(wave, of, Kind.ROLLBACK, broken_only)
                # As in a wave that is patched: a pause sends hosts away, which must still go back after it.
                if pauses == self._now.pauses or not done.of(*(BROKEN if broken_only else CHANGED)):
                    break
            self._now.wave_states[wave.number] = "rolled back"
            self._show()

    async def _apply(self, wave: Wave, of: str, kind: Kind = Kind.PATCH, broken_only: bool = False) -> Counts:
        gate = asyncio.Semaphore(BATCHES_AT_ONCE)

        async def one(offset: int) -> WaveCounts:
            limit = min(BATCH_LIMIT, wave.first + wave.hosts - offset)
            part = (
                "" if wave.hosts <= BATCH_LIMIT else f", hosts {offset - wave.first + 1}-{offset - wave.first + limit}"
            )
            async with gate:
                batch = ApplyBatch(
                    deployment_id=self._deployment_id, wave=wave.number, offset=offset, limit=limit, kind=kind,
                    broken_only=broken_only,
                )  # fmt: skip
                done = await ports.APPLY_BATCH.call(batch, f"{of}: {WORDS[kind]} {limit} hosts{part}")
                self._now.count(done.deployment, workflow.now())
                self._show()
                return done

        parts = range(wave.first, wave.first + wave.hosts, BATCH_LIMIT)
        results = await asyncio.gather(*(one(offset) for offset in parts))
        return reduce(add, (result.asked for result in results))

    async def _wait(self, step: WaitStep) -> None:
        """A durable wait that stands still while paused and keeps its remaining time to the second (rule 11)."""
        now = self._now
        wait = now.wait = Wait(wait_id=step.wait_id, what=step.what, remaining=step.seconds, promoted=now.full)
        await self._enter(DeploymentState.WAITING, self._until(wait))
        while wait.remaining > 0 and not wait.promoted and not self._over():
            await workflow.wait_condition(lambda: not now.paused)
            if now.ending or wait.promoted:
                break
            now.message = self._until(wait)  # a pause has moved the end
            wait.since = workflow.now()
            self._show()
            # An answer of a probe comes between two timers, so nothing but the clock and people end a wait early.
            seconds = min(wait.remaining, PROBE_EVERY) if step.probing else wait.remaining
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: now.paused or wait.promoted or now.ending,
                    timeout=timedelta(seconds=seconds), timeout_summary=step.what,
                )  # fmt: skip
            if step.probing and not now.paused:
                await self._probe(None, "probe all patched hosts")
            wait.stop(workflow.now())
        now.wait = None
        self._show()
        if not step.probing and not now.ending:
            await self._probe(step.wave, f"probe the hosts of wave {step.wave} before the next")

    @staticmethod
    def _until(wait: Wait) -> str:
        end = workflow.now() + timedelta(seconds=wait.remaining)
        return f"{wait.what}, until {end:%Y-%m-%d %H:%M:%S} UTC"

    async def _gate(self, step: GateStep) -> None:
        now = self._now
        wait = now.wait = Wait(wait_id=step.wait_id, what=step.what, remaining=0, promoted=now.full)
        await self._enter(DeploymentState.GATED, f"waits for {step.what}")
        await workflow.wait_condition(lambda: now.ending or (wait.promoted and not now.paused))
        now.wait = None
        self._show()

    async def _probe(self, wave: int | None, summary: str) -> None:
        probed = await ports.PROBE_WAVE.call(ProbeWave(deployment_id=self._deployment_id, wave=wave), summary)
        self._now.count(probed.deployment, workflow.now())
