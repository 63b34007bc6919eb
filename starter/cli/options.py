"""Options that commands share, and what a command gets of them: one `Session`."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from starter.cli.output import Output

if TYPE_CHECKING:
    from starter.client import DeploymentClient
    from starter.connection import Where
    from starter.ledger import Ledger


@dataclass(frozen=True)
class Session:
    """How to speak (`out`) and whom to ask; connections are made by the command that needs them."""

    out: Output
    database: str | None = None
    address: str | None = None
    namespace: str | None = None

    @property
    def where(self) -> "Where":
        from starter.connection import Where

        return Where(self.database, self.address, self.namespace)

    def ledger(self) -> "Ledger":
        from starter.ledger import Ledger

        return Ledger(self.where.database_url())

    async def client(self) -> "DeploymentClient":
        from starter.client import DeploymentClient

        return await DeploymentClient.connect(self.database, self.address, self.namespace)


def example(text: str) -> str:
    """The part of a help text that shows how it looks when it is used."""
    return f"Example: {text}"


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds -o and --no-color; the command gets a Session without connections."""
    return _with_session(command, [_FORMAT, _NO_COLOUR])


def asks_ledger(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --database-url too."""
    return _with_session(command, [_FORMAT, _NO_COLOUR, _DATABASE])


def asks_temporal(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --database-url, --temporal-address and --namespace."""
    return _with_session(command, [_FORMAT, _NO_COLOUR, _DATABASE, _ADDRESS, _NAMESPACE])


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_FORMAT = click.option(
    "-o", "--output", "format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json: one object or array alone on standard output",
)  # fmt: skip
_NO_COLOUR = click.option("--no-color", is_flag=True, help="no colour, even on a terminal")
_DATABASE = click.option("--database-url", metavar="URL", help="beats DATABASE_URL")
_ADDRESS = click.option("--temporal-address", metavar="HOST:PORT", help="beats TEMPORAL_ADDRESS")
_NAMESPACE = click.option("--namespace", metavar="NAME", help="beats TEMPORAL_NAMESPACE")


def _with_session(command: Callable[..., Any], options: list[_Decorator]) -> Callable[..., Any]:
    @functools.wraps(command)
    def inner(
        *args: Any,
        format: str,
        no_color: bool,
        database_url: str | None = None,
        temporal_address: str | None = None,
        namespace: str | None = None,
        **rest: Any,
    ) -> Any:
        session = Session(Output.choose(format, no_color), database_url, temporal_address, namespace)
        return command(*args, session=session, **rest)

    decorated: Callable[..., Any] = inner
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
