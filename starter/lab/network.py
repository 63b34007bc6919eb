"""A bridge for the fleet, and for each host a network namespace with one cable that can be pulled."""

import contextlib
import json
from ipaddress import IPv4Address
from pathlib import Path

from starter.lab.errors import LabError
from starter.lab.machine import shared_state
from starter.lab.plan import FleetPlan, HostPlan
from starter.lab.shell import sh

NETNS = Path("/run/netns")
LINKS = Path("/sys/class/net")


def bridge_up(plan: FleetPlan) -> None:
    """Makes the fleet's bridge if it is missing; LabError when its addresses belong to something else already."""
    for link in json.loads(sh("ip", "-json", "-4", "address")):
        taken = [one["local"] for one in link["addr_info"] if IPv4Address(one["local"]) in plan.network]
        if link["ifname"] != plan.bridge and taken:
            raise LabError(f"{plan.network} is in use by {link['ifname']} ({taken[0]}): choose another fleet number")
    if not (LINKS / plan.bridge).exists():
        sh("ip", "link", "add", plan.bridge, "address", plan.mac, "type", "bridge")
    sh("ip", "address", "replace", f"{plan.gateway}/24", "dev", plan.bridge)
    sh("ip", "link", "set", plan.bridge, "addrgenmode", "none", "up")


def bridge_down(plan: FleetPlan) -> None:
    """Removes the fleet's bridge, if there is one."""
    _delete_link(plan.bridge)


def host_up(plan: FleetPlan, host: HostPlan) -> None:
    """Gives the host a fresh namespace with its address on eth0; a half-made one is removed first."""
    host_down(host)
    # Two `ip netns add` at once, the machine's first, can mount /run/netns over each other.
    with shared_state():
        sh("ip", "netns", "add", host.netns)
    peer = ("peer", "name", "eth0", "address", host.mac, "netns", host.netns)
    sh("ip", "link", "add", host.veth, "type", "veth", *peer)
    # No default route: the machine forwards nothing, so a way out would only turn each refusal into a time-out.
    inside = f"link set lo up\naddress add {host.address}/24 dev eth0\nlink set eth0 up\n"
    sh("ip", "-n", host.netns, "-batch", "-", stdin=inside)
    sh("ip", "link", "set", host.veth, "addrgenmode", "none", "master", plan.bridge, "up")


def host_down(host: HostPlan) -> None:
    """Removes the host's cable and namespace, if there are any."""
    _delete_link(host.veth)
    if (NETNS / host.netns).exists():
        sh("ip", "netns", "delete", host.netns)


def cut(host: HostPlan) -> None:
    """Pulls the host's cable: it runs on, and nobody reaches it."""
    _set(host, "down")


def mend(host: HostPlan) -> None:
    """Puts the host's cable back."""
    _set(host, "up")


def hosts_seen(plan: FleetPlan) -> set[int]:
    """The indices of hosts that have a namespace or a cable, whatever any record says."""
    names = {path.name for path in NETNS.iterdir()} if NETNS.is_dir() else set()
    seen = {index for name in names if (index := plan.index_of(name)) is not None}
    cables = (path.name.removeprefix(f"{plan.bridge}h") for path in LINKS.glob(f"{plan.bridge}h*"))
    return seen | {int(cable) for cable in cables if cable.isdigit()}


def _set(host: HostPlan, state: str) -> None:
    sh("ip", "link", "set", host.veth, state, mend=f"{host.name} is not up: bring the fleet up")


def _delete_link(name: str) -> None:
    if (LINKS / name).exists():
        with contextlib.suppress(LabError):  # it goes by itself when its namespace dies: then somebody was faster
            sh("ip", "link", "delete", name)
        if (LINKS / name).exists():
            raise LabError(f"the interface {name} cannot be removed: see `ip link show {name}`")
