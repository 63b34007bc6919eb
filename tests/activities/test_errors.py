"""One translator: every error of ours becomes Temporal's with its own name and its own answer to "again?"."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.errors import MESSAGE_LIMIT, TranslateErrors, translate
from workflows.contracts import errors
from workflows.contracts.errors import (
    EmptySelection,
    InvalidRequest,
    LedgerUnavailable,
    UnknownThing,
    VulnzeroError,
    WorkerDraining,
)

ARGUMENTS: dict[type[VulnzeroError], tuple[Any, ...]] = {
    InvalidRequest: ("field", "is wrong", "write it right"),
    UnknownThing: ("asset", 7),
    EmptySelection: ("env=nowhere",),
}
RETRYABLE = {"LedgerUnavailable", "NoAnswerFromWorkflow", "AnsibleMissing", "WorkerDraining"}


def tree(root: type[VulnzeroError] = VulnzeroError) -> Iterator[type[VulnzeroError]]:
    for leaf in root.__subclasses__():
        if leaf.__module__ == errors.__name__:
            yield leaf
            yield from tree(leaf)


ALL = tuple(tree())


def made(error: type[VulnzeroError]) -> VulnzeroError:
    return error(*ARGUMENTS.get(error, ("it is so", "do this")))


def test_the_docstring_of_the_tree_names_every_error_and_no_other() -> None:
    assert errors.__doc__ is not None
    drawn = {line.lstrip("│├└─ ").split()[0] for line in errors.__doc__.splitlines() if "──" in line}
    assert drawn == {error.__name__ for error in ALL}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_an_error_keeps_its_name_its_mend_and_whether_it_may_be_tried_again(error: type[VulnzeroError]) -> None:
    ours = made(error)
    theirs = translate(ours)
    assert theirs.type == error.__name__
    assert theirs.non_retryable is (error.__name__ not in RETRYABLE)
    assert theirs.message == str(ours) and ours.mend in theirs.message
    assert (theirs.next_retry_delay is not None) is (error is WorkerDraining)


def test_a_worker_that_stops_hands_over_at_once() -> None:
    delay = translate(WorkerDraining("this worker stops")).next_retry_delay
    assert delay is not None and delay <= timedelta(milliseconds=10)


def test_a_failure_that_lives_in_histories_is_short() -> None:
    assert len(translate(LedgerUnavailable("x" * 100_000)).message) == MESSAGE_LIMIT


class Raising(ActivityInboundInterceptor):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        raise self._error


async def executed(error: Exception) -> BaseException:
    given: Any = None
    with pytest.raises(Exception) as raised:
        await TranslateErrors().intercept_activity(Raising(error)).execute_activity(given)
    return raised.value


async def test_the_interceptor_translates_what_an_activity_raises_and_keeps_the_cause() -> None:
    ours = LedgerUnavailable("the database does not answer")
    theirs = await executed(ours)
    assert isinstance(theirs, ApplicationError) and theirs.type == "LedgerUnavailable"
    assert theirs.__cause__ is ours


async def test_an_error_that_is_not_ours_passes_as_it_is() -> None:
    fault = ZeroDivisionError("a bug")
    assert await executed(fault) is fault
