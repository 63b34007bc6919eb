from datetime import UTC, datetime

import pytest

from starter.cli import human


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (-3, "0.0 s"), (4.24, "4.2 s"), (9.96, "10 s"), (59.6, "1 min"), (125, "2 min 5 s"),
        (3600, "1 h"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h"),
    ],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float | None, words: str) -> None:
    assert human.duration(seconds) == words


def test_a_time_carries_its_zone() -> None:
    assert human.moment(datetime(2026, 3, 1, 12, tzinfo=UTC)).split()[-1] == datetime.now().astimezone().tzname()


def test_words_from_a_host_cannot_steer_the_terminal() -> None:
    assert human.plain("red \x1b[31malert\x07\nnext") == "red  [31malert  next"
