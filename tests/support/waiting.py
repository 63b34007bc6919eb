"""Waiting for a condition with a deadline, never for a time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

LOOK_EVERY = 0.02


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    what: str,
    tell: Callable[[], str] = lambda: "",
    seconds: float = 20.0,
) -> None:
    """Returns once `condition` holds; fails with `what` was awaited and what `tell` knows."""
    deadline = time.monotonic() + seconds
    while True:
        held = condition()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}. {tell()}")
        await asyncio.sleep(LOOK_EVERY)
