"""The whole path on real hosts: Temporal, PostgreSQL, sshd, apt and systemd, nothing simulated."""

import pytest

from tests.support.rig import BROKEN, Rig

pytestmark = pytest.mark.fleet


async def test_a_fleet_is_patched_wave_by_wave(rig: Rig) -> None:
    await rig.fresh(hosts=4)
    await rig.serving(rig.start_worker())
    running = await rig.deploy(batch_size="2 hosts", wait_seconds=1)
    done = await running.result()
    assert done["state"] == "SUCCEEDED", done
    for index in range(1, 5):
        seen = rig.evidence(index)
        assert (seen.version, seen.healthy, seen.configured, seen.starts) == ("1.0.1", True, 1, 1)
        assert seen.overlaps() == 0


async def test_rule_5_hosts_that_were_finished_before_are_skipped_and_not_touched(rig: Rig) -> None:
    await rig.fresh(hosts=2)
    await rig.serving(rig.start_worker())
    assert (await (await rig.deploy(wait_seconds=0)).result())["state"] == "SUCCEEDED"
    before = [rig.evidence(index) for index in (1, 2)]
    done = await (await rig.deploy(wait_seconds=0)).result()
    assert (done["state"], done["counts"]["by_state"]) == ("SUCCEEDED", {"SKIPPED": 2})
    for index, earlier in zip((1, 2), before, strict=True):
        later = rig.evidence(index)
        assert (later.configured, later.starts) == (earlier.configured, earlier.starts)


async def test_rule_8_a_broken_version_stops_the_rollout_and_the_rest_is_untouched(rig: Rig) -> None:
    await rig.fresh(hosts=4)
    await rig.serving(rig.start_worker())
    running = await rig.deploy(BROKEN, batch_size="1 host", wait_seconds=0, host_timeout=60)
    done = await running.result(120)
    assert done["state"] == "FAILED"
    assert done["message"].startswith(
        "stopped: 1 of at most 1 failed hosts; 1 broken hosts run again what they ran before; "
        "3 hosts were left untouched"
    )
    failed = running.rows("select message from host_runs where state = 'FAILED'")
    assert len(failed) == 1
    assert "answered 500" in failed[0][0]
    touched = [index for index in range(1, 5) if rig.evidence(index).journal]
    assert len(touched) == 1
    for index in set(range(1, 5)) - set(touched):
        seen = rig.evidence(index, version="1.0.2")
        assert (seen.version, seen.configured, seen.fence, seen.healthy) == ("1.0.0", 0, 0, True)


async def test_rule_6_a_host_that_is_cut_off_is_unreachable_and_the_others_are_patched(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    await rig.serving(rig.start_worker())
    rig.fleet.cut(2)
    try:
        done = await (await rig.deploy(wait_seconds=0)).result()
    finally:
        rig.fleet.mend(2)
    assert done["state"] == "SUCCEEDED_WITH_FAILURES"
    assert done["counts"]["by_state"] == {"SUCCEEDED": 2, "UNREACHABLE": 1}
    assert rig.evidence(2).journal == []


async def test_a_host_with_another_key_than_the_pinned_one_is_never_trusted(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    with rig.sql() as sql:
        sql.execute("update assets set host_key = (select host_key from assets where id = 1) where id = 2")
    await rig.serving(rig.start_worker())
    running = await rig.deploy(wait_seconds=0)
    done = await running.result()
    assert done["counts"]["by_state"] == {"SUCCEEDED": 2, "UNREACHABLE": 1}
    assert running.rows("select message from host_runs where state = 'UNREACHABLE'") == [
        ("not reached: its host key is not the pinned one",)
    ]


async def test_two_deployments_never_share_a_host(rig: Rig) -> None:
    await rig.fresh(hosts=2)
    await rig.serving(rig.start_worker())
    first = await rig.deploy(wait_seconds=3, batch_size="1 host")
    await first.in_state("WAITING")
    second = await rig.deploy(wait_seconds=0)
    await second.in_state("QUEUED")
    assert (await first.result())["state"] == "SUCCEEDED"
    done = await second.result()
    assert done["counts"]["by_state"] == {"SKIPPED": 2}
    waited = second.rows("select message from events where deployment_id = 2 and message like '%belongs to%'")
    assert "belongs to deployment 1" in waited[0][0]
