"""Strategies and what follows a failure, on real hosts."""

import pytest

from tests.support.rig import BROKEN, Rig
from tests.support.waiting import until

pytestmark = pytest.mark.fleet


async def test_all_at_once_patches_every_host_in_one_wave(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    await rig.serving(rig.start_worker())
    done = await (await rig.deploy(kind="AllAtOnceDeployment")).result()
    assert (done["state"], done["counts"]["by_state"]) == ("SUCCEEDED", {"SUCCEEDED": 3})


async def test_a_canary_of_a_good_patch_is_watched_and_goes_on(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    await rig.serving(rig.start_worker())
    running = await rig.deploy(kind="CanaryDeployment", stages=["1 host", 1], monitoring_duration=3)
    done = await running.result()
    assert done["state"] == "SUCCEEDED"
    story = [row[0] for row in running.rows("select message from events where kind = 'state' order by \"offset\"")]
    assert any(line.startswith("WAITING: the monitoring of stage 1 of 2") for line in story)


async def test_rule_9_a_canary_of_a_broken_patch_runs_again_what_it_ran_before(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    await rig.serving(rig.start_worker())
    running = await rig.deploy(BROKEN, kind="CanaryDeployment", stages=["1 host", 1], monitoring_duration=3)
    done = await running.result()
    assert (done["state"], done["counts"]["by_state"]) == ("ROLLED_BACK", {"ROLLED_BACK": 1, "NOT_STARTED": 2}), done
    for index in (1, 2, 3):
        seen = rig.evidence(index)
        assert (seen.version, seen.healthy, seen.overlaps()) == ("1.0.0", True, 0)


async def test_rule_19_a_rollback_by_hand_takes_back_what_was_patched(rig: Rig) -> None:
    await rig.fresh(hosts=3)
    await rig.serving(rig.start_worker())
    running = await rig.deploy(batch_size="2 hosts", wait_seconds=900)
    await running.in_state("WAITING")
    await running.handle.execute_update("rollback", {"by": "ada", "reason": "the shop is slow"})
    done = await running.result()
    assert done["counts"]["by_state"] == {"ROLLED_BACK": 2, "NOT_STARTED": 1}
    assert {rig.evidence(index).version for index in (1, 2, 3)} == {"1.0.0"}


async def test_rule_19_a_host_that_somebody_changed_since_is_left_alone(rig: Rig) -> None:
    await rig.fresh(hosts=2)
    await rig.serving(rig.start_worker())
    running = await rig.deploy(batch_size="1 host", wait_seconds=900)
    await running.in_state("WAITING")
    rig.fleet.run(1, ["apt-get", "install", "-qy", "acme-healthd=1.0.2"])
    await running.handle.execute_update("rollback", {"by": "ada"})
    done = await running.result()
    assert done["counts"]["by_state"] == {"SUPERSEDED": 1, "NOT_STARTED": 1}
    assert rig.evidence(1).version == "1.0.2"


async def test_rule_16_a_rollback_goes_on_when_its_worker_is_killed(rig: Rig) -> None:
    await rig.fresh(hosts=2)
    old = await rig.serving(rig.start_worker())
    running = await rig.deploy(batch_size="1 host", wait_seconds=900)
    await running.in_state("WAITING")
    rig.fleet.hold(1, "unpacked")
    await running.handle.execute_update("rollback", {"by": "ada"})
    await running.held(1, "unpacked")
    await rig.serving(rig.start_worker())
    old.kill()
    await until(lambda: sum(one["event"] == "ARRIVE" for one in rig.evidence_journal(1)) >= 3, "the new attempt comes")
    rig.fleet.release(1, "unpacked")
    done = await running.result()
    assert done["state"] == "ROLLED_BACK"
    seen = rig.evidence(1)
    assert (seen.version, seen.healthy, seen.overlaps()) == ("1.0.0", True, 0)
