"""One batch on real hosts: what is done, what is said of it, and what is left alone."""

import pytest

from activities.ansible.claims import No, Start
from activities.ansible.job import Started, TaskEvent
from tests.activities.ansible.conftest import LabHosts
from tests.activities.ansible.support import KEY, patch, yes

pytestmark = pytest.mark.fleet


async def test_hosts_are_patched_restarted_and_told_one_by_one(fleet_hosts: LabHosts) -> None:
    ran = await patch(fleet_hosts[:2])
    assert ran.finished.status == "successful"
    for index, host in enumerate(fleet_hosts[:2]):
        outcome = ran.outcomes[host.name]
        assert (outcome.state, outcome.changed, outcome.resumed, outcome.replayed) == ("SUCCEEDED", True, False, False)
        assert outcome.before and outcome.before["version"] == "1.0.0"
        assert outcome.before["service"]["state"] == "active"
        assert outcome.after and outcome.after["version"] == "1.0.1"
        assert outcome.after["service"]["started"] > outcome.before["service"]["started"]
        assert outcome.seconds > 0 and outcome.fence
        assert Started(host=host.name) in ran.lines
        assert [line.task for line in ran.lines if isinstance(line, TaskEvent) and line.host == host.name] == ["patch"]
        assert fleet_hosts.version(index) == "1.0.1"
        assert fleet_hosts.starts(index)[-1] == "1.0.1"
        assert fleet_hosts.health(index) == "1.0.1"
        assert fleet_hosts.events(index) == ["ARRIVE", "START", "END"]
        assert fleet_hosts.sh(index, "stat -c %a /var/lib/vulnzero") == "700"


async def test_a_host_whose_claim_is_refused_is_left_untouched(fleet_hosts: LabHosts) -> None:
    async def only_the_first(host: str) -> Start | No:
        return await yes(host) if host == fleet_hosts[0].name else No(reason="the budget is spent")

    ran = await patch(fleet_hosts[:2], only_the_first)
    refused = ran.outcomes[fleet_hosts[1].name]
    assert (refused.state, refused.message, refused.fence) == ("NOT_CLAIMED", "the budget is spent", None)
    assert Started(host=refused.host) not in ran.lines
    assert fleet_hosts.sh(1, "ls -d /var/lib/vulnzero 2>&1 || true").endswith("No such file or directory")
    assert ran.outcomes[fleet_hosts[0].name].state == "SUCCEEDED"


async def test_each_failure_names_its_cause(fleet_hosts: LabHosts) -> None:
    sick, held, absent, nothing = fleet_hosts
    fleet_hosts.sh(1, "apt-mark hold acme-healthd")
    assert sick.probe
    ran = await patch(
        [
            sick.model_copy(update={"version": "1.0.2", "probe": sick.probe.model_copy(update={"timeout": 1})}),
            held,
            absent.model_copy(update={"version": "9.9"}),
            nothing.model_copy(update={"service": "no-such-service"}),
        ]
    )
    messages = {name: outcome.message for name, outcome in ran.outcomes.items()}
    assert {outcome.state for outcome in ran.outcomes.values()} == {"FAILED"}
    assert messages[sick.name] == "health probe http://127.0.0.1:8080/health answered 500 for 1 s"
    assert "on hold at 1.0.0" in messages[held.name] and "apt-mark unhold" in messages[held.name]
    assert "Version '9.9' for 'acme-healthd' was not found" in messages[absent.name]
    assert messages[nothing.name] == "service no-such-service does not exist on this host"
    changed = {name: outcome.changed for name, outcome in ran.outcomes.items()}
    assert changed == {sick.name: True, held.name: False, absent.name: False, nothing.name: False}
    assert fleet_hosts.version(1) == "1.0.0"


async def test_a_host_with_another_key_is_unreachable_and_nothing_was_run(fleet_hosts: LabHosts) -> None:
    ran = await patch([fleet_hosts[0].model_copy(update={"host_key": KEY}), fleet_hosts[1]])
    outcome = ran.outcomes[fleet_hosts[0].name]
    assert outcome.state == "UNREACHABLE"
    assert "never reached" in outcome.message and "Host key verification failed" in outcome.message
    assert fleet_hosts.sh(0, "ls /var/lib") and "vulnzero" not in fleet_hosts.sh(0, "ls /var/lib")
    assert ran.outcomes[fleet_hosts[1].name].state == "SUCCEEDED"


async def test_a_fixed_package_whose_service_was_never_restarted_is_not_already_finished(fleet_hosts: LabHosts) -> None:
    """Rule 5, and its limit: only the second host is finished."""
    install = "apt-get install -qqy acme-healthd=1.0.1 >/dev/null 2>&1"
    fleet_hosts.sh(0, install)
    fleet_hosts.sh(1, f"{install}; systemctl restart acme-healthd")
    assert fleet_hosts.health(1) == "1.0.1"
    starts = fleet_hosts.starts(1)
    ran = await patch(fleet_hosts[:2])
    half, whole = (ran.outcomes[host.name] for host in fleet_hosts[:2])
    assert (half.state, half.changed) == ("SUCCEEDED", True)
    assert fleet_hosts.starts(0)[-1] == "1.0.1"
    assert (whole.state, whole.message) == ("SKIPPED", "already finished before this deployment")
    assert fleet_hosts.starts(1) == starts
