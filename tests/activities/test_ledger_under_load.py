"""Everything that writes a deployment's rows, all at once: nobody waits for somebody who waits for them."""

import asyncio
from collections.abc import Awaitable

import psycopg

from activities.database.admission import admit
from activities.database.deployments import Deployments
from activities.database.events import Events, NewEvent
from activities.database.hosts import PlannedHosts
from activities.database.inventory import Assets
from activities.database.session import Database
from tests.activities.ledger import Try, a_deployment, counts, entry, verb
from workflows.contracts.errors import StaleAttempt
from workflows.contracts.names import Control, DeploymentState, HostState, Verb

HOSTS, ROUNDS = 24, 12


async def test_the_end_of_a_batch_and_the_last_words_of_its_hosts_never_deadlock(database: Database) -> None:
    deployment = await a_deployment(database, hosts=HOSTS, max_concurrency=HOSTS, max_unreachable=HOSTS + 1)
    for number in range(0, HOSTS, 4):
        batch = await Try.take(database, deployment.id, activity=f"run/{number}")
        fences = [await batch.fence(asset) for asset in deployment.assets[number : number + 4]]
        async with asyncio.timeout(30):
            await asyncio.gather(batch.end(), *(batch.settle(fence) for fence in reversed(fences)))
    assert (await counts(database, deployment.id)).by_state == {HostState.SUCCEEDED: HOSTS}


async def test_claims_outcomes_events_states_and_verbs_never_deadlock(
    database: Database, sql: psycopg.Connection
) -> None:
    deployment = await a_deployment(
        database, hosts=HOSTS, max_concurrency=6, max_failures=HOSTS, max_unreachable=HOSTS + 1
    )
    async with database.transaction() as session:
        assert (await admit(session, deployment.id, 1)).granted
        marked = (await Assets(session).by_ids(deployment.assets))[-1]

    async def host(batch: Try, asset: int) -> None:
        while True:
            claim = await batch.claim(asset)
            if claim.fence is not None:
                try:
                    await batch.settle(claim.fence)
                except StaleAttempt:
                    return
            if claim.decision.answer != "wait":
                return
            await asyncio.sleep(0.005)

    async def tries(number: int) -> None:
        mine = deployment.assets[number * 8 : number * 8 + 8]
        for attempt in (1, 2, 3):
            batch = await Try.take(database, deployment.id, attempt, f"run/{number}")
            await asyncio.gather(*(host(batch, asset) for asset in mine[: attempt * 3]))
            await batch.end()

    async def story() -> None:
        for index in range(ROUNDS):
            async with database.transaction() as session:
                await Events(session).add(
                    deployment.id, *(NewEvent(kind="task", message=f"{index}.{part}") for part in range(5))
                )

    async def states() -> None:
        for index in range(ROUNDS):
            async with database.transaction() as session:
                await Deployments(session).enter(entry(deployment.id, index + 1, f"step {index}"))

    async def verbs() -> None:
        for index in range(1, ROUNDS):
            async with database.transaction() as session:
                asked = verb(deployment.id, index, Verb.RESUME, Control.RUN, DeploymentState.RUNNING)
                await Deployments(session).record_verb(asked)

    async def looks() -> None:
        for _ in range(ROUNDS):
            async with database.transaction() as session:
                await PlannedHosts(session, deployment.id).mark(marked, HostState.UNREACHABLE, "not reached")

    async def slots() -> None:
        for _ in range(ROUNDS):
            async with database.transaction() as session:
                assert (await admit(session, deployment.id, 1)).granted

    work: list[Awaitable[None]] = [tries(number) for number in range(3)]
    work += [story(), story(), states(), verbs(), looks(), slots()]
    async with asyncio.timeout(60):
        await asyncio.gather(*work)
    found = sql.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone()
    assert found == (0,)
    async with database.transaction() as session:
        row = await Deployments(session).locked(deployment.id)
        events = await Events(session).read(deployment.id, limit=10_000)
    assert [event.offset for event in events] == list(range(1, row.last_offset + 1))
    assert (await counts(database, deployment.id)).of(HostState.SUCCEEDED, HostState.UNREACHABLE) == HOSTS
