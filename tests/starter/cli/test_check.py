"""Connectivity, one line a host: what is wrong with each, and the mend; through a real SSH server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from activities.reaching import each
from starter.ledger import Ledger
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import assets
from workflows.contracts.inventory import Asset, AssetSpec


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


@pytest.fixture
async def good(tmp_path: Path, database_url: str) -> AsyncIterator[AssetSpec]:
    """In the inventory, and reachable."""
    host, user = new_key(), new_key()
    (tmp_path / "id").write_bytes(user.export_private_key())
    (tmp_path / "allowed").write_bytes(user.export_public_key())
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=str(tmp_path / "allowed")
    )
    async with listener, Ledger(database_url) as ledger:
        spec = AssetSpec(
            name="web-good", address="127.0.0.1", port=listener.get_port(), platform="debian", labels={"env": "prod"},
            host_key=public(host), credential=f"file:{tmp_path / 'id'}",
        )  # fmt: skip
        await ledger.import_assets([spec])
        yield spec


async def test_a_host_that_can_be_reached_is_one_line_and_exit_0(good: AssetSpec, vulnzero: Vulnzero) -> None:
    code, out, err = await asyncio.to_thread(vulnzero, "check")
    assert code == 0
    assert out.split() == ["web-good", "OK", *out.split()[2:4], f"root@127.0.0.1:{good.port}"]
    assert err.startswith("1 of 1 host can be reached (")


@pytest.mark.parametrize(
    ("change", "problem", "mend"),
    [
        ({"host_key": public(new_key())}, "its host key is not the pinned one", "import its new host_key"),
        ({"port": 1}, "127.0.0.1:1: Connection refused", "sshd running"),
        ({"credential": "file:/nowhere"}, "the key file:/nowhere cannot be used: No such file", "import another"),
        ({"user": "nobody", "credential": "agent"}, "it refuses user nobody with agent", "authorized_keys"),
    ],
)
async def test_what_is_wrong_is_named_with_its_mend_and_exit_1(
    good: AssetSpec,
    database_url: str,
    vulnzero: Vulnzero,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    problem: str,
    mend: str,
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    async with Ledger(database_url) as ledger:
        await ledger.import_assets([good.model_copy(update={"name": "web-bad"} | change)])
    code, out, err = await asyncio.to_thread(vulnzero, "check", "env=prod")
    (line,) = [line for line in out.splitlines() if "UNREACHABLE" in line]
    assert code == 1
    assert line.startswith("web-bad   UNREACHABLE  ")
    assert problem in line
    assert mend in line
    assert err.startswith("1 of 2 hosts can be reached (")


async def test_as_json_it_is_one_array_in_the_order_of_the_inventory(
    good: AssetSpec, database_url: str, vulnzero: Vulnzero
) -> None:
    async with Ledger(database_url) as ledger:
        await ledger.import_assets([good.model_copy(update={"name": "a-bad", "port": 1})])
    code, out, _ = await asyncio.to_thread(vulnzero, "check", "-o", "json")
    assert code == 1
    assert [(one["name"], one["reachable"]) for one in json.loads(out)] == [("a-bad", False), ("web-good", True)]


async def test_answers_come_as_they_are_found_and_never_more_looks_than_allowed_at_once() -> None:
    gates = {number: asyncio.Event() for number in range(6)}
    fleet = [Asset(id=number, **one.model_dump()) for number, one in enumerate(assets(6))]
    looking = most = 0

    async def look(asset: Asset) -> int:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await gates[asset.id].wait()
        looking -= 1
        return asset.id

    found = each(fleet, look, at_once=2)
    gates[1].set()
    assert (await anext(found)).answer == 1  # the first one still waits, and nobody waits for it
    for gate in gates.values():
        gate.set()
    assert {looked.answer async for looked in found} == {0, 2, 3, 4, 5}
    assert most == 2
