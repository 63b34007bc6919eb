"""A deployment in a log: every event once, and a sign of life where nothing happens."""

from datetime import timedelta

from starter.cli.watch_lines import Lines
from tests.starter.cli.stories import NOW, events, fleet, snapshot
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
