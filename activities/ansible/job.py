"""What crosses the pipe between a worker and the supervisor of one batch: a `Job` in, `Line`s out.

Both sides are frozen pydantic models; a job is one JSON object on stdin, every line out is one JSON object.
`LINES` parses a line: `LINES.validate_json(text)`. Errors: `pydantic.ValidationError` for anything that does not fit.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from workflows.contracts.inventory import (
    Address,
    Credential,
    HostKey,
    HostName,
    HttpProbe,
    PackageName,
    ServiceName,
    UserName,
    Version,
)

MESSAGE_LIMIT = 16 * 1024
CUT_MARK = " [... cut]"

HostState = Literal[
    "SUCCEEDED",
    "FAILED",
    "SKIPPED",
    "UNREACHABLE",
    "UNKNOWN",
    "NOT_CLAIMED",
    # only the answer to a look (mode='look')
    "NOTHING_CHANGED",
    "PARTIAL",
]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Probe = HttpProbe


class JobHost(Frozen):
    """One host of a batch and what is to run on it.

    `version` is the exact version that the host shall end at; None for a rollback: the host knows what it ran before.
    """

    name: HostName
    address: Address
    port: int = Field(default=22, ge=1, le=65535)
    user: UserName = "root"
    host_key: HostKey
    credential: Credential
    become: bool = False
    package: PackageName
    version: Version | None
    service: ServiceName | None = None
    probe: HttpProbe | None = None


class Job(Frozen):
    """One batch. `directory` is private (0700), made by the worker; the supervisor fills and removes it.

    `attempt` is the deployment's attempt, `host_timeout` in seconds. `mode='look'` reports and changes nothing.
    """

    batch: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    deployment: int = Field(ge=1)
    attempt: int = Field(ge=1)
    kind: Literal["patch", "rollback"] = "patch"
    mode: Literal["apply", "look"] = "apply"
    directory: str = Field(pattern=r"^/[^\x00-\x1f\"]+$")
    # Linux cuts a socket's path at 107 bytes: refuse here, not as a puzzling "no" from every host.
    claim_socket: str = Field(pattern=r"^/[^\x00-\x1f]+$", max_length=107)
    forks: int = Field(ge=1, le=1000)
    host_timeout: int = Field(default=300, ge=1)
    hosts: tuple[JobHost, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _distinct(self) -> "Job":
        # Known hosts are compared without case: two such names would accept each other's key.
        names = [host.name.lower() for host in self.hosts]
        if len(set(names)) != len(names):
            raise ValueError("host names of a batch must differ in more than case")
        return self

    @model_validator(mode="after")
    def _versions(self) -> "Job":
        if self.kind == "patch" and any(host.version is None for host in self.hosts):
            raise ValueError("a patch needs a version for each host")
        return self


class Started(Frozen):
    """The claim of this host was granted; its patch begins."""

    type: Literal["started"] = "started"
    host: str


class TaskEvent(Frozen):
    """For the live log, one a task at its end, and none for a claim that was granted; decides nothing."""

    type: Literal["task"] = "task"
    host: str
    task: str
    status: Literal["ok", "failed", "skipped", "unreachable"]
    message: str = ""
    at: datetime


class Outcome(Frozen):
    """How one host ended, the moment it is known; exactly one a host. `seconds` is the patch task's wall time.

    `fence` is the granted claim's number, None where none was heard of. `superseded`: a rollback left the host
    alone because its version is no longer what this deployment left.
    """

    type: Literal["outcome"] = "outcome"
    host: str
    state: HostState
    message: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    changed: bool = False
    resumed: bool = False
    replayed: bool = False
    superseded: bool = False
    seconds: float = 0.0
    fence: int | None = None


class Finished(Frozen):
    """The last line. `rc` and `status` are Ansible's own, for people: no outcome was derived from them."""

    type: Literal["finished"] = "finished"
    rc: int | None
    status: str
    detail: str = ""


Line = Annotated[Started | TaskEvent | Outcome | Finished, Field(discriminator="type")]
LINES: TypeAdapter[Started | TaskEvent | Outcome | Finished] = TypeAdapter(Line)


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` in at most `limit` bytes of UTF-8, with a mark where it was cut."""
    raw = text.encode(errors="replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - len(CUT_MARK)].decode(errors="ignore") + CUT_MARK
