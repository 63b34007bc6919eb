"""Fleets for the tests: free numbers from 200 to 249, data in a temporary directory, and nothing left behind."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from starter.lab import Fleet, machine

NUMBERS = range(200, 250)


@pytest.fixture(scope="session")
def new_fleet() -> Iterator[Callable[[Path], Fleet]]:
    """Makes fleets (not up) under numbers that nobody on this machine has; all are down at the end."""
    if os.geteuid() != 0:
        pytest.skip("the practice fleet needs root")
    made: list[Fleet] = []
    first = os.getpid() % len(NUMBERS)  # so that two test runs at once look for free numbers in different places
    numbers = iter([*NUMBERS[first:], *NUMBERS[:first]])

    def new(data: Path) -> Fleet:
        number = next(number for number in numbers if not (machine.RUNTIME / f"fleet-{number}").exists())
        made.append(Fleet(number, data))
        return made[-1]

    yield new
    for fleet in made:
        fleet.down()


@pytest.fixture(scope="session")
def fleet(new_fleet: Callable[[Path], Fleet], tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Two hosts that answer; a test may leave them in any state that `up` or `reset` mends, and then calls it."""
    fleet = new_fleet(tmp_path_factory.mktemp("fleet"))
    fleet.up(2, print)
    return fleet


@pytest.fixture
def spare(new_fleet: Callable[[Path], Fleet], tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that is not up, for tests about coming up and going down."""
    fleet = new_fleet(tmp_path / "data")
    yield fleet
    fleet.down()
