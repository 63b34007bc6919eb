"""Rule 16 on real hosts: no finished host is run again, and never two runs on one host at a time."""

from typing import Any

import pytest

from activities.ansible.claims import Start
from tests.activities.ansible.conftest import LabHosts
from tests.activities.ansible.support import DEPLOYMENTS, a_batch, eventually, patch, processes_of

pytestmark = pytest.mark.fleet

# The module is the parent of the apt-get that it runs.
KILL_MODULE = "kill -9 $(ps -o ppid= -p $(pgrep -x apt-get))"


def never_two_at_a_time(journal: list[dict[str, Any]]) -> bool:
    inside = 0
    for line in sorted(journal, key=lambda line: float(line["at"])):
        inside += {"START": 1, "END": -1}.get(line["event"], 0)
        if inside > 1:
            return False
    return True


async def test_a_finished_host_answers_from_its_record_and_runs_nothing(fleet_hosts: LabHosts) -> None:
    deployment, host = next(DEPLOYMENTS), fleet_hosts[0]
    first = (await patch([host], deployment=deployment)).only
    starts = fleet_hosts.starts(0)
    again = (await patch([host], deployment=deployment, attempt=2)).only
    assert (again.state, again.replayed, again.changed) == ("SUCCEEDED", True, first.changed)
    assert (again.before, again.after) == (first.before, first.after)
    assert fleet_hosts.starts(0) == starts
    assert fleet_hosts.events(0) == ["ARRIVE", "START", "END", "ARRIVE", "REPLAY"]


async def test_a_failure_is_answered_within_its_attempt_and_tried_again_in_the_next(fleet_hosts: LabHosts) -> None:
    deployment = next(DEPLOYMENTS)
    host = fleet_hosts[0].model_copy(update={"version": "9.9"})
    first = (await patch([host], deployment=deployment)).only
    same = (await patch([host], deployment=deployment)).only
    assert (first.state, first.replayed, same.state, same.replayed) == ("FAILED", False, "FAILED", True)
    assert same.message == first.message
    other = (await patch([fleet_hosts[0]], deployment=deployment, attempt=2)).only
    assert (other.state, other.replayed, other.resumed) == ("SUCCEEDED", False, True)


async def test_an_older_fence_is_refused(fleet_hosts: LabHosts) -> None:
    """Rule 17."""

    async def newer(_host: str) -> Start:
        return Start(fence=900_002)

    async def older(_host: str) -> Start:
        return Start(fence=900_001)

    await patch(fleet_hosts[:1], newer, mode="look")
    ran = await patch(fleet_hosts[:1], older)
    assert ran.only.state == "UNKNOWN"
    assert "fence 900001 is older than 900002" in ran.only.message
    assert fleet_hosts.version(0) == "1.0.0"
    assert fleet_hosts.events(0)[-1] == "FENCED"


async def test_a_second_attempt_waits_for_the_first_and_answers_from_its_record(fleet_hosts: LabHosts) -> None:
    deployment, hosts = next(DEPLOYMENTS), fleet_hosts[:1]
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(hosts, deployment=deployment) as (first, first_reading):
        await eventually(lambda: fleet_hosts.held(0), what="the first attempt's apt")
        async with a_batch(hosts, deployment=deployment, attempt=2) as (second, second_reading):
            await eventually(lambda: fleet_hosts.events(0).count("ARRIVE") == 2, what="the second attempt's arrival")
            assert not second.outcomes
            fleet_hosts.release(0, "unpacked")
            await first_reading
            await second_reading
    assert (first.only.state, first.only.replayed) == ("SUCCEEDED", False)
    assert (second.only.state, second.only.replayed) == ("SUCCEEDED", True)
    assert fleet_hosts.events(0) == ["ARRIVE", "START", "ARRIVE", "END", "REPLAY"]
    assert never_two_at_a_time(fleet_hosts.journal(0))


async def test_a_host_killed_between_install_and_restart_is_restarted_by_the_next_run(fleet_hosts: LabHosts) -> None:
    deployment, hosts = next(DEPLOYMENTS), fleet_hosts[:1]
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(hosts, deployment=deployment) as (killed, reading):
        await eventually(lambda: fleet_hosts.held(0), what="apt")
        fleet_hosts.sh(0, KILL_MODULE)
        await reading
    assert killed.only.state == "UNKNOWN"
    assert fleet_hosts.starts(0)[-1] == "1.0.0"
    async with a_batch(hosts, deployment=deployment, attempt=2) as (resumed, reading):
        # The dead module's apt still holds the lock, so the next run must not get past it.
        await eventually(lambda: fleet_hosts.events(0).count("ARRIVE") == 2, what="the next run's arrival")
        assert fleet_hosts.sh(0, "flock -n /var/lib/vulnzero/lock true || echo locked") == "locked"
        fleet_hosts.release(0, "unpacked")
        await reading
    outcome = resumed.only
    assert (outcome.state, outcome.changed, outcome.resumed) == ("SUCCEEDED", True, True)
    assert outcome.before and outcome.before["version"] == "1.0.0"
    assert fleet_hosts.starts(0)[-1] == "1.0.1"


