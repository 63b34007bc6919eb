"""What crosses a boundary: frozen models and the names that people and programs rely on."""

from workflows.contracts.strategies import Rolling, Size, StrategyParams

__all__ = ["Rolling", "Size", "StrategyParams"]
