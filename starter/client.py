"""The client library: deploy, watch and steer from any asyncio program.

    async with await DeploymentClient.connect() as client:
        deployment = await client.deploy(patch_id=123, asset_ids=[1, 2, 3], strategy=Rolling(batch_size=0.2))
        result = await deployment.result()

Everything raises a VulnzeroError: RequestError where asking again changes nothing, `retryable` where it may help.
"""

import asyncio
import getpass
import os
from collections.abc import Iterable
from typing import Any

from temporalio.client import Client, RPCError, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from starter import calls
from starter.connection import Where
from starter.errors import NoResult, WorkflowClosed
from starter.ledger import Ledger
from starter.words import in_users_words, workflow_type
from workflows.contracts.errors import LedgerUnavailable, Refused, VulnzeroError
from workflows.contracts.names import Queue, Verb, WorkflowType, workflow_id
from workflows.contracts.requests import CancelArgument, DeploymentRequest, PromoteArgument, VerbAnswer, VerbArgument
from workflows.contracts.status import Status
from workflows.contracts.steps import DeploymentResult
from workflows.contracts.strategies import Rolling, StrategyParams

# Well below the minute after which workers start a row that is still QUEUED: both at once, and the loser would close
# the row of the winner's workflow.
START_SECONDS = 20.0


class Deployment:
    """A handle: cheap, stateless, and good for as long as the client is open."""

    def __init__(self, client: "DeploymentClient", deployment_id: int, workflow: str) -> None:
        self.id = deployment_id
        self.workflow_id = workflow
        self._client = client
        self._handle: WorkflowHandle[Any, DeploymentResult] = client.temporal.get_workflow_handle(
            workflow, result_type=DeploymentResult
        )

    async def result(self) -> DeploymentResult:
        """Waits for the end, however long it takes. Raises NoResult where the workflow was ended from outside.

        A workflow that could not even register fails in Temporal; where the ledger was closed in spite of that, its
        row is the result.
        """
        try:
            async with calls.translated(self._client.temporal):
                return await self._handle.result()
        except WorkflowFailureError as error:
            row = await self._client.ledger.deployment(self.id)
            if row.finished_at is None:
                raise NoResult(self.id, _how(error)) from None
            return DeploymentResult(
                deployment_id=self.id, state=row.state, message=row.message, counts=row.counts,
                started_at=row.started_at, finished_at=row.finished_at,
            )  # fmt: skip

    async def status(self) -> Status:
        """Where it is and what it waits for. Raises NoWorker, NoAnswer, Refused (Temporal has forgotten it)."""
        return await calls.ask_status(self._client.temporal, self._handle)

    async def promote(
        self, reason: str = "", by: str | None = None, wait_id: str | None = None, full: bool = False
    ) -> VerbAnswer:
        """Ends the current wait or gate, or `wait_id` alone: a doubled promote then ends nothing more.

        `full` ends all later ones too.
        """
        argument = PromoteArgument(by=by or me(), reason=reason, wait_id=wait_id, full=full)
        return await self._send(Verb.PROMOTE, argument)

    async def pause(self, reason: str = "", by: str | None = None) -> VerbAnswer:
        """Holds what has not started; hosts in hand finish."""
        return await self._send(Verb.PAUSE, VerbArgument(by=by or me(), reason=reason))

    async def resume(self, reason: str = "", by: str | None = None) -> VerbAnswer:
        return await self._send(Verb.RESUME, VerbArgument(by=by or me(), reason=reason))

    async def cancel(self, reason: str = "", by: str | None = None) -> VerbAnswer:
        """Hosts in hand finish, the rest is not started."""
        return await self._send(Verb.CANCEL, CancelArgument(by=by or me(), reason=reason))

    async def rollback(self, reason: str = "", by: str | None = None) -> VerbAnswer:
        """Hosts in hand finish, then every host that this deployment changed goes back to what it ran.

        Of an open deployment only: of a closed one it raises WorkflowClosed, whether or not a worker is there to ask.
        """
        await self._refuse_if_closed(Verb.ROLLBACK)
        return await self._send(Verb.ROLLBACK, VerbArgument(by=by or me(), reason=reason))

    async def _send(self, verb: Verb, argument: VerbArgument) -> VerbAnswer:
        """Raises Refused where the state does not allow the verb, NoWorker and NoAnswer where nobody answers."""
        try:
            return await calls.send(self._client.temporal, self._handle, verb, argument)
        except WorkflowClosed:
            await self._refuse_if_closed(verb)
            raise

    async def _refuse_if_closed(self, verb: Verb) -> None:
        """The ledger knows how a deployment ended, which Temporal's own refusal does not say."""
        row = await self._client.ledger.deployment(self.id)
        if row.finished_at is not None:
            mend = "this version rolls back open deployments only" if verb is Verb.ROLLBACK else ""
            raise WorkflowClosed(f"{verb} refused: the deployment is closed as {row.state}", mend) from None


