"""Strategy parameters on their way out: only what the user gave, in the user's own words."""

from typing import Any

from workflows.contracts.strategies import Size, StrategyParams


def in_users_words(strategy: StrategyParams) -> dict[str, Any]:
    """What was set, as JSON; defaults are left to the worker that makes the plan, so that one place decides them."""
    return {
        name: size_in_words(value) if isinstance(value := getattr(strategy, name), Size) else _plain(value)
        for name in sorted(strategy.model_fields_set)
    }


def size_in_words(size: Size) -> str | dict[str, str | int]:
    """ "20%" or "4 hosts"; an exact share where a percentage would round it (a third of 3000 hosts is not 999)."""
    words = "1 host" if size.count == 1 else str(size)
    if Size.parse(words) == size:
        return words
    return {key: value for key, value in (("share", size.share), ("count", size.count)) if value is not None}


def _plain(value: Any) -> Any:
    return value.value if hasattr(value, "value") else value
