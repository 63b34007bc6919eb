"""The one error of the dev stack: a person reads it, so it names the thing and the mend."""

import threading
from typing import ClassVar


class StackError(Exception):
    """The stack cannot do as asked. `message` is one line: what is wrong, where, and what to do about it."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class StackStopped(StackError):
    """Somebody asked the stack to stop while it was still starting; nothing is wrong."""


def check_not_stopped(halt: threading.Event | None) -> None:
    """Leave a start early once `halt` is set. Raises StackStopped."""
    if halt is not None and halt.is_set():
        raise StackStopped("stopped while starting, as asked")
