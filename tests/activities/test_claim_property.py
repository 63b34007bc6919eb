"""The real claim transaction under random fleets, limits, outcomes and crashes: the promises of the ledger hold.

A fate is what one host's run comes to. A crash is a new try of a batch while the old one goes on, as when the server
gave a worker up that only stalled.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.database.session import Database
from tests.activities.ledger import Frozen, Try, freeze, store
from workflows.contracts.errors import StaleAttempt
from workflows.contracts.names import HostState

MOST_HOSTS = 12
PATIENCE = 400  # asks of one host; a claim that waits for ever is a fault
FINISHED = (HostState.SUCCEEDED, HostState.FAILED, HostState.UNREACHABLE, HostState.SKIPPED)

fates = st.sampled_from(
    [HostState.SUCCEEDED] * 3
    + [HostState.FAILED] * 2
    + [HostState.UNKNOWN] * 3
    + [HostState.UNREACHABLE, HostState.SKIPPED]
)


@dataclass
class World:
    """Plays the hosts. `finished` counts outcomes the ledger took as final, `most` the most hosts ever in hand."""

    database: Database
    sql: psycopg.Connection
    deployment: Frozen
    fates: dict[int, HostState]
    chance: random.Random
    crashes: int
    finished: Counter[int] = field(default_factory=Counter)
    most: int = 0
    newest: dict[int, int] = field(default_factory=dict)  # try of each batch that took it last

    def look(self) -> None:
        rows = self.sql.execute(
            "select asset_id, count(*) from host_runs where state = 'RUNNING' and deployment_id = %s group by asset_id",
            [self.deployment.id],
        ).fetchall()
        assert all(runs == 1 for _, runs in rows), f"two open runs on one host: {rows}"
        self.most = max(self.most, len(rows))

    async def host(self, batch: Try, asset: int, settling: bool) -> bool:
        """One host to its end; whether it was lost."""
        for _ in range(PATIENCE):
            newest = self.newest[batch.taken.id]
            claim = await batch.claim(asset, settling)
            self.look()
            assert claim.fence is None or batch.taken.attempt >= newest, "an old try was granted a claim"
            if claim.fence is not None:
                break
            if claim.decision.answer == "no":
                return False
            await asyncio.sleep(0.002)
        else:
            raise AssertionError(f"host {asset} waited for ever: {claim.decision}")
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        state = self.chance.choice((HostState.SUCCEEDED, HostState.UNKNOWN)) if settling else self.fates[asset]
        try:
            await batch.settle(claim.fence, state)
        except StaleAttempt:
            return False
        self.finished[asset] += state in FINISHED
        return state is HostState.UNKNOWN

    async def flow(self, batch: Try, first: int, size: int, forks: int) -> None:
        """As host_pinned does: `forks` hosts at once, in the order of `remaining`; then once more those it lost."""
        hosts: list[int] = await batch.remaining(first, size)
        lost: list[int] = []
        for settling in (False, True):
            waiting = iter(hosts)

            async def fork(waiting: Iterator[int] = waiting, settling: bool = settling) -> None:
                for asset in waiting:
                    if await self.host(batch, asset, settling):
                        lost.append(asset)

            await asyncio.gather(*(fork() for _ in range(forks)))
            hosts = lost.copy()
            lost.clear()

    async def batch(self, number: int, first: int, size: int, forks: int) -> None:
        tries = []
        for attempt in range(1, self.crashes + 2):
            batch = await Try.take(self.database, self.deployment.id, attempt, f"run/{number}")
            self.newest[batch.taken.id] = attempt
            tries.append(asyncio.create_task(self.flow(batch, first, size, forks)))
            for _ in range(self.chance.randrange(40)):
                await asyncio.sleep(0)
            died = self.chance.choice(("dies", "goes on", "ends"))
            if died == "dies" and attempt <= self.crashes:
                tries[-1].cancel()
                await asyncio.gather(tries[-1], return_exceptions=True)
            elif died == "ends" and attempt <= self.crashes:
                await batch.end()  # its last act in a polite shutdown
        await asyncio.gather(*(one for one in tries if not one.cancelled()))
        await batch.end()


@pytest.mark.timeout(600)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
async def test_rules_8_and_16_the_claim_keeps_its_promises_through_crashes(
    database: Database, sql: psycopg.Connection, data: st.DataObject
) -> None:
    hosts = data.draw(st.integers(1, MOST_HOSTS), "hosts")
    limit = data.draw(st.integers(1, 5), "C")
    budget = data.draw(st.integers(1, 4), "max_failures")
    crashes = data.draw(st.integers(0, 2), "crashes")
    unreachable = data.draw(st.sampled_from([3, MOST_HOSTS + 1]), "max_unreachable")
    batches = data.draw(st.integers(1, 2), "batches")
    patch_id, assets = await store(database, hosts)
    deployment = await freeze(
        database, patch_id, assets, None, max_concurrency=limit, max_failures=budget, max_unreachable=unreachable
    )
    drawn = {asset: data.draw(fates, f"host {index}") for index, asset in enumerate(assets)}
    chance = random.Random(data.draw(st.integers(0, 2**16), "seed"))
    world = World(database, sql, deployment, drawn, chance, crashes)

    size = -(-hosts // batches)
    await asyncio.gather(
        *(world.batch(number, number * size, size, limit) for number in range(batches) if number * size < hosts)
    )

    assert world.most <= limit, f"{world.most} hosts in hand with C = {limit}"
    assert max(world.finished.values(), default=0) <= 1, f"finished twice: {world.finished}"
    rows = sql.execute(
        "select state, count(*) from host_runs where latest and deployment_id = %s group by state", [deployment.id]
    ).fetchall()
    final = {str(state): int(number) for state, number in rows}
    assert final.get("FAILED", 0) - budget <= limit - 1, f"overshoot of {final} with budget {budget}, C = {limit}"
    assert "RUNNING" not in final, "a run was left open after its batch had ended"
    latest = sql.execute(
        "select max(n) from (select count(*) n from host_runs where latest and deployment_id = %s group by asset_id) x",
        [deployment.id],
    ).fetchone()
    assert latest in ((1,), (None,))
    reopened = sql.execute(
        "select count(*) from host_runs a join host_runs b using (deployment_id, asset_id) "
        "where a.deployment_id = %s and a.state = any(%s) and b.fence > a.fence",
        [deployment.id, list(FINISHED)],
    ).fetchone()
    assert reopened == (0,), "a finished host was claimed again"
