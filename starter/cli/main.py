"""`vulnzero`: the table of commands. A command's module is loaded when it is called, so that --help stays quick."""

import sys
from importlib import import_module
from typing import NamedTuple, NoReturn

import click


class Entry(NamedTuple):
    """Where a command lives ("module:attribute") and what the list of commands says of it."""

    target: str
    help: str


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is used."""

    def __init__(self, name: str, entries: dict[str, Entry], help: str) -> None:
        super().__init__(name, help=help, no_args_is_help=True)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, attribute = entry.target.split(":")
        command = getattr(import_module(f"starter.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} (commands: {', '.join(self._entries)})", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._entries.items()])


_COMMANDS = {
    "plan": Entry("plan:plan", "what a deployment would do; touches no host"),
    "deploy": Entry("deploy:deploy", "put a patch on assets"),
    "list": Entry("deployments:list_", "deployments, newest first"),
    "show": Entry("deployments:show", "one deployment: plan, waves, hosts"),
    "watch": Entry("watch:watch", "follow a deployment to its end"),
    "logs": Entry("logs:logs", "what each host's tasks said, live too"),
    "promote": Entry("verbs:promote", "end the current wait or gate of a deployment"),
    "pause": Entry("verbs:pause", "start nothing new; hosts in hand finish"),
    "resume": Entry("verbs:resume", "go on after a pause"),
    "cancel": Entry("verbs:cancel", "end a deployment; hosts in hand finish"),
    "rollback": Entry("verbs:rollback", "give every changed host back what it ran"),
    "check": Entry("check:check", "can the assets be reached?"),
    "inventory": Entry("inventory:inventory", "assets as an inventory for Ansible itself"),
    "asset": Entry("assets:asset", "import, list and show machines"),
    "patch": Entry("patches:patch", "import, list and show patches"),
    "db": Entry("database:db", "bring the database up to date"),
    "worker": Entry("worker:worker", "run a worker"),
    "dev": Entry("dev:dev", "run the whole stack on this machine"),
    "lab": Entry("lab:lab", "a practice fleet on this machine"),
    "completion": Entry("completion:completion", "make the shell complete commands and options"),
}

root = LazyGroup(
    "vulnzero",
    _COMMANDS,
    help="Puts security patches on a fleet of servers, in waves that can be watched, held and ended.\n\n"
    "Exit codes: 0 done, 1 the deployment did not succeed, 2 wrong usage or refused, 3 something needed is "
    "unreachable.\n\n"
    "Example: vulnzero deploy acme-healthd-1.0.1 --to env=lab --batch-size 20% --watch",
)


def main() -> NoReturn:
    from starter.cli.exits import run

    sys.exit(run(root, sys.argv[1:]))
