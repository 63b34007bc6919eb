"""A plan as a list of steps. A strategy is its planner and its steps; the engine that runs them is shared."""

from typing import Literal

from workflows.contracts.model import Contract
from workflows.contracts.plans import PlanSummary, Wave


class PatchWave(Contract):
    step: Literal["patch"] = "patch"
    wave: Wave


class WaitStep(Contract):
    """`seconds` of durable time, ended early by a promote that names `wait_id` or nothing.

    `probing`: all patched hosts are probed again and again meanwhile. At the end those of wave `wave` are probed once:
    a host that fell ill counts as failed, and may end the deployment before the next wave is taken.
    """

    step: Literal["wait"] = "wait"
    wait_id: str
    what: str
    seconds: float
    wave: int
    probing: bool = False


class GateStep(Contract):
    """Nothing goes on before a person promotes."""

    step: Literal["gate"] = "gate"
    wait_id: str
    what: str


Step = PatchWave | WaitStep | GateStep


def all_at_once_steps(plan: PlanSummary) -> tuple[Step, ...]:
    return tuple(PatchWave(wave=wave) for wave in plan.waves)


def canary_steps(plan: PlanSummary) -> tuple[Step, ...]:
    """Each stage is watched before the next; where promotion is by hand, a gate follows its monitoring."""
    steps: list[Step] = []
    for wave in plan.waves:
        steps.append(PatchWave(wave=wave))
        if wave.number == len(plan.waves):
            break
        of = f"stage {wave.number} of {len(plan.waves)}"
        if plan.monitoring > 0:
            steps.append(
                WaitStep(
                    wait_id=f"monitor-stage-{wave.number}", what=f"the monitoring of {of}",
                    seconds=plan.monitoring, wave=wave.number, probing=True,
                )
            )  # fmt: skip
        if not plan.auto_promote:
            steps.append(GateStep(wait_id=f"gate-stage-{wave.number}", what=f"a promote after {of}"))
    return tuple(steps)


def rolling_steps(plan: PlanSummary) -> tuple[Step, ...]:
    """Wave, wait, wave, ... : no wait after the last."""
    steps: list[Step] = []
    for wave in plan.waves:
        if wave.number > 1 and plan.wait_seconds > 0:
            before = wave.number - 1
            steps.append(
                WaitStep(
                    wait_id=f"after-wave-{before}",
                    what=f"the wait after wave {before} of {len(plan.waves)}",
                    seconds=plan.wait_seconds,
                    wave=before,
                )
            )
        steps.append(PatchWave(wave=wave))
    return tuple(steps)
