"""Strategy parameters on their way out: only what the user gave, in the user's own words."""

from enum import Enum
from typing import Any

from workflows.contracts.errors import InvalidRequest
from workflows.contracts.names import WorkflowType
from workflows.contracts.strategies import AllAtOnce, Canary, Rolling, Size, Stage, StrategyParams


def workflow_type(strategy: StrategyParams) -> WorkflowType:
    """The workflow that carries it out. Raises InvalidRequest for the base of all strategies, which is none itself."""
    if isinstance(strategy, AllAtOnce | Rolling | Canary):
        return strategy.workflow_type
    raise InvalidRequest(
        "strategy", f"{type(strategy).__name__} is no strategy", "use one of workflows.contracts, e.g. Rolling()"
    )


def in_users_words(strategy: StrategyParams) -> dict[str, Any]:
    """What was set, as JSON; defaults are left to the worker that makes the plan, so that one place decides them."""
    return {name: _words(getattr(strategy, name)) for name in sorted(strategy.model_fields_set)}


def _words(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_words(one) for one in value]
    if isinstance(value, Size | Stage):
        return _as_read_again(value)
    return value.value if isinstance(value, Enum) else value


def _as_read_again(value: Size | Stage) -> str | dict[str, Any]:
    """ "20%", "4 hosts" or "ring=0"; what words would change, whole (a third of 3000 hosts is not 33.3333%).

    All hosts are "100%", never the number 1.0: that becomes 1 in many JSON tools, which a Size would refuse.
    """
    words = str(value)
    try:
        if type(value).parse(words) == value:
            return words
    except ValueError:
        pass  # a selector such as "canary", which reads like a misspelt size
    return value.model_dump(mode="json", exclude_none=True)
