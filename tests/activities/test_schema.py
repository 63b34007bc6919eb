"""The migrations and the models are one schema, and migrating is safe at any time."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from activities.database.migrate import metadata, upgrade
from tests.support.databases import Databases


def test_the_newest_migration_makes_exactly_what_the_models_say(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_migrating_a_database_that_is_new_already_changes_nothing(database_url: str) -> None:
    upgrade(database_url)


def test_workers_that_start_at_once_migrate_an_empty_database_once(databases: Databases, database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [database_url] * 4))
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [("0001",)]