async def test_a_package_left_half_configured_is_configured_before_anything_else(fleet_hosts: LabHosts) -> None:
    """As after a power cut: module, apt, dpkg and the maintainer script all gone at once."""
    deployment, hosts = next(DEPLOYMENTS), fleet_hosts[:1]
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(hosts, deployment=deployment) as (_, reading):
        await eventually(lambda: fleet_hosts.held(0), what="apt")
        fleet_hosts.sh(0, f"{KILL_MODULE}; pkill -9 -x apt-get; pkill -9 -x dpkg; pkill -9 -f healthd/[h]old; true")
        await reading
    fleet_hosts.release(0, "unpacked")
    assert fleet_hosts.sh(0, "dpkg-query -W -f='${db:Status-Status}' acme-healthd") == "half-configured"
    outcome = (await patch(hosts, deployment=deployment, attempt=2)).only
    assert (outcome.state, outcome.resumed) == ("SUCCEEDED", True)
    assert outcome.after and outcome.after["status"] == "installed"
    assert fleet_hosts.health(0) == "1.0.1"


async def test_a_connection_lost_in_mid_patch_is_unknown_until_a_look(fleet_hosts: LabHosts) -> None:
    """Rule 16: the host's work goes on without us, and a look waits for its end."""
    deployment, hosts = next(DEPLOYMENTS), fleet_hosts[:1]
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(hosts, deployment=deployment) as (lost, reading):
        await eventually(lambda: fleet_hosts.held(0), what="apt")
        fleet_hosts.sh(0, "pkill -9 -f '^sshd: root'")
        await reading
    assert lost.only.state == "UNKNOWN"
    assert "the connection was lost after the claim" in lost.only.message
    async with a_batch(hosts, deployment=deployment, mode="look") as (look, reading):
        await eventually(lambda: fleet_hosts.events(0).count("ARRIVE") == 2, what="the look's arrival")
        fleet_hosts.release(0, "unpacked")
        await reading
    assert (look.only.state, look.only.replayed) == ("SUCCEEDED", True)
    assert fleet_hosts.events(0) == ["ARRIVE", "START", "ARRIVE", "END", "LOOK"]


async def test_the_host_timeout_ends_one_host_and_leaves_it_unknown(fleet_hosts: LabHosts) -> None:
    """Rule 25."""
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(fleet_hosts[:2], host_timeout=4) as (ran, reading):
        await reading
    slow, quick = (ran.outcomes[host.name] for host in fleet_hosts[:2])
    assert (slow.state, slow.message) == ("UNKNOWN", "the host timeout ended the task; its work may run on")
    assert quick.state == "SUCCEEDED"
    assert not processes_of(ran.job.directory)
    fleet_hosts.release(0, "unpacked")
    look = await patch(fleet_hosts[:1], deployment=ran.job.deployment, mode="look")
    assert look.only.state == "SUCCEEDED"


async def test_a_look_tells_untouched_from_half_done_and_changes_nothing(fleet_hosts: LabHosts) -> None:
    deployment, hosts = next(DEPLOYMENTS), fleet_hosts[:2]
    fleet_hosts.hold(0, "unpacked")
    async with a_batch(hosts[:1], deployment=deployment) as (_, reading):
        await eventually(lambda: fleet_hosts.held(0), what="apt")
        fleet_hosts.sh(0, KILL_MODULE)
        await reading
    fleet_hosts.release(0, "unpacked")
    starts = fleet_hosts.starts(0)
    look = await patch(hosts, deployment=deployment, mode="look")
    half, untouched = (look.outcomes[host.name] for host in hosts)
    assert (half.state, half.changed) == ("PARTIAL", True)
    assert half.after and half.after["version"] == "1.0.1"
    assert (untouched.state, untouched.changed) == ("NOTHING_CHANGED", False)
    assert fleet_hosts.starts(0) == starts


async def test_a_rollback_puts_back_what_was_changed_and_nothing_else(fleet_hosts: LabHosts) -> None:
    """Rules 19 and 20; the last host was patched by somebody else since."""
    deployment = next(DEPLOYMENTS)
    changed, untouched, superseded = fleet_hosts[:3]
    await patch([changed, superseded], deployment=deployment)
    fleet_hosts.sh(2, "apt-get install -qqy acme-healthd=1.0.2 >/dev/null 2>&1")
    back = [host.model_copy(update={"version": "1.0.0"}) for host in (changed, untouched, superseded)]
    ran = await patch(back, deployment=deployment, kind="rollback")
    assert (ran.outcomes[changed.name].state, fleet_hosts.version(0)) == ("SUCCEEDED", "1.0.0")
    assert fleet_hosts.starts(0)[-1] == "1.0.0"
    assert ran.outcomes[untouched.name].state == "SKIPPED"
    left = ran.outcomes[superseded.name]
    assert (left.state, left.superseded, fleet_hosts.version(2)) == ("SKIPPED", True, "1.0.2")
    # The rollback voided the patch's record: a retry must patch, not answer "done".
    retry = (await patch([changed], deployment=deployment, attempt=2)).only
    assert (retry.state, retry.replayed, fleet_hosts.version(0)) == ("SUCCEEDED", False, "1.0.1")
