"""The way to the database: one engine a process, transactions as context managers, faults as our own errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from activities.database.listening import fault, plain_url
from workflows.contracts.errors import LedgerUnavailable

Session = AsyncSession  # what repositories are given; others need not know whose it is


def async_url(url: str) -> str:
    """Any spelling of a PostgreSQL URL, as SQLAlchemy wants it for psycopg 3. Raises LedgerUnavailable."""
    return plain_url(url).replace("postgresql://", "postgresql+psycopg://", 1)


class Database:
    """Owns the connection pool. Use as an async context manager, or `close` it."""

    def __init__(self, url: str, pool_size: int = 10, pool_seconds: float = 30) -> None:
        # pool_pre_ping: after a restart of the server each pooled connection is dead, and would fail one claim each.
        self._engine = create_async_engine(
            async_url(url), pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, pool_timeout=pool_seconds,
            connect_args={"connect_timeout": 5, "application_name": "vulnzero"},
        )  # fmt: skip
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction that commits at the end of the block.

        Raises LedgerUnavailable when the server is away, InvalidRequest for a value that no column takes.
        """
        try:
            async with self._sessions.begin() as session:
                yield session
        except PoolTimeout as error:
            raise LedgerUnavailable("no connection to the database became free in time") from error
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error) and _is_told(error, error.orig):
                raise fault(error.orig) from error
            raise

    async def close(self) -> None:
        await self._engine.dispose()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _is_told(error: DBAPIError, cause: psycopg.Error) -> bool:
    """Faults that `fault` has words for; any other, e.g. a broken constraint, is a fault of ours."""
    known = isinstance(error, OperationalError | InterfaceError | DataError) or error.connection_invalidated
    return known or isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn)
