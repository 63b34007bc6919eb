"""The log of a deployment as it is written: NOTIFY says when to look, and offsets that nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from activities.database.views import LogLine
from starter.ledger import Ledger
from workflows.contracts.errors import LedgerUnavailable

# A connection that died without a word is found out by then.
LOOK_ANYWAY_SECONDS = 10.0
RETRY_SECONDS = 0.5


class Feed:
    """Every line after `after`, once and in order, until the deployment is closed. `hosts`, `failed`: see Views.log.

    `trouble` is told when the database goes away, and when it is back.
    """

    def __init__(
        self,
        ledger: Ledger,
        deployment_id: int,
        after: int = 0,
        hosts: Sequence[str] = (),
        failed: bool = False,
        trouble: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._ledger = ledger
        self._id = deployment_id
        self._offset = after
        self._filter = (hosts, failed)
        self._tell = trouble
        self._away = False

    async def lines(self) -> AsyncGenerator[LogLine, None]:
        """Raises what the first look raises (UnknownThing, LedgerUnavailable); later the ledger may be away."""
        closed = (await self._ledger.deployment(self._id)).finished_at is not None
        listener = self._ledger.listener(self._id)
        try:
            while True:
                try:
                    async for line in self._ledger.events(self._id, self._offset, *self._filter):
                        self._offset = line.offset
                        yield line
                    if closed:
                        return
                    await listener.heard(LOOK_ANYWAY_SECONDS)
                    # The row before its events: a row that is closed has its last event written, so none is missed.
                    closed = (await self._ledger.deployment(self._id)).finished_at is not None
                    self._back()
                except LedgerUnavailable as error:
                    await self._away_for_a_while(error)
        finally:
            await listener.close()

    async def _away_for_a_while(self, error: LedgerUnavailable) -> None:
        if not self._away:
            self._away = True
            self._tell(f"{error.message}; the log goes on when it is back")
        await asyncio.sleep(RETRY_SECONDS)

    def _back(self) -> None:
        if self._away:
            self._away = False
            self._tell("the database is back")
