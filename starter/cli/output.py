"""What reaches standard output: aligned text for people, or one JSON object or array for programs."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from starter.cli.human import plain

if TYPE_CHECKING:
    from pydantic import BaseModel

# Of hosts and deployments. Bold: a person has to look. Words that Rich understands too.
STYLES = {
    "SUCCEEDED": "green", "SKIPPED": "green", "SUCCEEDED_WITH_FAILURES": "yellow", "CANCELLED": "yellow",
    "FAILED": "bold red", "UNREACHABLE": "red", "REJECTED": "bold red", "UNKNOWN": "magenta",
    "RUNNING": "cyan", "CHECKING": "cyan", "VALIDATING": "cyan", "WAITING": "blue",
    "PAUSED": "bold yellow", "GATED": "bold yellow", "PENDING": "dim", "NOT_STARTED": "dim",
    "ROLLING_BACK": "yellow", "ROLLED_BACK": "yellow", "ROLLBACK_FAILED": "bold red", "SUPERSEDED": "magenta",
}  # fmt: skip
_NARROWEST = 12  # columns that a last column keeps on a narrow terminal


@dataclass(frozen=True)
class Output:
    """`format` is "text" or "json"; `colour` is already decided, by the terminal, NO_COLOR and --no-color."""

    format: str
    colour: bool

    @classmethod
    def choose(cls, format: str, no_color: bool) -> "Output":
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        return cls(format, terminal and not no_color and not os.environ.get("NO_COLOR"))

    @property
    def is_json(self) -> bool:
        return self.format == "json"

    def json(self, value: Any) -> None:
        """The one thing on standard output. Models become what the HTTP API says of them."""
        click.echo(json.dumps(_jsonable(value), indent=2, ensure_ascii=False))

    def line(self, text: str = "") -> None:
        click.echo(text)

    def note(self, text: str) -> None:
        """Beside the result: on standard error, so that standard output stays what it is."""
        click.echo(text, err=True)

    def state(self, state: str) -> str:
        return self.styled(state, STYLES.get(state))

    def styled(self, text: str, style: str | None) -> str:
        """`style` is a colour, "dim", or either behind "bold"."""
        if not self.colour or not style:
            return text
        *_, colour = words = style.split()
        fg = None if colour == "dim" else colour
        return click.style(text, fg=fg, bold="bold" in words or None, dim="dim" in words or None)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Label and value, aligned; empty values are left out."""
        pairs = [(label, value) for label, value in pairs if value]
        width = max(len(label) for label, _ in pairs)
        for label, value in pairs:
            click.echo(f"{label:<{width}}  {value}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]], state_column: int | None = None) -> None:
        """Aligned columns; numbers to the right. On a terminal the last column is cut to fit, in a pipe nothing is."""
        cells = [[plain(str(cell)) for cell in row] for row in rows]
        widths = [max(len(line[index]) for line in [list(heads), *cells]) for index in range(len(heads))]
        right = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(heads))]
        if sys.stdout.isatty():
            room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
            widths[-1] = min(widths[-1], max(room, _NARROWEST))
        for number, line in enumerate([list(heads), *cells]):
            padded = [_fit(cell, width, to_right) for cell, width, to_right in zip(line, widths, right, strict=True)]
            if number and state_column is not None and self.colour:
                bare = padded[state_column]
                padded[state_column] = self.state(bare.strip()) + " " * (len(bare) - len(bare.rstrip()))
            text = "  ".join(padded).rstrip()
            click.echo(click.style(text, bold=True) if not number and self.colour else text)


def _fit(text: str, width: int, to_right: bool) -> str:
    if len(text) > width:
        return text[: width - 1] + "…"
    return text.rjust(width) if to_right else text.ljust(width)


def _jsonable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if hasattr(value, "model_dump"):
        model: BaseModel = value
        return model.model_dump(mode="json")
    return value
