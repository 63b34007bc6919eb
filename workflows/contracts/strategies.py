"""Strategy parameters, with the user's own names and defaults (durations in seconds)."""

import math
from fractions import Fraction
from typing import Any

from pydantic import Field, field_validator, model_validator

from workflows.contracts.errors import InvalidRequest
from workflows.contracts.model import Contract
from workflows.contracts.names import OnFailure, WorkflowType


class Size(Contract):
    """How many hosts: a share of the plan, or a count. Exactly one is set."""

    share: str | None = None  # an exact fraction, "1/5"; a float would make 0.29 of 100 hosts 28
    count: int | None = None

    def _exactly(self, total: int) -> Fraction:
        return Fraction(self.count) if self.count is not None else Fraction(self.share or "0") * total

    def floored(self, total: int) -> int:
        """Of `total` hosts, as the size of a wave: at least 1, at most all (rule 2)."""
        return min(max(math.floor(self._exactly(total)), 1), total)

    def ceiled(self, total: int) -> int:
        """Of `total` hosts, as a safety floor: never fewer than was asked (rule 2)."""
        return math.ceil(self._exactly(total))

    @classmethod
    def parse(cls, value: Any) -> "Size":
        """From 0.2, "20%" or "4 hosts". Raises ValueError saying what to write instead."""
        if isinstance(value, cls):
            return value
        if isinstance(value, dict):
            return cls.model_validate(value)
        how = "write a fraction between 0 and 1 (0.2), a percentage ('20%') or a count ('4 hosts')"
        if isinstance(value, bool):
            raise ValueError(how)
        if isinstance(value, int | float):
            if value == 1:
                raise ValueError("1 is ambiguous: write '100%' or '1 host'")
            if not 0 < value < 1:
                raise ValueError(f"{value} is no fraction: {how}")
            return cls(share=str(Fraction(str(value))))
        words = str(value).split()
        try:
            if len(words) == 2 and words[1] in ("host", "hosts") and int(words[0]) >= 1:
                return cls(count=int(words[0]))
            if len(words) == 1 and words[0].endswith("%"):
                share = Fraction(words[0][:-1]) / 100
                if 0 < share <= 1:
                    return cls(share=str(share))
        except (ValueError, ZeroDivisionError):
            pass
        raise ValueError(f"{value!r}: {how}")

    def __str__(self) -> str:
        if self.count is not None:
            return f"{self.count} host{'s' if self.count != 1 else ''}"
        return f"{float(Fraction(self.share or '0')) * 100:g}%"


class StrategyParams(Contract):
    """What every strategy takes."""

    max_concurrency: int = Field(default=10, ge=1, le=1000, description="hosts in hand at once")
    max_failures: int = Field(default=1, ge=1, description="failed hosts that end the deployment")
    max_unreachable: int | None = Field(
        default=None, ge=1, description="unreachable hosts that end it; default max(2, 10 %)"
    )
    min_healthy: Size | None = Field(default=None, description="hosts that must stay in service")
    on_failure: OnFailure | None = Field(
        default=None, description="what follows a spent budget: rollback, rollback_failed, pause or stop"
    )
    host_timeout: int = Field(default=300, ge=1, description="seconds one host may take")

    @field_validator("min_healthy", mode="before")
    @classmethod
    def _min_healthy(cls, value: Any) -> Any:
        return None if value is None else Size.parse(value)

    @property
    def after_failure(self) -> OnFailure:
        """The choice, or the strategy's own (rule 9)."""
        return self.on_failure or OnFailure.ROLLBACK_FAILED


class AllAtOnce(StrategyParams):
    """Every host as soon as there is a place for it."""

    @property
    def workflow_type(self) -> WorkflowType:
        return WorkflowType.ALL_AT_ONCE


class Stage(Contract):
    """How far a canary has come after this stage, all hosts before it included: a size, or a selector."""

    size: Size | None = None
    selector: str | None = None

    @classmethod
    def parse(cls, value: Any) -> "Stage":
        """As a Size, but 1 is all hosts (1.0 becomes 1 in many JSON tools); any other words are a selector."""
        if isinstance(value, cls):
            return value
        if isinstance(value, dict):
            return cls.model_validate(value)
        if not isinstance(value, bool) and isinstance(value, int | float) and value == 1:
            return cls(size=Size(share="1"))
        if isinstance(value, str) and ("=" in value or " in " in value or "(" in value):
            return cls(selector=value)
        return cls(size=Size.parse(value))

    def __str__(self) -> str:
        return self.selector or str(self.size)


class Canary(StrategyParams):
    """A few hosts first, watched for a while before the next stage is taken."""

    stages: tuple[Stage, ...] = Field(
        default=(Stage.parse(0.1), Stage.parse(0.5), Stage.parse(1)),
        min_length=1,
        description="cumulative: 0.1, '10%', '50 hosts' or a selector ('ring=0'); 1 is all hosts",
    )
    monitoring_duration: float = Field(default=900.0, ge=0, description="seconds each stage but the last is watched")
    auto_promote: bool = Field(default=True, description="false: a person promotes each stage")
    rollback_on_failure: bool | None = Field(default=None, description="true: on_failure rollback; false: pause")

    @field_validator("stages", mode="before")
    @classmethod
    def _stages(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("write a list, e.g. [0.1, 0.5, 1.0]")
        return tuple(Stage.parse(stage) for stage in value)

    @model_validator(mode="after")
    def _one_way_to_fail(self) -> "Canary":
        named = {True: OnFailure.ROLLBACK, False: OnFailure.PAUSE, None: None}[self.rollback_on_failure]
        if named and self.on_failure and named is not self.on_failure:
            raise ValueError(
                f"rollback_on_failure {self.rollback_on_failure} means on_failure {named}, but on_failure is "
                f"{self.on_failure}: give one of the two"
            )
        return self

    @property
    def after_failure(self) -> OnFailure:
        if self.rollback_on_failure is False:
            return OnFailure.PAUSE
        return self.on_failure or OnFailure.ROLLBACK

    @property
    def workflow_type(self) -> WorkflowType:
        return WorkflowType.CANARY


class Rolling(StrategyParams):
    """Wave after wave, waiting in between, ending at the first sign of trouble."""

    batch_size: Size = Field(default=Size(share="1/5"), description="hosts per wave")
    wait_seconds: float = Field(default=60.0, ge=0, description="seconds between waves")
    max_failures: int = Field(default=2, ge=1, description="failed hosts that end the deployment")
    continue_on_error: bool = Field(default=False, description="false: the first failed host ends it")

    @field_validator("batch_size", mode="before")
    @classmethod
    def _batch_size(cls, value: Any) -> Any:
        return Size.parse(value)

    @property
    def workflow_type(self) -> WorkflowType:
        return WorkflowType.ROLLING


STRATEGIES: dict[str, type[StrategyParams]] = {
    WorkflowType.ALL_AT_ONCE: AllAtOnce,
    WorkflowType.ROLLING: Rolling,
    WorkflowType.CANARY: Canary,
}


def read_params(workflow_type: str, given: dict[str, Any], defaults: dict[str, Any] | None = None) -> StrategyParams:
    """A strategy's parameters: what was given, over those `defaults` that it has. Raises InvalidRequest."""
    if workflow_type not in STRATEGIES:
        raise InvalidRequest("strategy", f"{workflow_type} is not known", f"known are: {', '.join(STRATEGIES)}")
    model = STRATEGIES[workflow_type]
    fitting = {name: value for name, value in (defaults or {}).items() if name in model.model_fields}
    return model.read(fitting | given, "strategy_params")
