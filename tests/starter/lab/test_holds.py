"""The hold points, with a real apt-get on a real host: where a crash test stops the world."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from starter.lab import Fleet, LabError
from tests.starter.lab.waiting import until

pytestmark = pytest.mark.fleet


@pytest.fixture
def host(fleet: Fleet) -> Iterator[int]:
    """A fresh host 1, and a fresh one after: a hold that a failed test left would hang the next."""
    fleet.reset(1)
    yield 1
    fleet.reset(1)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def install(fleet: Fleet, pool: ThreadPoolExecutor, host: int, version: str = "1.0.1") -> Future[str]:
    argv = ["apt-get", "install", "-qy", "--allow-downgrades", f"acme-healthd={version}"]
    return pool.submit(lambda: fleet.run(host, argv, timeout=30).stdout)


def health(fleet: Fleet, host: int, timeout: float = 5.0) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(fleet.plan.host(host).address, 8080, timeout=timeout)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def starts(fleet: Fleet, host: int) -> list[str]:
    """The versions that were started, in order."""
    return [line.split()[1] for line in fleet.run(host, ["cat", "/var/log/acme-healthd.starts"]).stdout.splitlines()]


def dpkg_state(fleet: Fleet, host: int) -> str:
    return fleet.run(host, ["dpkg-query", "-W", "-f", "${Status} ${Version}", "acme-healthd"]).stdout


def test_unpacked_holds_the_package_half_configured(fleet: Fleet, pool: ThreadPoolExecutor, host: int) -> None:
    fleet.hold(host, "unpacked")
    apt = install(fleet, pool, host)
    until(lambda: fleet.held(host) == "unpacked", "apt waits at unpacked")
    assert dpkg_state(fleet, host) == "install ok half-configured 1.0.1"
    assert fleet.status()[0].held == "unpacked"
    fleet.release(host, "unpacked")
    apt.result(20)
    assert fleet.held(host) is None
    assert dpkg_state(fleet, host) == "install ok installed 1.0.1"


def test_installed_holds_before_anything_restarts_the_service(
    fleet: Fleet, pool: ThreadPoolExecutor, host: int
) -> None:
    fleet.hold(host, "installed")
    apt = install(fleet, pool, host)
    until(lambda: fleet.held(host) == "installed", "apt waits at installed")
    assert dpkg_state(fleet, host) == "install ok installed 1.0.1"
    assert not apt.done()
    assert health(fleet, host) == (200, {"status": "ok", "version": "1.0.0"})
    fleet.release(host, "installed")
    apt.result(20)
    assert starts(fleet, host) == ["1.0.0"]  # an upgrade leaves the restart to the patcher


def test_restarted_holds_the_health_of_the_new_daemon_alone(fleet: Fleet, pool: ThreadPoolExecutor, host: int) -> None:
    fleet.hold(host, "restarted")
    assert health(fleet, host)[1]["version"] == "1.0.0"  # the one that already runs answers
    install(fleet, pool, host).result(20)
    fleet.run(host, ["systemctl", "restart", "acme-healthd"])
    until(lambda: fleet.held(host) == "restarted", "the new daemon waits at restarted")
    assert starts(fleet, host) == ["1.0.0", "1.0.1"]
    with pytest.raises(TimeoutError):
        health(fleet, host, timeout=0.5)
    waiting = pool.submit(health, fleet, host, 20)
    fleet.release(host, "restarted")
    assert waiting.result(20) == (200, {"status": "ok", "version": "1.0.1"})
    until(lambda: fleet.held(host) is None, "nothing waits any more", 5)


def test_a_waiter_that_was_killed_is_not_reported_as_held(fleet: Fleet, pool: ThreadPoolExecutor, host: int) -> None:
    fleet.hold(host, "unpacked")
    apt = install(fleet, pool, host)
    until(lambda: fleet.held(host) == "unpacked", "apt waits at unpacked")
    fleet.run(host, ["pkill", "-9", "-f", "^apt-get install"])
    fleet.run(host, ["pkill", "-9", "-f", "dpkg|acme-healthd.postinst|acme-healthd/hold"])
    until(lambda: fleet.held(host) is None, "nothing waits any more", 5)
    with pytest.raises(LabError):
        apt.result(20)
    fleet.release(host, "unpacked")
    fleet.run(host, ["dpkg", "--configure", "-a"])
    assert dpkg_state(fleet, host) == "install ok installed 1.0.1"


def test_a_power_cut_at_a_hold_leaves_the_disk_as_it_was(fleet: Fleet, pool: ThreadPoolExecutor, host: int) -> None:
    fleet.hold(host, "unpacked")
    apt = install(fleet, pool, host)
    until(lambda: fleet.held(host) == "unpacked", "apt waits at unpacked")
    fleet.power_off(host)
    with pytest.raises(LabError):
        apt.result(20)
    fleet.up(2)
    assert fleet.held(host) is None
    assert dpkg_state(fleet, host) == "install ok half-configured 1.0.1"


def test_the_broken_version_answers_500_and_can_be_rolled_back(
    fleet: Fleet, pool: ThreadPoolExecutor, host: int
) -> None:
    for version, status in (("1.0.2", 500), ("1.0.0", 200)):
        install(fleet, pool, host, version).result(20)
        fleet.run(host, ["systemctl", "restart", "acme-healthd"])
        until(partial(_answers, fleet, host, version), f"{version} answers")
        assert health(fleet, host)[0] == status


def _answers(fleet: Fleet, host: int, version: str) -> bool:
    try:
        return health(fleet, host)[1]["version"] == version
    except OSError:
        return False


def test_an_unknown_hold_point_is_refused_by_name(fleet: Fleet) -> None:
    with pytest.raises(LabError, match="no hold point 'nowhere': choose one of unpacked, installed, restarted"):
        fleet.hold(1, "nowhere")
