"""Every error of the system, as one tree: area, then a leaf named for the state it found.

VulnzeroError
├── RequestError           what was asked cannot be done as asked; asking again changes nothing
│   ├── InvalidRequest     a field is missing, misspelt or out of range
│   ├── UnknownThing       an asset, patch or deployment that nobody has registered
│   ├── EmptySelection     the selector matches no asset
│   └── Refused            the state of the deployment does not allow it
├── LedgerError
│   ├── LedgerUnavailable  the database does not answer (retryable)
│   └── StaleAttempt       a newer attempt owns this batch or host
├── FleetError
│   └── NoAnswerFromWorkflow   the workflow could not be asked before a claim (retryable)
└── BatchError
    ├── AnsibleMissing     ansible-playbook cannot be run on this worker (retryable: another worker may have it)
    └── WorkerDraining     this worker is stopping; another goes on (retryable at once)
"""

from typing import ClassVar


class VulnzeroError(Exception):
    """Root of all; `retryable` says whether the same call may succeed later without anybody changing it."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}; {self.mend}" if self.mend else self.message


class RequestError(VulnzeroError):
    pass


class InvalidRequest(RequestError):
    """`field` is the dotted path of what is wrong, as the user wrote it."""

    def __init__(self, field: str, problem: str, mend: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem, mend)
        self.field = field


class UnknownThing(RequestError):
    def __init__(self, kind: str, identity: object, mend: str = "") -> None:
        super().__init__(f"no {kind} {identity}", mend or f"'vulnzero {kind} list' shows what there is")


class EmptySelection(RequestError):
    def __init__(self, selector: str) -> None:
        super().__init__(f"the selector {selector!r} matches no asset", "'vulnzero asset list' shows assets and labels")


class Refused(RequestError):
    pass


class LedgerError(VulnzeroError):
    pass


class LedgerUnavailable(LedgerError):
    retryable = True


class StaleAttempt(LedgerError):
    pass


class FleetError(VulnzeroError):
    pass


class NoAnswerFromWorkflow(FleetError):
    retryable = True


class BatchError(VulnzeroError):
    pass


class AnsibleMissing(BatchError):
    retryable = True


class WorkerDraining(BatchError):
    retryable = True
