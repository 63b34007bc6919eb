"""The one way out: exit codes, one-line errors, and the pause that the Temporal SDK needs at the end."""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Coroutine, Sequence
from enum import IntEnum
from typing import Any, TypeVar

import click

T = TypeVar("T")
_LAST_BREATH_SECONDS = 0.05


class Exit(IntEnum):
    DONE = 0
    NOT_SUCCEEDED = 1
    REFUSED = 2
    UNREACHABLE = 3
    INTERRUPTED = 130  # 128 + SIGINT, as every shell expects it


class NeededMissing(click.ClickException):
    """Something of this machine (the practice fleet, the dev stack) is not as it must be. Its text has the mend."""

    exit_code = Exit.UNREACHABLE


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Runs `command` and returns the exit code. What goes wrong is one line on standard error, never a traceback."""
    try:
        code = command.main(list(arguments), prog_name="vulnzero", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # `vulnzero list | head`: the reader has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.REFUSED
    except click.ClickException as error:
        _say(error.format_message(), _hint(error))
        return error.exit_code if isinstance(error, NeededMissing) else Exit.REFUSED
    except click.Abort:
        _say("stopped by Ctrl-C" if _was_interrupted() else "nothing was done")
        return Exit.INTERRUPTED if _was_interrupted() else Exit.REFUSED
    except Exception as error:  # noqa: BLE001 - the last line of defence: an operator must never meet a traceback
        return _explain(error)
    finally:
        _let_the_sdk_finish()
    return code if isinstance(code, int) else Exit.DONE


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` in an event loop of its own."""
    return asyncio.run(work)


def _let_the_sdk_finish() -> None:
    # Without it about half of all short programs abort (exit code 134) when the interpreter and the SDK's own
    # threads end at the same time (sdk-python #300).
    if "temporalio.bridge" in sys.modules:
        time.sleep(_LAST_BREATH_SECONDS)


def _explain(error: Exception) -> int:
    from workflows.contracts.errors import RequestError, VulnzeroError

    if os.environ.get("VULNZERO_DEBUG"):
        traceback.print_exception(error)
    if not isinstance(error, VulnzeroError):
        _say(f"a fault of vulnzero itself: {type(error).__name__}: {error}", "VULNZERO_DEBUG=1 shows where")
        return Exit.UNREACHABLE
    _say(str(error))
    if isinstance(error, RequestError):
        return Exit.REFUSED
    return Exit.UNREACHABLE if error.retryable else Exit.NOT_SUCCEEDED


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else ""


def _was_interrupted() -> bool:
    cause = sys.exc_info()[1]
    return cause is not None and isinstance(cause.__cause__, KeyboardInterrupt)


def _say(message: str, hint: str = "") -> None:
    text = " ".join((f"{message} ({hint})" if hint else message).split())
    # Parts of it may come from a host or a file: a terminal must not obey them.
    clean = "".join(char if char.isprintable() else "?" for char in text)
    click.echo(f"error: {clean}", err=True)
