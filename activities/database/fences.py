"""Fence numbers stay above all that were ever given out, also by a database that was lost or restored.

Hosts remember the highest fence they saw and refuse any older one. A sequence that starts anew at 1, or where an old
backup left it, would have every host refuse every run. So numbers follow the clock in milliseconds: far ahead of what
a fleet can use up, and a worker's start brings them up to date.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Only a gap that concurrent claims cannot close in the meantime may be jumped: a number must never come twice.
_SAFE_GAP = 1_000_000

RAISE = f"""
select setval('fences', now_ms) from
  (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms) clock, fences
where now_ms > fences.last_value + {_SAFE_GAP}
"""


async def raise_fences(session: AsyncSession) -> int | None:
    """The number that claims continue from, or None where they are recent enough (within a quarter of an hour)."""
    raised: int | None = await session.scalar(text(RAISE))
    return raised
