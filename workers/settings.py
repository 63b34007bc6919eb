"""The only reader of the environment. What is here is said once, with its default; activities get values."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from workflows.contracts.errors import InvalidRequest
from workflows.contracts.model import Contract, from_pydantic
from workflows.contracts.names import Queue
from workflows.contracts.strategies import Size

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

# Environment name -> field. The Temporal connection has names of its own, which temporalio.envconfig reads.
_NAMES = {
    "DATABASE_URL": "database_url",
    "MAX_CONCURRENT_DEPLOYMENTS": "max_concurrent_deployments",
    "DEFAULT_BATCH_SIZE": "default_batch_size",
    "DEFAULT_WAIT_TIME": "default_wait_time",
    "ANSIBLE_TIMEOUT": "ansible_timeout",
    "ANSIBLE_HOST_KEY_CHECKING": "host_key_checking",
    "VULNZERO_RUN_DIR": "run_dir",
    "VULNZERO_ANSIBLE_SLOTS": "ansible_slots",
    "VULNZERO_CONTROL_SLOTS": "control_slots",
    "VULNZERO_DRAIN_SECONDS": "drain_seconds",
}


class Settings(Contract):
    """Times are in seconds."""

    database_url: str | None = None
    max_concurrent_deployments: int = Field(default=5, ge=1)
    default_batch_size: str | float = 0.2
    default_wait_time: float = Field(default=60, ge=0, allow_inf_nan=False)
    ansible_timeout: int = Field(default=300, ge=1)
    host_key_checking: bool = True
    # Not under /tmp, where another user could have made it first: sockets in it decide what runs on hosts.
    run_dir: Path = Path("/run/vulnzero") if os.geteuid() == 0 else Path.home() / ".local/state/vulnzero/run"
    ansible_slots: int = Field(default=4, ge=1)
    control_slots: int = Field(default=50, ge=1)
    drain_seconds: float = Field(default=30, ge=0, allow_inf_nan=False)
    queues: tuple[Queue, ...] = tuple(Queue)

    @field_validator("default_batch_size", mode="before")
    @classmethod
    def _number_or_words(cls, value: Any) -> Any:
        with contextlib.suppress(ValueError):
            value = float(value)
        Size.parse(value)
        return value

    @field_validator("host_key_checking", mode="before")
    @classmethod
    def _flag(cls, value: Any) -> Any:
        word = str(value).lower()
        if word not in _TRUE | _FALSE:
            raise ValueError("write True or False")
        if word in _FALSE:
            raise ValueError("host keys are pinned in the inventory and always checked; unset it")
        return True

    @property
    def strategy_defaults(self) -> dict[str, Any]:
        """What a request leaves out, by the parameter's name."""
        return {
            "batch_size": self.default_batch_size,
            "wait_seconds": self.default_wait_time,
            "host_timeout": self.ansible_timeout,
        }

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> "Settings":
        """`given` beats the environment. Raises InvalidRequest that names the variable."""
        found = {field: environ[name] for name, field in _NAMES.items() if environ.get(name)}
        try:
            return cls.model_validate(found | {key: value for key, value in given.items() if value is not None})
        except ValidationError as error:
            fault = from_pydantic(error, cls)
            names = {field: name for name, field in _NAMES.items()}
            problem = fault.message.removeprefix(f"{fault.field}: ")
            raise InvalidRequest(names.get(fault.field, fault.field), problem, fault.mend) from None
