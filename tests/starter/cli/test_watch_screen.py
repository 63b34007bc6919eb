"""What a watcher sees, drawn to consoles of known sizes."""

from datetime import timedelta

import pytest
from rich.console import Console

from starter.cli.watch_screen import Screen
from starter.follow import Snapshot
from tests.starter.cli.stories import NOW, events, fleet, host, snapshot
from workflows.contracts.names import DeploymentState, HostState, OnFailure
from workflows.contracts.status import Waiting


def draw(shown: Snapshot, width: int = 80, height: int = 24) -> list[str]:
    screen = Screen()
    screen.take(shown)
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(screen.render(width, height, NOW))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (40, 10), (200, 15)])
@pytest.mark.parametrize("waves", [0, 1, 3, 100])
def test_the_screen_fits_whatever_its_size_and_the_fleet(width: int, height: int, waves: int) -> None:
    lines = draw(snapshot(fleet(waves, 7, 3), events=events(40)), width, height)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)


def test_80_by_24_shows_state_budgets_waves_hosts_and_events() -> None:
    lines = draw(snapshot(fleet(10, 4, 3), events=events(12)))
    text = "\n".join(lines)
    assert lines[0].startswith("deployment 12  acme-healthd-1.0.1 to env=prod,tier!=db")
    assert lines[0].endswith("RUNNING 2 min 5 s")
    assert "7 of 40 done  3 running  1 failed" in text
    assert "failed 1 of 3   unreachable 0 of 4   in hand 3 of 10" in text
    assert "> wave 3" in text
    assert "(+ 7 more waves)" in text
    assert lines[-2].endswith("web012 SUCCEEDED: acme-healthd is at 1.0.1")


def test_failed_hosts_come_first_then_those_in_hand() -> None:
    lines = draw(snapshot(fleet(10, 4, 3)))
    first = next(index for index, line in enumerate(lines) if line.startswith("HOST"))
    states = [line.split()[2] for line in lines[first + 1 : first + 5]]
    assert states == ["FAILED", "RUNNING", "RUNNING", "RUNNING"]
    assert "acme-healthd answers 500 on /health" in lines[first + 1]


def test_many_failed_hosts_do_not_hide_the_running_ones() -> None:
    hosts = [host(number, 1, HostState.FAILED, "no") for number in range(30)]
    hosts += [host(number, 1, HostState.RUNNING) for number in range(30, 40)]
    shown = [line.split()[2] for line in draw(snapshot(hosts)) if line.startswith("web")]
    assert {"FAILED", "RUNNING"} == set(shown)


def test_hosts_that_do_not_fit_are_a_sum() -> None:
    lines = draw(snapshot(fleet(10, 4, 3)))
    assert any(line.startswith("and ") and line.endswith("29 pending") for line in lines)


def test_the_wait_counts_down_to_its_end() -> None:
    wait = Waiting(wait_id="w", what="the wait after wave 1", until=NOW + timedelta(seconds=47), remaining_seconds=47)
    lines = draw(snapshot(fleet(2, 2, 2), state=DeploymentState.WAITING, waits_for=wait))
    assert lines[1].startswith("waits: the wait after wave 1, 47 s left, until ")


def test_what_it_waits_for_is_said_once() -> None:
    wait = Waiting(wait_id="w", what="the wait after wave 1", until=NOW + timedelta(seconds=47), remaining_seconds=47)
    said = "the wait after wave 1, until 12:00:47 UTC"
    lines = draw(snapshot(fleet(2, 2, 2), DeploymentState.WAITING, said, waits_for=wait))
    assert sum("the wait after wave 1" in line for line in lines) == 1
    assert lines[2] == "rolling, 1 min between waves, on failure stop; by ada"


def test_a_pause_does_not_repeat_an_end_that_no_longer_holds() -> None:
    wait = Waiting(wait_id="w", what="the wait after wave 1", until=None, remaining_seconds=12)
    said = "paused by ada; it was: the wait after wave 1, until 12:00:47 UTC"
    lines = draw(snapshot(fleet(2, 2, 2), DeploymentState.PAUSED, said, waits_for=wait))
    assert lines[1:3] == ["paused by ada", "waits: the wait after wave 1, stands still with 12 s left"]


def test_a_paused_wait_stands_still() -> None:
    wait = Waiting(wait_id="w", what="the wait after wave 1", until=None, remaining_seconds=12)
    assert "stands still with 12 s left" in draw(snapshot(fleet(2, 2, 2), waits_for=wait))[2]


def test_trouble_takes_the_last_line_and_the_rest_stays() -> None:
    lines = draw(snapshot(fleet(2, 2, 2), trouble="the database does not answer"))
    assert lines[-1] == "! the database does not answer"
    assert lines[0].startswith("deployment 12")


def test_a_message_from_a_host_cannot_steer_the_terminal_or_the_markup() -> None:
    evil = host(1, 1, HostState.FAILED, "\x1b[2J[bold red]gone[/]\r\n")
    (line,) = [line for line in draw(snapshot([evil]), 120, 24) if line.startswith("web001")]
    assert "\x1b" not in line
    assert "[bold red]gone[/]" in line


def rolling_back() -> Snapshot:
    """Stage 2 of a canary is being put back, and stage 3 was never begun."""
    hosts = [host(number, 1, HostState.SUCCEEDED) for number in range(1, 5)]
    hosts += [host(number, 2, HostState.ROLLED_BACK, "acme-healthd is at 1.0.0 again") for number in range(5, 10)]
    hosts += [host(10, 2, HostState.ROLLBACK_FAILED, "1.0.0 is gone from its repository")]
    hosts += [host(11, 2, HostState.SUPERSEDED, "runs 1.0.2, which this deployment did not put there")]
    hosts += [host(number, 2, HostState.RUNNING) for number in range(12, 15)]
    hosts += [host(number, 3, HostState.PENDING) for number in range(15, 41)]
    return snapshot(
        hosts, DeploymentState.ROLLING_BACK, "putting every changed host of wave 2 of 3 back",
        strategy="CanaryDeployment", params={"stages": [0.1, "ring in (0,1)", 1.0]}, on_failure=OnFailure.ROLLBACK,
    )  # fmt: skip


def test_a_rollback_shows_what_was_put_back_apart_from_what_is_done() -> None:
    lines = draw(rolling_back(), width=100)
    text = "\n".join(lines)
    assert lines[0].endswith("ROLLING_BACK 2 min 5 s")
    assert lines[2] == "canary 10%, ring in (0,1), 100%, watched 15 min, on failure rollback; by ada"
    assert "4 of 40 done  3 running  1 rollback failed  5 rolled back" in text
    assert "> wave 2" in text
    first = next(index for index, line in enumerate(lines) if line.startswith("HOST"))
    assert lines[first + 1].split()[2] == "ROLLBACK_FAILED"
    columns = {line.index(line.split()[2]) for line in lines[first : first + 5]}
    assert len(columns) == 1


def test_a_gate_tells_how_to_go_on_and_no_time() -> None:
    gate = Waiting(wait_id="gate-stage-1", what="a promote after stage 1 of 3", until=None, remaining_seconds=0)
    said = "waits for a promote after stage 1 of 3"
    lines = draw(
        snapshot(
            fleet(3, 2, 2), DeploymentState.GATED, said, waits_for=gate, strategy="CanaryDeployment",
            params={"auto_promote": False},
        )
    )  # fmt: skip
    assert lines[1] == "waits: a promote after stage 1 of 3: vulnzero promote 12"
    assert lines[2].startswith("canary 10%, 50%, 100%, watched 15 min, promoted by hand, on failure stop; by ada")
