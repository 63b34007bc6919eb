import itertools

import pytest

from starter.lab.errors import LabError
from starter.lab.plan import MAX_HOSTS, MAX_NUMBER, FleetPlan


def test_a_hosts_name_and_address_follow_from_the_fleet_number_and_its_index() -> None:
    host = FleetPlan(7).host(1)
    assert (host.name, host.address, host.veth) == ("lab7-h1", "10.77.7.11", "vz7h1")
    assert (FleetPlan(7).bridge, FleetPlan(7).gateway) == ("vz7", "10.77.7.1")


def test_the_largest_fleet_still_has_valid_addresses_and_interface_names() -> None:
    host = FleetPlan(MAX_NUMBER).host(MAX_HOSTS)
    assert host.address == "10.77.254.254"
    assert len(host.veth) <= 15


@pytest.mark.parametrize("number", [-1, 255])
def test_a_number_without_a_network_is_refused_by_name(number: int) -> None:
    with pytest.raises(LabError, match=f"fleet {number}: choose a number from 0 to 254"):
        FleetPlan(number)


@pytest.mark.parametrize("index", [0, 245])
def test_a_host_without_an_address_is_refused(index: int) -> None:
    with pytest.raises(LabError, match=f"not {index}"):
        FleetPlan(1).host(index)


def test_no_two_fleets_share_a_name_an_address_or_an_interface() -> None:
    hosts = [FleetPlan(number).host(index) for number in range(MAX_NUMBER + 1) for index in range(1, MAX_HOSTS + 1, 9)]
    bridges = [FleetPlan(number).bridge for number in range(MAX_NUMBER + 1)]
    for values in ([h.name for h in hosts], [h.address for h in hosts], [h.mac for h in hosts]):
        assert len(set(values)) == len(hosts)
    assert len({*bridges, *(h.veth for h in hosts)}) == len(bridges) + len(hosts)


def test_a_fleet_knows_its_own_hosts_names_and_no_strangers() -> None:
    plan = FleetPlan(1)
    assert plan.index_of(plan.host(12).cgroup) == 12
    assert plan.index_of(plan.host(12).netns) == 12
    strangers = ["lab11-h2", "lab1-h0", "lab1-h999", "lab1-h2x", "vz1h2", "h1"]
    assert [plan.index_of(name) for name in strangers] == [None] * len(strangers)


def test_hosts_are_spread_over_three_zones_with_two_racks_each() -> None:
    hosts = [FleetPlan(1).host(index) for index in range(1, 13)]
    assert [host.zone for host in hosts[:4]] == ["a", "b", "c", "a"]
    racks = sorted(host.rack for host in hosts)
    assert {rack: len(list(of)) for rack, of in itertools.groupby(racks)} == {
        "a1": 2, "a2": 2, "b1": 2, "b2": 2, "c1": 2, "c2": 2
    }  # fmt: skip
    assert all(host.rack.startswith(host.zone) for host in hosts)
