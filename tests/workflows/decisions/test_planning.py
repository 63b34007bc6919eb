from collections import Counter
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.contracts import Rolling
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.inventory import Package, Patch
from workflows.contracts.plans import PlanHost
from workflows.contracts.strategies import Size
from workflows.decisions.planning import plan_hash, plan_rolling, spread, waves

PATCH = Patch(id=1, name="acme-1.0.1", platforms={"debian": Package(package="acme", version="1.0.1")})
zones = st.sampled_from(["a", "b", "c"])
fleets = st.lists(zones, min_size=1, max_size=60).map(
    lambda drawn: [
        PlanHost(asset_id=index, name=f"h{index}", platform="debian", labels={"zone": zone})
        for index, zone in enumerate(drawn, start=1)
    ]
)


def hosts(number: int, **labels: str) -> list[PlanHost]:
    return [PlanHost(asset_id=i, name=f"h{i:03}", platform="debian", labels=labels) for i in range(1, number + 1)]


def test_rule_2_a_share_is_exact_and_floored() -> None:
    assert Size.parse(0.29).floored(100) == 29
    assert Size.parse(0.2).floored(9) == 1
    assert Size.parse(0.2).floored(3) == 1
    assert Size.parse("20%").floored(10) == 2
    assert Size.parse("4 hosts").floored(3) == 3


def test_rule_2_a_safety_floor_is_ceiled() -> None:
    assert Size.parse("25%").ceiled(10) == 3
    assert Size.parse("4 hosts").ceiled(10) == 4


@pytest.mark.parametrize("value", [1, 1.0, 0, 1.5, -0.2, "abc", "0%", "101%", "0 hosts", "4", True, 4, "x hosts", ""])
def test_rule_2_a_size_that_can_be_misread_is_refused_with_the_mend(value: object) -> None:
    with pytest.raises(InvalidRequest) as error:
        Rolling.read({"batch_size": value})
    assert error.value.field == "batch_size"
    assert "host" in str(error.value)


def test_rule_2_a_min_healthy_that_leaves_no_host_free_is_refused_with_the_numbers() -> None:
    with pytest.raises(InvalidRequest, match=r"100% of 4 hosts is 4"):
        plan_rolling(PATCH, hosts(4), Rolling(min_healthy=Size.parse("100%")))


def test_rule_3_thresholds_are_counts_made_once() -> None:
    plan = plan_rolling(PATCH, hosts(50), Rolling(continue_on_error=True))
    assert (plan.thresholds.max_failures, plan.thresholds.max_unreachable) == (2, 5)


def test_rule_3_without_continue_on_error_the_first_failure_ends_it_and_the_plan_says_so() -> None:
    plan = plan_rolling(PATCH, hosts(5), Rolling(max_failures=3))
    assert plan.thresholds.max_failures == 1
    assert "first failed host" in plan.notes[0]


def test_rule_3_max_failures_0_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_failures"):
        Rolling.read({"max_failures": 0})


def test_rule_6_the_unreachable_budget_is_at_least_two() -> None:
    assert plan_rolling(PATCH, hosts(5), Rolling()).thresholds.max_unreachable == 2


def test_an_on_failure_that_is_not_available_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="only 'stop'"):
        Rolling.read({"on_failure": "rollback"})


@given(fleets)
def test_rule_4_neighbours_come_from_different_zones_wherever_that_is_possible(fleet: list[PlanHost]) -> None:
    ordered = [host.labels["zone"] for host in spread(fleet)]
    fullest = max(Counter(ordered).values())
    touching = sum(one == next_ for one, next_ in pairwise(ordered))
    # The fullest zone needs a stranger between each two of its hosts; beyond that nobody has to touch.
    assert touching == max(0, fullest - (len(fleet) - fullest) - 1)


@given(fleets)
def test_rule_1_a_plan_holds_each_host_once_and_is_the_same_however_the_hosts_came(fleet: list[PlanHost]) -> None:
    plan, again = plan_rolling(PATCH, fleet, Rolling()), plan_rolling(PATCH, fleet[::-1], Rolling())
    assert sorted(plan.hosts) == sorted(host.asset_id for host in fleet)
    assert plan_hash(plan) == plan_hash(again)


@given(st.integers(1, 5000), st.integers(1, 500))
def test_waves_follow_each_other_without_gap_or_overlap(total: int, size: int) -> None:
    cut = waves(total, size)
    assert [wave.first for wave in cut] == list(accumulate((wave.hosts for wave in cut[:-1]), initial=0))
    assert sum(wave.hosts for wave in cut) == total
    assert all(0 < wave.hosts <= size for wave in cut)


def test_the_hash_changes_with_a_threshold() -> None:
    one, other = plan_rolling(PATCH, hosts(5), Rolling()), plan_rolling(PATCH, hosts(5), Rolling(max_concurrency=3))
    assert plan_hash(one) != plan_hash(other)


def test_rule_1_the_hash_changes_with_the_patch() -> None:
    other = PATCH.model_copy(update={"platforms": {"debian": Package(package="acme", version="1.0.2")}})
    assert plan_hash(plan_rolling(PATCH, hosts(5), Rolling())) != plan_hash(plan_rolling(other, hosts(5), Rolling()))
