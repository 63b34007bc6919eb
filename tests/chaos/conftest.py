from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.rig import Rig, running_rig


@pytest.fixture(scope="session")
def whole_system() -> Iterator[Rig]:
    with running_rig() as rig:
        yield rig


@pytest.fixture
async def rig(whole_system: Rig) -> AsyncIterator[Rig]:
    yield whole_system
    whole_system.stop_workers()
