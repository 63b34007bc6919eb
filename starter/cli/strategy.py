"""The options that choose a strategy and set its parameters, as `deploy` and `plan` share them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from starter.cli.stages import number_or_words, split_stages

if TYPE_CHECKING:
    from workflows.contracts.strategies import StrategyParams

_NAMES = ("all-at-once", "rolling", "canary")
_AFTER_FAILURE = ("rollback", "rollback_failed", "pause", "stop")
_WIDEST = 30  # columns of help before its text; click breaks the line after longer options
_SECONDS = click.FloatRange(min=0)
_COUNT = click.IntRange(min=1)


class Parameter(click.Option):
    """One of a strategy's parameters; `of` is the strategy that alone has it, empty where all do."""

    def __init__(self, *args: Any, of: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.of = of


class StrategyCommand(click.Command):
    """Its help has a section for each strategy, and all sections keep the same columns."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (record := one.get_help_record(ctx)):
                title = f"Parameters of {one.of or 'every strategy'}" if isinstance(one, Parameter) else "Options"
                sections.setdefault(title, []).append((_short(one, record[0]), record[1]))
        width = min(max(len(left) for rows in sections.values() for left, _ in rows), _WIDEST)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{left:<{width}}", right) for left, right in rows], col_max=_WIDEST)


def _short(option: click.Parameter, written: str) -> str:
    """ "--[no-]auto-promote": both spellings take more room than there is."""
    return f"--[no-]{option.opts[0].removeprefix('--')}" if option.secondary_opts else written


_every = partial(click.option, cls=Parameter)
_rolling = partial(click.option, cls=Parameter, of="rolling")
_canary = partial(click.option, cls=Parameter, of="canary")
_OPTIONS = (
    click.option(
        "--to", "selector", required=True, metavar="SELECTOR", help="all, id=1,2,3 or labels: env=prod,tier!=db"
    ),
    click.option(
        "--strategy", type=click.Choice(_NAMES), default="rolling", show_default=True, metavar="STRATEGY",
        help="all-at-once: every host as soon as there is a place; rolling: wave after wave, with a wait between; "
        "canary: a few first, watched before the next stage",
    ),
    _every("--max-concurrency", type=click.IntRange(1, 1000), metavar="N", help="hosts in hand at once  [default: 10]"),
    _every("--max-failures", type=_COUNT, metavar="N", help="failed hosts that end it  [default: 1; rolling: 2]"),
    _every(
        "--max-unreachable", type=_COUNT, metavar="N",
        help="unreachable hosts that end it  [default: a tenth, at least 2]",
    ),
    _every(
        "--min-healthy", metavar="SIZE",
        help="hosts that must stay in service: 0.8, '80%' or '4 hosts'  [default: none]",
    ),
    _every("--host-timeout", type=_COUNT, metavar="SECONDS", help="the most that one host may take  [default: 300]"),
    _every(
        "--on-failure", type=click.Choice(_AFTER_FAILURE), metavar="WHAT",
        help="once that many have failed: rollback (every changed host), rollback_failed (broken ones alone), pause "
        "(a person decides) or stop  [default: rollback_failed; canary: rollback]",
    ),
    _rolling("--batch-size", metavar="SIZE", help="hosts per wave: 0.2, '20%' or '4 hosts'  [default: 20%]"),
    _rolling("--wait-seconds", type=_SECONDS, metavar="SECONDS", help="between waves  [default: 60]"),
    _rolling(
        "--continue-on-error", is_flag=True, default=None,
        help="go on after the first failed host, up to --max-failures  [default: no]",
    ),
    _canary(
        "--stages", multiple=True, metavar="STAGES",
        help="how far it has come after each stage, all before it included: 0.1, '10%', '50 hosts' or a selector "
        "('ring=0'); 1 is all hosts. Commas between them, or one --stages each  [default: 0.1,0.5,1]",
    ),
    _canary(
        "--monitoring-duration", type=_SECONDS, metavar="SECONDS",
        help="each stage but the last is watched  [default: 900]",
    ),
    _canary(
        "--auto-promote/--no-auto-promote", default=None,
        help="no: after each stage but the last it waits for 'vulnzero promote'  [default: yes]",
    ),
    _canary(
        "--rollback-on-failure/--no-rollback-on-failure", default=None,
        help="another word for --on-failure rollback; no: for pause  [default: yes]",
    ),
)  # fmt: skip


def strategy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --to, --strategy and all parameters; `parsed` reads the latter. For a command of class StrategyCommand."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def parsed(strategy: str, given: dict[str, Any]) -> "StrategyParams":
    """Raises UsageError for another strategy's parameter, InvalidRequest for a value that cannot be.

    Read before anything is asked of a server: a typing error must not wait for one.
    """
    found = {name: value for name, value in given.items() if value is not None and value != ()}
    context = click.get_current_context()
    for one in context.command.params:
        if one.name in found and isinstance(one, Parameter) and one.of not in ("", strategy):
            raise click.UsageError(f"{one.opts[0]} is a parameter of {one.of}; --strategy is {strategy}", context)
    for name in ("batch_size", "min_healthy"):
        if name in found:
            found[name] = number_or_words(found[name])
    if "stages" in found:
        found["stages"] = split_stages(found["stages"])

    from workflows.contracts.names import WorkflowType
    from workflows.contracts.strategies import read_params

    return read_params(WorkflowType[strategy.upper().replace("-", "_")], found)
