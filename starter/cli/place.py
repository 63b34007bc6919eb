"""This checkout's place on the machine: number, ports and data folder, made at the first use."""

import os
from typing import TYPE_CHECKING

from starter.cli.exits import NeededMissing
from starter.connection import checkout

if TYPE_CHECKING:
    from starter.dev.number import Place


def my_place() -> "Place":
    """VULNZERO_NUMBER asks for a number. Raises NeededMissing where it is another checkout's."""
    from starter.dev.errors import StackError
    from starter.dev.number import Place, allot

    wanted = os.environ.get("VULNZERO_NUMBER")
    if wanted is not None and not wanted.isdecimal():
        raise NeededMissing(f"VULNZERO_NUMBER {wanted!r} is no number: write 1 to 249, or unset it")
    try:
        return Place.of(allot(str(checkout()), number=int(wanted) if wanted else None))
    except StackError as error:
        raise NeededMissing(str(error)) from error
