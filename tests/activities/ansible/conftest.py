"""Real hosts for the tests marked `fleet`."""

import contextlib
import json
import os
import shutil
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activities.ansible.job import JobHost, Probe
from starter.dev.number import Place, allot
from starter.lab.fleet import Fleet
from tests.activities.ansible.support import PACKAGE, the_warm, wait_until

HOSTS = 4

# Back to the vulnerable version, running, with no memory of any deployment. A run that an earlier test cut off may
# still go on here: its lock tells when it has ended.
RESET = f"""
rm -f /var/lib/{PACKAGE}/hold-*
[ ! -e /var/lib/vulnzero/lock ] || flock -w 30 /var/lib/vulnzero/lock true
rm -rf /var/lib/vulnzero
apt-mark unhold {PACKAGE} >/dev/null
[ "$(dpkg-query -W -f='${{Version}} ${{db:Status-Status}}' {PACKAGE})" = "1.0.0 installed" ] || {{
  dpkg --configure -a
  apt-get install -qqy --allow-downgrades {PACKAGE}=1.0.0 && systemctl restart {PACKAGE}; }} >/dev/null 2>&1
systemctl is-active -q {PACKAGE} || systemctl restart {PACKAGE}
"""


class LabHosts(list[JobHost]):
    """The hosts as a job has them, and a way into each that needs no network (`index` as in the list)."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(_job_host(asset) for asset in fleet.assets()["assets"])
        self.fleet = fleet

    def sh(self, index: int, script: str) -> str:
        return self.fleet.run(index + 1, ["sh", "-c", script]).stdout.strip()

    def version(self, index: int) -> str:
        return self.sh(index, f"dpkg-query -W -f='${{Version}}' {PACKAGE}")

    def health(self, index: int) -> str:
        """Version that answers on the host's /health, once it does."""
        address, found = self[index].address, [""]

        def answers() -> bool:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://{address}:8080/health", timeout=2) as got,
            ):
                found[0] = json.load(got)["version"]
            return bool(found[0])

        wait_until(answers, what="an answer")
        return found[0]

    def starts(self, index: int) -> list[str]:
        """Versions of the daemon, one for each time it was started."""
        lines = self.sh(index, "cat /var/log/acme-healthd.starts").splitlines()
        return [line.split()[1] for line in lines]

    def journal(self, index: int) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.sh(index, "cat /var/lib/vulnzero/journal").splitlines()]

    def events(self, index: int) -> list[str]:
        return [line["event"] for line in self.journal(index)]

    def hold(self, index: int, point: str) -> None:
        self.fleet.hold(index + 1, point)

    def release(self, index: int, point: str) -> None:
        self.fleet.release(index + 1, point)

    def held(self, index: int) -> str | None:
        return self.fleet.held(index + 1)

    def reset(self) -> None:
        with ThreadPoolExecutor(len(self)) as pool:
            list(pool.map(lambda index: self.sh(index, RESET), range(len(self))))


def _job_host(asset: dict[str, Any]) -> JobHost:
    return JobHost(
        **{name: asset[name] for name in ("name", "address", "port", "user", "host_key", "credential")},
        package=PACKAGE,
        version="1.0.1",
        service=PACKAGE,
        probe=Probe(port=8080, path="/health", timeout=10),
    )


@pytest.fixture(scope="session")
def lab_hosts() -> Iterator[LabHosts]:
    """On a number of this checkout's own: one that was fixed would be taken by whoever tests beside us, and by the
    left-overs of a run that was killed."""
    place = Place.of(allot(f"{Path(__file__).resolve().parents[3]}#batches"))
    fleet = Fleet(place.number, place.data)
    try:
        fleet.up(HOSTS)
        yield LabHosts(fleet)
    finally:
        # VULNZERO_TEST_FLEET=keep: from one run to the next, for whoever works on these tests.
        if os.environ.get("VULNZERO_TEST_FLEET") != "keep":
            fleet.down()


@pytest_asyncio.fixture(scope="session", autouse=True)
async def closed_in_the_end() -> AsyncIterator[None]:
    yield
    await the_warm().close()
    shutil.rmtree(the_warm().directory)


@pytest.fixture
def fleet_hosts(lab_hosts: LabHosts) -> LabHosts:
    """Four hosts at 1.0.0 that run it and know of no deployment."""
    lab_hosts.reset()
    return lab_hosts
