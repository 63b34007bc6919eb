"""A crash changes nothing: whatever dies, wherever, each host is patched once and the deployment ends as it should."""

import pytest

from tests.chaos.points import HOSTS, POINTS, play
from tests.support.rig import Rig
from tests.support.waiting import until

pytestmark = pytest.mark.fleet


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", POINTS)
async def test_rules_16_and_17_no_crash_repeats_or_loses_a_host(rig: Rig, name: str) -> None:
    running = await play(rig, name)
    done = await running.result()
    assert (done["state"], done["counts"]["by_state"]) == ("SUCCEEDED", {"SUCCEEDED": HOSTS}), done
    for index in range(1, HOSTS + 1):
        seen = rig.evidence(index)
        assert (seen.version, seen.healthy) == ("1.0.1", True), seen
        assert seen.configured == 1, f"{seen.name}: configured {seen.configured} times"
        assert seen.starts == 1, f"{seen.name}: started {seen.starts} times"
        assert seen.overlaps() == 0, seen.journal
        finished = [line["event"] for line in seen.journal].index("END")
        assert all(line["event"] != "START" for line in seen.journal[finished:]), "a finished host was run again"
    fences = running.rows("select a.id, max(r.fence) from assets a join host_runs r on r.asset_id = a.id group by 1")
    assert {rig.evidence(index).fence for index in range(1, HOSTS + 1)} <= {fence for _, fence in fences}
    rig.stop_workers()
    await until(lambda: not rig.ansible_processes(), "no Ansible is left", lambda: str(rig.ansible_processes()))


async def test_rule_11_a_pause_given_while_no_worker_lives_holds_when_the_retry_starts(rig: Rig) -> None:
    await rig.fresh(4)
    rig.fleet.hold(1, "installed")
    old = await rig.serving(rig.start_worker())
    running = await rig.deploy(batch_size="100%", max_concurrency=1)
    await until(lambda: bool(running.rows("select 1 from plan_hosts")), "the plan is frozen")
    first = running.rows("select asset_id from plan_hosts order by position limit 1")[0][0]
    assert first == 1, "the held host is the first of the plan"
    await running.held(1, "installed")
    old.kill()
    await running.handle.signal("pause", {"by": "ada", "reason": "while nobody lives"})
    rig.fleet.release(1, "installed")
    await rig.serving(rig.start_worker())
    await running.in_state("PAUSED")
    await running.host_is(1, "SUCCEEDED")
    # The batch has ended and nothing else was claimed: the host left behind went on, the pause held the others.
    await until(lambda: not running.rows("select 1 from batches where ended_at is null"), "the batch comes back")
    assert running.rows("select count(*) from host_runs where latest") == [(1,)]
    assert all(rig.evidence(index).journal == [] for index in (2, 3, 4))
    await running.handle.execute_update("resume")
    done = await running.result()
    assert done["counts"]["by_state"] == {"SUCCEEDED": 4}
