"""Words of hosts on their way into a row: a host may say anything, and PostgreSQL stores not everything."""

import math
from typing import Any


def storable(value: Any) -> Any:
    """`value` (text or JSON) with a mark in place of what no column takes: NUL, half a surrogate pair, NaN, infinity.

    An outcome that cannot be written would fail its batch, and each later try again.
    """
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {storable(key): storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [storable(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
