"""Assets and patches as they cross a boundary: import files, the planner, the batch."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from workflows.contracts.model import Contract

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")
LABEL_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,251}[A-Za-z0-9])?|")
# Nothing that ssh, apt or systemctl could take for an option or a second line.
PACKAGE_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_-]{0,254}")
PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+._-]{0,254}")
SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,254}")
ADDRESS = re.compile(r"[A-Za-z0-9:](?:[A-Za-z0-9.:-]{0,253}[A-Za-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,63}")
HOST_KEY = re.compile(
    r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,2}(?: [^\x00-\x1f]+)?"
)
CREDENTIAL = re.compile(r"agent|file:/[^\s\x00-\x1f]{1,4096}")

# Groups that every inventory of Ansible has: a host of that name would be all of them.
RESERVED_NAMES = frozenset({"all", "ungrouped"})


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        # Ansible expands "h[1:3]" in a host name, and Jinja in any value, so nothing outside the pattern gets in.
        if not pattern.fullmatch(value):
            raise ValueError(f"{value[:80]!r} is no {what} (allowed: {pattern.pattern})")
        return value

    return AfterValidator(check)


def _no_group(name: str) -> str:
    if name.lower() in RESERVED_NAMES:
        raise ValueError(f"{name!r} is a group of every inventory")
    return name


HostName = Annotated[str, _matching(NAME, "host name"), AfterValidator(_no_group)]
Address = Annotated[str, _matching(ADDRESS, "address")]
UserName = Annotated[str, _matching(USER, "user name")]
LabelKey = Annotated[str, _matching(LABEL_KEY, "label key")]
LabelValue = Annotated[str, _matching(LABEL_VALUE, "label value")]
Version = Annotated[str, _matching(PACKAGE_VERSION, "package version")]
PackageName = Annotated[str, _matching(PACKAGE_NAME, "package name")]
ServiceName = Annotated[str, _matching(SERVICE_NAME, "service name")]
HostKey = Annotated[str, _matching(HOST_KEY, "SSH public key")]
Credential = Annotated[str, _matching(CREDENTIAL, "credential reference")]


class HttpProbe(Contract):
    """GET on the host itself; good when the answer has the expected status. Timeout in seconds."""

    type: Literal["http"] = "http"
    port: int = Field(ge=1, le=65535)
    path: str = Field(default="/health", pattern=r"^/[\x21-\x7e]*$", max_length=2048)
    status: int = Field(default=200, ge=100, le=599)
    timeout: float = Field(default=30.0, gt=0, le=600)


class Service(Contract):
    name: ServiceName
    probe: HttpProbe | None = None


class AssetSpec(Contract):
    """One machine, as an import file or an API call describes it. `name` is its identity."""

    name: HostName
    address: Address
    port: int = Field(default=22, ge=1, le=65535)
    user: UserName = "root"
    connection: Literal["ssh"] = "ssh"
    platform: Annotated[str, _matching(re.compile(r"[a-z0-9._-]+"), "platform")]
    labels: dict[LabelKey, LabelValue] = {}
    services: tuple[Service, ...] = ()
    host_key: HostKey
    credential: Credential


class Package(Contract):
    package: PackageName
    version: Version


class PatchSpec(Contract):
    """What is put on a machine: per platform one package at its fixed version. `name` is its identity."""

    name: Annotated[str, _matching(NAME, "patch name")]
    title: str = Field(default="", max_length=500)
    cves: tuple[Annotated[str, _matching(re.compile(r"CVE-\d{4}-\d{4,}"), "CVE id")], ...] = ()
    severity: Literal["critical", "high", "medium", "low"] = "medium"
    platforms: dict[str, Package] = Field(min_length=1)
    service: ServiceName | None = None


class Asset(AssetSpec):
    id: int


class Patch(PatchSpec):
    id: int
