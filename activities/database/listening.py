"""The ledger for those who only look: plain connections, which load in a third of SQLAlchemy's time and can listen."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.rows import dict_row

from workflows.contracts.errors import InvalidRequest, LedgerUnavailable, VulnzeroError

CHANNEL = "vulnzero_events"
_CONNECT_SECONDS = 5
_PREFIXES = ("postgresql+psycopg://", "postgresql://", "postgres://")

Connection = psycopg.AsyncConnection[dict[str, Any]]


class Reader:
    """One connection, made at its first use and made anew where it broke. Several tasks may share it.

    Nothing here writes: a statement that a broken connection swallowed is asked again.
    """

    def __init__(self, url: str) -> None:
        """Raises LedgerUnavailable where `url` is none of PostgreSQL's."""
        self._url = plain_url(url)
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    async def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of one statement, by column name: all of one moment. `values` fill its %(name)s.

        Raises LedgerUnavailable where the server is away or has no tables, InvalidRequest for a value no column takes.
        """
        try:
            connection = await self._connected()
            try:
                return await _ask(connection, query, values)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
            # It broke while nobody looked, e.g. because the server was started anew.
            return await _ask(await self._connected(), query, values)
        except psycopg.Error as error:
            raise fault(error) from error

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await _connect(self._url)
            return self._connection


class Listener:
    """Hears of new events of one deployment. It may miss the server for any time; the next call finds it again."""

    def __init__(self, url: str, deployment_id: int) -> None:
        self._url = plain_url(url)
        self._deployment = str(deployment_id)
        self._connection: Connection | None = None

    async def heard(self, seconds: float) -> bool:
        """True at once where there is news, or may have been before it began to listen; False after `seconds` of none.

        So whoever reads after each call misses nothing. Raises LedgerUnavailable.
        """
        try:
            if self._connection is None:
                fresh = await _connect(self._url)
                self._connection = fresh
                await fresh.execute(f"listen {CHANNEL}")
                return True
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                async for news in self._connection.notifies(timeout=left, stop_after=1):
                    if news.payload == self._deployment:
                        return True
            return False
        except psycopg.Error as error:
            await self.close()
            raise fault(error) from error

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()


async def _connect(url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, connect_timeout=_CONNECT_SECONDS, application_name="vulnzero"
    )


async def _ask(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return await (await connection.execute(query, values)).fetchall()


def fault(error: psycopg.Error) -> VulnzeroError:
    """What the driver found, as an error of ours."""
    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return LedgerUnavailable("the database has no VulnZero tables, or older ones", "run: vulnzero db migrate")
    if isinstance(error, psycopg.DataError):
        # The same value is refused each time, and Temporal would try it for ever.
        return InvalidRequest("", f"the database cannot store or find it: {words}")
    return LedgerUnavailable(f"the database does not answer: {words}", "is PostgreSQL running, and DATABASE_URL right?")


def plain_url(url: str) -> str:
    """Any spelling of a PostgreSQL URL, as the driver wants it. Raises LedgerUnavailable for any other."""
    for prefix in _PREFIXES:
        if url.startswith(prefix):
            return "postgresql://" + url.removeprefix(prefix)
    raise LedgerUnavailable(
        f"DATABASE_URL {url.split('@')[-1]!r} is no PostgreSQL URL", "write postgresql://user:password@host:port/name"
    )
