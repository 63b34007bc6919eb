"""A plan as a list of steps. A strategy is its planner and its steps; the engine that runs them is shared."""

from typing import Literal

from workflows.contracts.model import Contract
from workflows.contracts.plans import PlanSummary, Wave


class PatchWave(Contract):
    step: Literal["patch"] = "patch"
    wave: Wave


class WaitStep(Contract):
    """`seconds` of durable time, ended early by a promote that names `wait_id` or nothing."""

    step: Literal["wait"] = "wait"
    wait_id: str
    what: str
    seconds: float


Step = PatchWave | WaitStep


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
                )
            )
        steps.append(PatchWave(wave=wave))
    return tuple(steps)
