"""What can go wrong between a client and the stack; the rest of the tree is in workflows.contracts.errors."""

from workers.connection import StackUnreachable
from workflows.contracts.errors import Refused, VulnzeroError


class NothingKnown(StackUnreachable):
    """No flag, no environment variable and no running dev stack says where it is."""

    def __init__(self, what: str, variable: str) -> None:
        super().__init__(f"nobody says where {what} is", f"set {variable}, or start the dev stack: vulnzero dev")


class NoWorker(StackUnreachable):
    """`queue` has no worker that polls it, so nobody can answer."""

    def __init__(self, queue: str, asked: str) -> None:
        super().__init__(
            f"no worker polls {queue}, so nobody answers {asked}", "start one: vulnzero worker (or vulnzero dev)"
        )


class NoAnswer(StackUnreachable):
    """Workers poll, yet the deployment did not answer in time: busy, or failing its task again and again."""


class WorkflowClosed(Refused):
    """Temporal takes nothing more for this workflow: it has ended, or is forgotten."""


class NoResult(VulnzeroError):
    """The workflow ended in Temporal without a result: terminated, timed out, or failed. `how` is its own word."""

    def __init__(self, deployment_id: int, how: str) -> None:
        super().__init__(
            f"the workflow of deployment {deployment_id} ended without a result: {how}",
            f"'vulnzero show {deployment_id}' tells what the ledger holds",
        )
        self.how = how
