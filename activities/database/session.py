"""The way to the database: one engine a process, transactions as context managers, faults as our own errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from workflows.contracts.errors import InvalidRequest, LedgerUnavailable

_NO_SUCH_TABLE_OR_COLUMN = ("42P01", "42703")
Session = AsyncSession  # what repositories are given; others need not know whose it is


def async_url(url: str) -> str:
    """Any spelling of a PostgreSQL URL, as SQLAlchemy wants it for psycopg 3."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    raise LedgerUnavailable(
        f"DATABASE_URL {url.split('@')[-1]!r} is no PostgreSQL URL", "write postgresql://user:password@host:port/name"
    )


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
        except (OperationalError, InterfaceError) as error:
            raise LedgerUnavailable(_first_line(error), "is PostgreSQL running, and DATABASE_URL right?") from error
        except PoolTimeout as error:
            raise LedgerUnavailable("no connection to the database became free in time") from error
        except DataError as error:
            # The same value is refused each time, and Temporal would try it for ever.
            raise InvalidRequest("", f"the database cannot store or find it: {_words(error)}") from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _NO_SUCH_TABLE_OR_COLUMN:
                raise LedgerUnavailable(
                    "the database has no VulnZero tables, or older ones", "run: vulnzero db migrate"
                ) from error
            if error.connection_invalidated:
                raise LedgerUnavailable(_first_line(error)) from error
            raise

    async def close(self) -> None:
        await self._engine.dispose()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _first_line(error: DBAPIError) -> str:
    return f"the database does not answer: {_words(error)}"


def _words(error: DBAPIError) -> str:
    text = str(error.orig).strip() or type(error.orig).__name__
    return text.splitlines()[0]
