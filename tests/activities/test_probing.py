"""Looks at hosts, through a real SSH server: who is not reached or not well, and that a look again leaves no double."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from temporalio.testing import ActivityEnvironment

from activities.database.events import Events
from activities.database.inventory import Assets
from activities.database.session import Database
from activities.probing import ProbingActivities, probe
from activities.reaching import reach
from starter.dev import proc
from tests.activities.ledger import Frozen, Try, a_deployment, counts, spec
from workflows.contracts.inventory import Asset, HttpProbe, Service
from workflows.contracts.names import HostState
from workflows.contracts.steps import DeploymentRef, ProbeWave


class Host(asyncssh.SSHServer):
    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


class Machine:
    """One SSH server, and beside it a service on a port of its own; `status` is what its /health answers."""

    def __init__(self, folder: Path) -> None:
        self.host_key, self.user_key = new_key(), new_key()
        self.credential = folder / "key"
        self.credential.write_bytes(self.user_key.export_private_key())
        self.credential.chmod(0o600)
        self.port = self.http = 0
        self.status = 200

    def fields(self, **changes: Any) -> dict[str, Any]:
        probing = HttpProbe(port=self.http, timeout=0.2)
        return {
            "port": self.port, "host_key": public(self.host_key), "credential": f"file:{self.credential}",
            "services": (Service(name="acme", probe=probing),),
        } | changes  # fmt: skip

    def asset(self, **changes: Any) -> Asset:
        return Asset(id=1, **spec(1, **self.fields(**changes)).model_dump())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path)
    allowed = asyncssh.import_authorized_keys(public(machine.user_key))
    web = await asyncio.start_server(machine.answer, "127.0.0.1", 0)
    async with web, await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Host, server_host_keys=[machine.host_key], authorized_client_keys=allowed
    ) as server:  # fmt: skip
        machine.port, machine.http = server.get_port(), web.sockets[0].getsockname()[1]
        yield machine


async def test_a_host_with_the_pinned_key_and_our_credential_is_reached(machine: Machine) -> None:
    assert await reach(machine.asset()) is None


async def test_who_is_not_reached_is_told_why_in_one_clause(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(new_key().export_private_key())
    for changes, why in (
        ({"host_key": public(new_key())}, "its host key is not the pinned one"),
        ({"credential": f"file:{tmp_path / 'other'}"}, "it refuses user root"),
        ({"credential": "file:/nowhere/key"}, "the key file:/nowhere/key cannot be used"),
        ({"port": proc.free_port()}, "127.0.0.1:"),
    ):
        found = await reach(machine.asset(**changes))
        assert found is not None and why in found and "\n" not in found, changes


async def test_a_service_that_is_well_is_seen_through_the_hosts_own_loopback(machine: Machine) -> None:
    assert await ActivityEnvironment().run(probe, machine.asset()) is None


async def test_a_service_that_is_not_well_is_named_with_its_answer(machine: Machine) -> None:
    machine.status = 503
    found = await ActivityEnvironment().run(probe, machine.asset())
    assert found is not None and f"acme on port {machine.http}/health: answered 503 instead of 200" in found


async def test_a_service_that_does_not_answer_is_not_well(machine: Machine) -> None:
    nobody = (Service(name="acme", probe=HttpProbe(port=proc.free_port(), timeout=0.2)),)
    found = await ActivityEnvironment().run(probe, machine.asset(services=nobody))
    assert found is not None and "no answer" in found


async def test_a_host_that_is_not_reached_for_its_probe_is_no_failure_of_the_patch(machine: Machine) -> None:
    assert await ActivityEnvironment().run(probe, machine.asset(port=proc.free_port())) is None


async def here(database: Database, machine: Machine) -> Frozen:
    """Four hosts: the first two are the machine, nobody listens at the others."""
    deployment = await a_deployment(database)
    async with database.transaction() as session:
        await Assets(session).store([spec(number, **machine.fields()) for number in (1, 2)])
    return deployment


async def story(database: Database, deployment: Frozen) -> list[str]:
    async with database.transaction() as session:
        return [event.message for event in await Events(session).read(deployment.id)]


async def test_rule_6_who_cannot_be_reached_is_marked_and_a_look_again_leaves_no_double(
    database: Database, machine: Machine
) -> None:
    deployment = await here(database, machine)
    check, ref = ProbingActivities(database).check_connectivity, DeploymentRef(deployment_id=deployment.id)
    found = await ActivityEnvironment().run(check, ref)
    assert found.counts.by_state == {HostState.PENDING: 2, HostState.UNREACHABLE: 2}
    assert found.message.startswith("2 hosts cannot be reached, e.g. web-003: ")
    told = await story(database, deployment)
    again = await ActivityEnvironment().run(check, ref)
    assert again.counts == found.counts
    assert await story(database, deployment) == told


async def test_a_patched_host_that_is_not_well_is_failed_once_and_keeps_what_its_run_found(
    database: Database, machine: Machine
) -> None:
    deployment = await here(database, machine)
    batch = await Try.take(database, deployment.id)
    await batch.settle(await batch.fence(deployment.assets[0]))
    machine.status = 500
    probing, ask = ProbingActivities(database).probe_wave, ProbeWave(deployment_id=deployment.id, wave=1)
    found = await ActivityEnvironment().run(probing, ask)
    assert found.deployment.by_state == {HostState.FAILED: 1, HostState.PENDING: 3} == found.asked.by_state
    told = await story(database, deployment)
    await ActivityEnvironment().run(probing, ask)
    assert await story(database, deployment) == told
    assert (await counts(database, deployment.id)).of(HostState.FAILED) == 1
