"""The fleet as VulnZero's own import formats, so that practice needs no file written by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starter.lab.packages import BROKEN, FIXED, HEALTH_PATH, HEALTH_PORT, PACKAGE
from starter.lab.plan import FleetPlan

CVE = "CVE-2024-12345"


def assets(plan: FleetPlan, host_keys: Mapping[int, str], private_key: Path) -> dict[str, Any]:
    """The asset import for the hosts of `host_keys` (index -> "ssh-ed25519 AAAA...").

    Hosts are spread over zones a, b, c and two racks a zone, so that strategies that spread by label have something
    to spread over. `private_key` is the absolute path that becomes the credential reference.
    """
    return {"assets": [_asset(plan, index, key, private_key) for index, key in sorted(host_keys.items())]}


def _asset(plan: FleetPlan, index: int, host_key: str, private_key: Path) -> dict[str, Any]:
    host = plan.host(index)
    return {
        "name": host.name,
        "address": host.address,
        "port": 22,
        "user": "root",
        "connection": "ssh",
        "platform": "debian",
        "labels": {"env": "lab", "zone": host.zone, "rack": host.rack, "service": PACKAGE},
        "host_key": host_key,
        "credential": f"file:{private_key}",
        "services": [
            {"name": PACKAGE, "probe": {"type": "http", "port": HEALTH_PORT, "path": HEALTH_PATH, "timeout": 10}}
        ],
    }


def patches() -> dict[str, Any]:
    """The patch import: one patch that mends and one whose service does not come up healthy."""
    return {
        "patches": [
            _patch(FIXED, "acme-healthd 1.0.1: mends a request smuggling hole"),
            _patch(BROKEN, "acme-healthd 1.0.2: a bad release on purpose, its /health fails"),
        ]
    }


def _patch(version: str, title: str) -> dict[str, Any]:
    return {
        "name": f"{PACKAGE}-{version}",
        "title": title,
        "cves": [CVE],
        "severity": "critical",
        "platforms": {"debian": {"package": PACKAGE, "version": version}},
        "service": PACKAGE,
    }
