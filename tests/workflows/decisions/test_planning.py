from collections import Counter
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.contracts import AllAtOnce, Canary, Rolling
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.inventory import Package, Patch
from workflows.contracts.names import OnFailure
from workflows.contracts.plans import PlanHost
from workflows.contracts.strategies import Size
from workflows.decisions.planning import plan_canary, plan_hash, plan_rolling, spread, waves

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


def test_rule_9_each_strategy_has_its_own_answer_to_a_spent_budget() -> None:
    assert Rolling().after_failure is OnFailure.ROLLBACK_FAILED
    assert AllAtOnce().after_failure is OnFailure.ROLLBACK_FAILED
    assert Canary().after_failure is OnFailure.ROLLBACK
    assert Canary(rollback_on_failure=False).after_failure is OnFailure.PAUSE
    assert Rolling(on_failure=OnFailure.STOP).after_failure is OnFailure.STOP


def test_rule_9_two_answers_that_are_at_odds_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="give one of the two"):
        Canary.read({"rollback_on_failure": True, "on_failure": "stop"})
    assert Canary.read({"rollback_on_failure": False, "on_failure": "pause"}).after_failure is OnFailure.PAUSE


def canary(number: int, stages: list[object]) -> list[int]:
    return [wave.hosts for wave in plan_canary(PATCH, hosts(number), Canary.read({"stages": stages})).waves]


def test_rule_2_stages_are_cumulative_and_1_is_all() -> None:
    assert canary(10, [0.1, 0.5, 1.0]) == [1, 4, 5]
    assert canary(10, [0.1, 0.5, 1]) == [1, 4, 5]
    assert canary(100, ["3 hosts", "10%", "50 hosts", 1]) == [3, 7, 40, 50]


def test_rule_2_a_stage_that_adds_no_host_is_dropped() -> None:
    assert canary(3, [0.1, 0.2, 1]) == [1, 2]


def test_rule_2_a_last_stage_below_all_says_how_many_hosts_stay_out() -> None:
    plan = plan_canary(PATCH, hosts(10), Canary.read({"stages": [0.1, 0.5]}))
    assert (len(plan.hosts), plan.notes) == (5, ("5 of 10 hosts stay out: no stage reaches them",))


def test_a_stage_can_be_a_selector() -> None:
    fleet = [*hosts(3, ring="1"), PlanHost(asset_id=9, name="canary", platform="debian", labels={"ring": "0"})]
    plan = plan_canary(PATCH, fleet, Canary.read({"stages": ["ring=0", 1]}))
    assert plan.hosts[0] == 9
    assert [wave.hosts for wave in plan.waves] == [1, 3]


def test_rule_4_a_first_stage_that_is_large_enough_has_a_host_of_each_platform() -> None:
    fleet = [
        PlanHost(asset_id=i, name=f"h{i:02}", platform="rhel" if i == 19 else "debian", labels={}) for i in range(20)
    ]
    plan = plan_canary(PATCH, fleet, Canary.read({"stages": [0.1, 1]}))
    assert 19 in plan.hosts[:2]


@pytest.mark.parametrize("stages", [[], "0.1", [0], [1.5], ["ring="], [True], [{"size": 1}]])
def test_stages_that_cannot_be_read_are_refused_by_name(stages: object) -> None:
    with pytest.raises(InvalidRequest, match=r"stages|selector"):
        plan_canary(PATCH, hosts(3), Canary.read({"stages": stages}))


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
