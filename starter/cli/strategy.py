"""The options that choose a strategy and set its parameters, as `deploy` and `plan` share them."""

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--to", "selector", required=True, metavar="SELECTOR", help="all, id=1,2,3 or labels: env=prod,tier!=db"
    ),
    click.option("--strategy", type=click.Choice(["rolling"]), default="rolling", show_default=True),
    click.option("--batch-size", metavar="SIZE", help="hosts per wave: 0.2, '20%' or '4 hosts'  [default: 20%]"),
    click.option("--wait-seconds", type=click.FloatRange(min=0), help="between waves  [default: 60]"),
    click.option("--max-failures", type=click.IntRange(min=1), help="failed hosts that end it  [default: 2]"),
    click.option("--continue-on-error", is_flag=True, help="go on after the first failed host"),
    click.option("--max-concurrency", type=click.IntRange(1, 1000), help="hosts in hand at once  [default: 10]"),
    click.option(
        "--max-unreachable", type=click.IntRange(min=1),
        help="unreachable hosts that end it  [default: a tenth, at least 2]",
    ),
    click.option("--min-healthy", metavar="SIZE", help="hosts that must stay in service: 0.8, '80%' or '4 hosts'"),
    click.option(
        "--host-timeout", type=click.IntRange(min=1), metavar="SECONDS", help="one host may take  [default: 300]"
    ),
)  # fmt: skip


def strategy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --to, --strategy and the parameters; `strategy_params` makes one mapping of the latter."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def strategy_params(given: dict[str, Any]) -> dict[str, Any]:
    """What was written on the command line, and nothing else: the worker fills in the rest."""
    found = {name: value for name, value in given.items() if value is not None and value is not False}
    for name in ("batch_size", "min_healthy"):
        if name in found:
            found[name] = _number_or_words(found[name])
    return found


def _number_or_words(text: str) -> str | float | int:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
