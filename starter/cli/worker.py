"""`vulnzero worker`: runs a worker in the foreground."""

import click

from starter.cli.options import Session, asks_temporal, example


@click.command("worker", epilog=example("vulnzero worker --queue ansible"))
@click.option(
    "--queue", "queues", multiple=True, metavar="NAME",
    help="poll this queue only (repeatable): vulnzero-workflows, vulnzero-control or vulnzero-ansible; default all",
)  # fmt: skip
@asks_temporal
def worker(queues: tuple[str, ...], session: Session) -> int:
    """Run a worker until it is told to stop (SIGTERM or Ctrl-C): hosts in hand are then left to another one."""
    from workers.main import run
    from workers.settings import Settings
    from workflows.contracts.names import Queue

    chosen = []
    for name in queues:
        full = name if name.startswith("vulnzero-") else f"vulnzero-{name}"
        if full not in list(Queue):
            raise click.UsageError(f"--queue {name}: choose from {', '.join(Queue)}", click.get_current_context())
        chosen.append(Queue(full))
    settings = Settings.load(database_url=session.where.database_url(), queues=tuple(chosen) or None)
    run(settings, session.where.temporal())
    return 0
