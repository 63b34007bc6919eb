"""What people and programs ask: a deployment, and the verbs that steer it."""

from typing import Any

from pydantic import Field, model_validator

from workflows.contracts.model import Contract
from workflows.contracts.names import Verb


class DeploymentRequest(Contract):
    """The one input of every strategy workflow."""

    patch_id: int
    asset_ids: tuple[int, ...] | None = None
    selector: str | None = None
    strategy_params: dict[str, Any] = {}
    requested_by: str = Field(default="unknown", max_length=200)

    @model_validator(mode="after")
    def _one_selection(self) -> "DeploymentRequest":
        if (self.asset_ids is None) == (self.selector is None):
            raise ValueError("give either asset_ids or selector")
        if self.asset_ids is not None and not self.asset_ids:
            raise ValueError("asset_ids is empty: name at least one asset")
        return self

    @classmethod
    def example(cls) -> str:
        return '{"patch_id": 1, "selector": "env=prod"}'


class VerbArgument(Contract):
    """Who asks, and why; both optional."""

    by: str = Field(default="unknown", max_length=200)
    reason: str = Field(default="", max_length=2000)

    @classmethod
    def example(cls) -> str:
        return '{"by": "ada", "reason": "looks good"}'


class PromoteArgument(VerbArgument):
    """`wait_id` names the wait to end; none means the current one. `full` ends all later ones too."""

    wait_id: str | None = None
    full: bool = False


class CancelArgument(VerbArgument):
    """`force` and `rollback` are not available in this version and refused when set."""

    force: bool = False
    rollback: bool = False

    @model_validator(mode="after")
    def _soft_only(self) -> "CancelArgument":
        for option in ("force", "rollback"):
            if getattr(self, option):
                raise ValueError(f"{option} is not available in this version; a plain cancel lets hosts in hand finish")
        return self


ARGUMENTS: dict[Verb, type[VerbArgument]] = {
    Verb.PROMOTE: PromoteArgument,
    Verb.PAUSE: VerbArgument,
    Verb.RESUME: VerbArgument,
    Verb.CANCEL: CancelArgument,
    Verb.ROLLBACK: VerbArgument,
}


class VerbAnswer(Contract):
    """What an update returns: the state after the verb, and one sentence."""

    deployment_id: int
    state: str
    message: str
