"""Strategy parameters, with the user's own names and defaults (durations in seconds)."""

import math
from fractions import Fraction
from typing import Any

from pydantic import Field, field_validator

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
    on_failure: OnFailure = Field(default=OnFailure.STOP, description="what follows a spent budget")
    host_timeout: int = Field(default=300, ge=1, description="seconds one host may take")

    @field_validator("min_healthy", mode="before")
    @classmethod
    def _min_healthy(cls, value: Any) -> Any:
        return None if value is None else Size.parse(value)

    @field_validator("on_failure", mode="before")
    @classmethod
    def _on_failure(cls, value: Any) -> Any:
        if value in ("rollback", "rollback_failed", "pause"):
            raise ValueError("only 'stop' is available in this version")
        return value


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
