"""Brings a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from activities.database.session import async_url
from activities.database.tables import Base

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x76756C6E  # two workers that start at once must not migrate at once


def upgrade(url: str, revision: str = "head") -> None:
    """Runs what is missing, under an advisory lock; safe to call at any time and from several processes."""
    engine = create_engine(async_url(url), connect_args={"connect_timeout": 5})
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


metadata = Base.metadata
