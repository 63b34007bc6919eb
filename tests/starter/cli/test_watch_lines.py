"""A deployment in a log: every event once, and a sign of life where nothing happens."""

from datetime import timedelta

import pytest

from starter.cli.options import Session
from starter.cli.output import Output
from starter.cli.watch import tell_result
from starter.cli.watch_lines import Lines
from tests.starter.cli.stories import NOW, events, fleet, host, snapshot
from workflows.contracts.names import DeploymentState, HostState
from workflows.contracts.status import Waiting


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_event_is_one_line() -> None:
    lines = list(Lines().of(snapshot(fleet(1, 2, 1), events=events(2))))
    assert [line.split("  ", 1)[1] for line in lines] == [
        "web001 SUCCEEDED: acme-healthd is at 1.0.1",
        "web002 SUCCEEDED: acme-healthd is at 1.0.1",
    ]


def test_silence_of_ten_seconds_brings_a_sign_of_life_and_no_sooner() -> None:
    clock = Clock()
    lines = Lines(clock)
    quiet = snapshot(fleet(10, 4, 3))
    clock.now += 9.9
    assert not list(lines.of(quiet))
    clock.now += 0.2
    (line,) = lines.of(quiet)
    assert "still RUNNING, 7 of 40 hosts done, 3 in hand" in line
    clock.now += 9.9
    assert not list(lines.of(quiet))


def test_the_sign_of_life_tells_what_is_waited_for() -> None:
    clock = Clock()
    lines = Lines(clock)
    clock.now += 11
    wait = Waiting(wait_id="w-1", what="the wait after wave 1", until=NOW + timedelta(seconds=9), remaining_seconds=9)
    (line,) = lines.of(snapshot(fleet(1, 2, 1), waits_for=wait))
    assert "waits for the wait after wave 1, 9.0 s left, until " in line


def test_trouble_is_told_once_and_again_when_it_changes() -> None:
    lines = Lines()
    down = snapshot(fleet(1, 2, 1), trouble="the database does not answer")
    assert len(list(lines.of(down))) == 1
    assert not list(lines.of(down))
    assert not list(lines.of(snapshot(fleet(1, 2, 1))))
    assert len(list(lines.of(down))) == 1


def test_the_result_names_every_broken_host_and_cuts_the_list_of_those_put_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hosts = [host(number, 1, HostState.ROLLED_BACK, "at 1.0.0 again") for number in range(30)]
    hosts += [host(number, 2, HostState.ROLLBACK_FAILED, "no") for number in range(30, 60)]
    tell_result(Session(Output("text", False)), snapshot(hosts, DeploymentState.ROLLBACK_FAILED, finished=True))
    out = capsys.readouterr().out
    assert out.count(" ROLLBACK_FAILED  no") == 30
    assert out.count(" ROLLED_BACK ") == 20
    assert out.endswith("and 10 more that were put back: vulnzero show 12\n")
