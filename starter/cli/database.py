"""`vulnzero db`: the schema of the ledger."""

import click

from starter.cli.exits import wait_for
from starter.cli.main import Entry, LazyGroup
from starter.cli.options import Session, asks_ledger, example

db = LazyGroup(
    "db",
    {"migrate": Entry("database:migrate", "bring the database to the newest schema")},
    help="The database.\n\n" + example("vulnzero db migrate"),
)


@click.command("migrate", epilog=example("DATABASE_URL=postgresql://vulnzero@db/vulnzero vulnzero db migrate"))
@asks_ledger
def migrate(session: Session) -> None:
    """Bring the database to the newest schema. Safe to repeat, and from several machines at once."""
    from activities.database.migrate import upgrade

    async def ping() -> None:
        async with session.ledger() as ledger:
            await ledger.ping()

    url = session.where.database_url()
    wait_for(ping())  # a dead database is our own error then, not a page of the driver's
    upgrade(url)
    shown = url.split("@")[-1].split("?")[0]  # never the password
    if session.out.is_json:
        session.out.json({"database": shown, "migrated": True})
    else:
        session.out.line(f"the database {shown} has the newest schema")
