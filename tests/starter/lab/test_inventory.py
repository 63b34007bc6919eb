from pathlib import Path

import yaml

from starter.lab import inventory
from starter.lab.fleet import Fleet
from starter.lab.plan import FleetPlan

EXPECTED = """
assets:
  - name: lab7-h1
    address: 10.77.7.11
    port: 22
    user: root
    connection: ssh
    platform: debian
    labels: {env: lab, zone: a, rack: a1, service: acme-healthd}
    host_key: "ssh-ed25519 AAAA"
    credential: "file:/data/lab/id_ed25519"
    services: [{name: acme-healthd, probe: {type: http, port: 8080, path: /health, timeout: 10}}]
"""


def test_assets_have_exactly_the_import_format() -> None:
    made = inventory.assets(FleetPlan(7), {1: "ssh-ed25519 AAAA"}, Path("/data/lab/id_ed25519"))
    assert made == yaml.safe_load(EXPECTED)


def test_assets_are_in_the_order_of_the_hosts() -> None:
    made = inventory.assets(FleetPlan(7), {10: "k", 2: "k", 1: "k"}, Path("/k"))
    assert [asset["name"] for asset in made["assets"]] == ["lab7-h1", "lab7-h2", "lab7-h10"]


def test_the_two_patches_name_the_package_version_and_the_service() -> None:
    fixed, broken = inventory.patches()["patches"]
    assert (fixed["name"], broken["name"]) == ("acme-healthd-1.0.1", "acme-healthd-1.0.2")
    assert "/health fails" in broken["title"]
    assert set(fixed) == {"name", "title", "cves", "severity", "platforms", "service"}
    assert fixed["platforms"] == {"debian": {"package": "acme-healthd", "version": "1.0.1"}}


def test_a_fleet_that_is_not_up_has_no_assets(tmp_path: Path) -> None:
    assert Fleet(7, tmp_path).assets() == {"assets": []}