class DeploymentClient:
    """One connection to Temporal and one to the ledger. Use as an async context manager."""

    def __init__(self, ledger: Ledger, temporal: Client) -> None:
        self.ledger = ledger
        self.temporal = temporal

    @classmethod
    async def connect(
        cls, database_url: str | None = None, temporal_address: str | None = None, namespace: str | None = None
    ) -> "DeploymentClient":
        """What is left out comes from the environment, then from a running dev stack. Raises StackUnreachable.

        The ledger is connected at its first use: LedgerUnavailable comes from there.
        """
        where = Where(database_url, temporal_address, namespace)
        ledger = Ledger(where.database_url())
        try:
            return cls(ledger, await where.temporal().connect())
        except BaseException:
            await ledger.close()
            raise

    async def __aenter__(self) -> "DeploymentClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.ledger.close()

    async def deploy(
        self,
        patch_id: int,
        asset_ids: Iterable[int] | None = None,
        selector: str | None = None,
        strategy: StrategyParams | None = None,
        requested_by: str | None = None,
        reason: str = "",
    ) -> Deployment:
        """Puts a patch on assets (either `asset_ids` or `selector`); returns as soon as the workflow is started.

        `strategy` is any of workflows.contracts: AllAtOnce, Rolling (the default) or Canary.

        The QUEUED row comes first, because its id names the workflow. Where the start then fails, whether refused or
        lost on the way, the row is closed as REJECTED: the caller has been told that it failed, and workers start
        rows that stay QUEUED. If the server did start it after all, nothing is patched: a closed row is refused
        its slot and its claims. A client that dies between the two steps has told nobody anything; a worker starts
        its row.

        Raises UnknownThing, EmptySelection, InvalidRequest; TemporalUnavailable; LedgerUnavailable.
        """
        strategy = strategy or Rolling()
        kind = workflow_type(strategy)
        request = DeploymentRequest.read(
            {
                "patch_id": patch_id,
                "asset_ids": None if asset_ids is None else tuple(asset_ids),
                "selector": selector,
                "strategy_params": in_users_words(strategy),
                "requested_by": requested_by or me(),
            }
        )
        patch = await self.ledger.patch(request.patch_id)
        if request.selector is not None:
            await self.ledger.select(request.selector)
        else:
            await self.ledger.by_ids(request.asset_ids or ())
        deployment_id = await self.ledger.enqueue(kind, request)
        await self._start(deployment_id, kind, request, patch.name, reason)
        return Deployment(self, deployment_id, workflow_id(deployment_id))

    async def deployment(self, deployment_id: int) -> Deployment:
        """The handle of one that exists, whoever started it. Raises UnknownThing."""
        row = await self.ledger.deployment(deployment_id)
        return Deployment(self, deployment_id, row.workflow_id or workflow_id(deployment_id))

    async def without_worker(self) -> list[Queue]:
        """Queues that nobody polls: what is started stays QUEUED, or stops half-way, until somebody does."""
        return [queue for queue in Queue if not await calls.has_worker(self.temporal, queue)]

    async def _start(
        self, deployment_id: int, kind: WorkflowType, request: DeploymentRequest, patch: str, reason: str
    ) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.temporal.start_workflow(
                    kind,
                    request.model_dump(mode="json", exclude_none=True),
                    id=workflow_id(deployment_id),
                    task_queue=Queue.WORKFLOWS,
                    static_summary=f"{patch}, asked for by {request.requested_by}"[:200],
                    static_details=reason or None,
                )
        except WorkflowAlreadyStartedError as error:
            message = (
                f"Temporal holds a workflow {workflow_id(deployment_id)} already: does another ledger use namespace "
                f"{self.temporal.namespace}?"
            )
            await self._give_up(deployment_id, message)
            raise Refused(message) from error
        except (RPCError, TimeoutError) as error:
            fault = calls.unavailable(self.temporal, error)
            await self._give_up(deployment_id, f"the workflow could not be started: {fault.message}")
            raise fault from error

    async def _give_up(self, deployment_id: int, message: str) -> None:
        try:
            await self.ledger.reject(deployment_id, message)
        except LedgerUnavailable:
            # The start's own error matters more to the caller than a row that holds nothing.
            return


def me() -> str:
    """Who asks, as the operating system knows it; behind sudo, the person and not root."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"


def _how(error: WorkflowFailureError) -> str:
    cause = error.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause) or type(cause).__name__


__all__ = ["Deployment", "DeploymentClient", "VulnzeroError", "me"]
