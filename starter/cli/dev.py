"""`vulnzero dev`: the whole stack on this machine, in the foreground."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from starter.cli.exits import NeededMissing
from starter.cli.options import Session, example, speaks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starter.dev.config import Config
    from starter.dev.stack import Extra


@click.command("dev", epilog=example("vulnzero dev"))
@click.option("--config", type=click.Path(path_type=Path), help="another temporal-dev.yml")
@speaks
def dev(config: Path | None, session: Session) -> int:
    """Start PostgreSQL, Temporal with its Web UI and the workers; run until Ctrl-C.

    While it runs, every other vulnzero command of this checkout finds it by itself. With -o json one object with the
    addresses is printed once all runs.
    """
    from activities.database.migrate import upgrade
    from starter.cli.place import my_place
    from starter.connection import STACK_FILE, write_env_file
    from starter.dev import config as configuration
    from starter.dev.errors import StackError
    from starter.dev.foreground import run_foreground
    from starter.dev.stack import Stack

    out = session.out
    try:
        settings = configuration.load(configuration.find(config))
        stack = Stack(settings, my_place())
    except StackError as error:
        raise NeededMissing(str(error)) from error
    file = stack.data / STACK_FILE

    def ready() -> None:
        environment = stack.environment()
        names = ("DATABASE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "VULNZERO_NUMBER", "VULNZERO_DATA")
        write_env_file(file, {name: environment[name] for name in names} | {"VULNZERO_UI": stack.ui_url})
        if out.is_json:
            out.json({"temporal": stack.temporal_address, "namespace": stack.namespace, "ui": stack.ui_url})
        else:
            out.line("ready; Ctrl-C stops it all")

    try:
        say = out.note if out.is_json else out.line
        run_foreground(stack, lambda running: worker_processes(settings), say=say, migrate=upgrade, ready=ready)
    except StackError as error:
        raise NeededMissing(str(error)) from error
    finally:
        # A stack that is down must not be found: "nobody says where" is clearer than "connection refused".
        file.unlink(missing_ok=True)
    return 0


def worker_processes(settings: "Config") -> "Sequence[Extra]":
    """One process a queue: Ansible must not share one with workflow code."""
    from starter.dev.stack import Extra

    slots = {"vulnzero-ansible": "VULNZERO_ANSIBLE_SLOTS", "vulnzero-control": "VULNZERO_CONTROL_SLOTS"}
    return [
        Extra(
            name=f"worker-{worker.queue.removeprefix('vulnzero-')}",
            argv=(sys.executable, "-m", "starter.cli", "worker", "--queue", worker.queue),
            env={slots[worker.queue]: str(worker.slots)} if worker.queue in slots else {},
        )
        for worker in settings.workers
    ]
