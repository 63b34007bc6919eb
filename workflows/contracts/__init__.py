"""What crosses a boundary: frozen models and the names that people and programs rely on."""

from workflows.contracts.strategies import AllAtOnce, Canary, Rolling, Size, StrategyParams

__all__ = ["AllAtOnce", "Canary", "Rolling", "Size", "StrategyParams"]
