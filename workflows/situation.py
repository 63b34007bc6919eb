"""Where a deployment is: the one state of its workflow, serialisable, changed by the flow and by verbs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workflows.contracts.names import Control, DeploymentState, OnFailure
from workflows.contracts.plans import PlanSummary
from workflows.contracts.status import Status, Waiting, WaveStatus
from workflows.contracts.steps import Counts


@dataclass
class Wait:
    """A wait that stands still while paused. `since` is None while it stands; times in seconds."""

    wait_id: str
    what: str
    remaining: float
    since: datetime | None = None
    promoted: bool = False

    def left(self, now: datetime) -> float:
        spent = (now - self.since).total_seconds() if self.since else 0.0
        return max(0.0, self.remaining - spent)

    def stop(self, now: datetime) -> None:
        """Keeps what remains, to the microsecond."""
        self.remaining, self.since = self.left(now), None


@dataclass
class Situation:
    strategy: str
    deployment_id: int | None = None
    phase: DeploymentState = DeploymentState.QUEUED
    message: str = "waiting to be registered"
    control: Control = Control.RUN
    sequence: int = 0  # of verbs
    writes: int = 0  # of the state to the ledger
    pauses: int = 0
    paused_by: str = ""
    plan: PlanSummary | None = None
    wave_states: dict[int, str] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    as_of: datetime | None = None
    wait: Wait | None = None
    undo: bool = False  # somebody asked for a rollback
    spent: str | None = None  # the budget that ended the patching, as a sentence
    overshoot: int = 0  # failed hosts beyond the budget
    undone: OnFailure | None = None  # which hosts were put back
    deciding: bool = False  # a spent budget waits for a person
    full: bool = False  # somebody promoted fully: no later wait or gate holds

    @property
    def cancelling(self) -> bool:
        return self.control in (Control.STOP, Control.HALT) and not self.undo

    @property
    def ending(self) -> bool:
        """No further host is patched: somebody cancelled, or wants everything back."""
        return self.cancelling or self.undo

    @property
    def paused(self) -> bool:
        return self.control is Control.PAUSE

    @property
    def state(self) -> DeploymentState:
        """Paused covers whatever phase it holds, so that resuming needs no memory of where it was."""
        return DeploymentState.PAUSED if self.paused and not self.phase.is_result else self.phase

    @property
    def sentence(self) -> str:
        if not self.paused:
            return self.message
        # A wait that stands still has no end to tell; what is left of it is in `wait`.
        return f"paused by {self.paused_by}; it was: {self.wait.what if self.wait else self.message}"

    def count(self, counts: Counts, now: datetime) -> None:
        self.counts, self.as_of = counts, now

    def status(self, now: datetime) -> Status:
        plan, wait = self.plan, self.wait
        return Status(
            deployment_id=self.deployment_id,
            strategy=self.strategy,
            state=self.state,
            message=self.sentence,
            step=self._step(),
            patch=plan.patch if plan else "",
            plan_hash=plan.hash if plan else "",
            counts=self.counts,
            as_of=self.as_of,
            waves=tuple(
                WaveStatus(number=wave.number, hosts=wave.hosts, state=self.wave_states.get(wave.number, "pending"))
                for wave in (plan.waves if plan else ())
            ),
            thresholds=plan.thresholds if plan else None,
            waits_for=None
            if wait is None
            else Waiting(
                wait_id=wait.wait_id,
                what=wait.what,
                until=now + timedelta(seconds=wait.left(now)) if wait.since else None,
                remaining_seconds=wait.left(now),
            ),
            wait_id=wait.wait_id if wait else None,
        )

    def _step(self) -> str:
        running = [number for number, state in self.wave_states.items() if state == "running"]
        total = len(self.plan.waves) if self.plan else 0
        if self.wait:
            return self.wait.what
        return f"wave {running[-1]} of {total}" if running else self.phase.lower()

    def details(self, now: datetime) -> str:
        """Markdown for the Web UI: what an operator asks first. Short: the server keeps 20,000 bytes of it."""
        status = self.status(now)
        lines = [f"### {status.state}: {status.message}", ""]
        if self.plan:
            limits = self.plan.thresholds
            lines += [
                f"**Patch** {self.plan.patch} ({self.plan.severity}) on {self.plan.hosts} hosts, "
                f"plan `{self.plan.hash[:12]}`",
                "",
                f"**Stops at** {limits.max_failures} failed or {limits.max_unreachable} unreachable hosts; "
                f"{limits.max_concurrency} at once",
                "",
            ]
        if status.waits_for:
            until = status.waits_for.until
            when = (
                f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until else f"{status.waits_for.remaining_seconds:.0f} s left"
            )
            how = "resume it first" if self.paused else f"promote `{status.wait_id}` ends it"
            lines += [f"**Waits for** {status.waits_for.what}, {when} ({how})", ""]
        if status.counts.by_state:
            tally = ", ".join(f"{number} {state}" for state, number in sorted(status.counts.by_state.items()))
            lines += [f"**Hosts** {tally} (as of {status.as_of:%H:%M:%S} UTC)", ""]
        # A list, not a table: the Web UI sets a table's columns without any space between them.
        shown = [wave for wave in status.waves if wave.state != "pending"][-20:]
        lines += [f"- wave {wave.number} of {len(status.waves)}: {wave.hosts} hosts, {wave.state}" for wave in shown]
        return "\n".join(lines)
