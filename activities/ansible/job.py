"""What crosses the pipe between a worker and the supervisor of one batch: a `Job` in, `Line`s out.

Both sides are frozen pydantic models; a job is one JSON object on stdin, every line out is one JSON object.
`LINES` parses a line: `LINES.validate_json(text)`. Errors: `pydantic.ValidationError` for anything that does not fit.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

MESSAGE_LIMIT = 16 * 1024
CUT_MARK = " [... cut]"

# A host name is an Ansible pattern: "h[1:3]", "a:b" or "!x" would select other hosts than the one that was meant.
HOST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
# Nothing that ssh, apt or systemctl could take for an option or a second line.
ADDRESS = r"^[A-Za-z0-9:]([A-Za-z0-9.:%_-]*[A-Za-z0-9])?$"
USER = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
HOST_KEY = r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,2}$"
CREDENTIAL = r"^(agent|file:/[^\x00-\x1f]+)$"
PACKAGE = r"^[a-z0-9][a-z0-9+._-]*(:[a-z0-9]+)?$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9.+~:_-]*$"
SERVICE = r"^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*$"

# Groups that every inventory has: a host of that name would be all of them.
RESERVED_NAMES = frozenset({"all", "ungrouped"})

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


class Probe(Frozen):
    """How a host shows that it is well: an HTTP request to its own 127.0.0.1. `timeout` in seconds."""

    type: Literal["http"] = "http"
    port: int = Field(ge=1, le=65535)
    path: str = Field(pattern=r"^/[!-~]*$", max_length=2048)
    timeout: int = Field(default=30, ge=1, le=3600)
    status: int = Field(default=200, ge=100, le=599)


class JobHost(Frozen):
    """One host of a batch and what is to run on it; `version` is the exact version that the host shall end at."""

    name: str = Field(pattern=HOST_NAME, max_length=200)
    address: str = Field(pattern=ADDRESS, max_length=255)
    port: int = Field(default=22, ge=1, le=65535)
    user: str = Field(default="root", pattern=USER, max_length=64)
    host_key: str = Field(pattern=HOST_KEY, max_length=4096)
    credential: str = Field(pattern=CREDENTIAL, max_length=4096)
    become: bool = False
    package: str = Field(pattern=PACKAGE, max_length=255)
    version: str = Field(pattern=VERSION, max_length=255)
    service: str | None = Field(default=None, pattern=SERVICE, max_length=255)
    probe: Probe | None = None

    @field_validator("name")
    @classmethod
    def _no_group(cls, name: str) -> str:
        if name.lower() in RESERVED_NAMES:
            raise ValueError(f"{name!r} is a group of every inventory")
        return name


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


class Started(Frozen):
    """The claim of this host was granted; its patch begins."""

    type: Literal["started"] = "started"
    host: str


class TaskEvent(Frozen):
    """For the live log; decides nothing."""

    type: Literal["task"] = "task"
    host: str
    task: str
    status: Literal["started", "ok", "failed", "skipped", "unreachable"]
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
