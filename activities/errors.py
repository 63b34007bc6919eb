"""One translator between our errors and Temporal's: nobody reads an error's text to decide whether to retry."""

from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from workflows.contracts.errors import VulnzeroError, WorkerDraining

MESSAGE_LIMIT = 2000  # failures live in histories for ever, and a history has room for 50 MiB


def translate(error: VulnzeroError) -> ApplicationError:
    # Another worker goes on at once when this one leaves politely.
    delay = timedelta(milliseconds=1) if isinstance(error, WorkerDraining) else None
    return ApplicationError(
        str(error)[:MESSAGE_LIMIT],
        type=type(error).__name__,
        non_retryable=not error.retryable,
        next_retry_delay=delay,
    )


class TranslateErrors(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except VulnzeroError as error:
            raise translate(error) from error
