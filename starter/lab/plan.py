"""Who is called what, and where: every name and address of a fleet follows from its number.

Two fleets with different numbers share no name, so they live side by side and neither's `down` can touch the other.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network

from starter.lab.errors import LabError

MAX_NUMBER = 254
MAX_HOSTS = 244  # the last address is .254
ZONES = "abc"
RACKS_PER_ZONE = 2


def _mac(number: int, index: int) -> str:
    return f"02:76:7a:{number:02x}:00:{index:02x}"  # 02: locally administered


@dataclass(frozen=True)
class HostPlan:
    """One host's names; `index` counts from 1. Interface names stay under the kernel's 15 characters."""

    number: int
    index: int

    @property
    def name(self) -> str:
        return f"lab{self.number}-h{self.index}"

    @property
    def address(self) -> str:
        return f"10.77.{self.number}.{10 + self.index}"

    @property
    def mac(self) -> str:
        """Fixed, so that a host that was reset is not lost for a minute behind the old address in ARP caches."""
        return _mac(self.number, self.index)

    @property
    def netns(self) -> str:
        return self.name

    @property
    def veth(self) -> str:
        return f"vz{self.number}h{self.index}"

    @property
    def cgroup(self) -> str:
        return f"vulnzero-{self.name}"

    @property
    def zone(self) -> str:
        return ZONES[(self.index - 1) % len(ZONES)]

    @property
    def rack(self) -> str:
        return f"{self.zone}{1 + (self.index - 1) // len(ZONES) % RACKS_PER_ZONE}"


@dataclass(frozen=True)
class FleetPlan:
    """A fleet's names; raises LabError for a number outside 0..254."""

    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.number <= MAX_NUMBER:
            raise LabError(f"there is no practice fleet {self.number}: choose a number from 0 to {MAX_NUMBER}")

    @property
    def bridge(self) -> str:
        return f"vz{self.number}"

    @cached_property
    def network(self) -> IPv4Network:
        return IPv4Network(f"10.77.{self.number}.0/24")

    @property
    def gateway(self) -> str:
        return f"10.77.{self.number}.1"

    @property
    def mac(self) -> str:
        """The bridge's, fixed: else it takes its lowest port's, and changes under the hosts as ports come and go."""
        return _mac(self.number, 0)

    def host(self, index: int) -> HostPlan:
        """The plan of host `index` (1..244); LabError outside of it."""
        if not 1 <= index <= MAX_HOSTS:
            raise LabError(f"a practice fleet has hosts 1 to {MAX_HOSTS}, not {index}")
        return HostPlan(self.number, index)

    def index_of(self, name: str) -> int | None:
        """The index of the host that `name` (a host's, netns' or cgroup's name) belongs to; None for a stranger."""
        found = re.fullmatch(rf"(?:vulnzero-)?lab{self.number}-h([1-9]\d*)", name)
        return int(found[1]) if found and int(found[1]) <= MAX_HOSTS else None
