"""What tests share: a real PostgreSQL with the real migrations, and the whole system over real practice hosts."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from hypothesis import settings

from activities.database.migrate import upgrade
from activities.database.session import Database
from starter.dev.scratch import scratch_postgres
from tests.support.databases import Databases
from tests.support.rig import Rig, running_rig

# A property's time depends on the machine's other work; what is slow shows in the benchmarks.
settings.register_profile("vulnzero", deadline=None)
settings.load_profile("vulnzero")


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    with scratch_postgres() as server:
        template = server.url
        upgrade(template)
        yield Databases(template)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """An empty, migrated database of this test's own."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    """A plain connection, for a test's own look at the tables."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def whole_system() -> Iterator[Rig]:
    with running_rig() as rig:
        yield rig


@pytest.fixture
async def rig(whole_system: Rig) -> AsyncIterator[Rig]:
    yield whole_system
    whole_system.stop_workers()
