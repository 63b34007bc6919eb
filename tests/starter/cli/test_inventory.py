"""The inventory works with Ansible itself: groups from labels, the pinned key alone is trusted, no value is run."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml

from starter.inventory import as_yaml, groups, inventory, known_hosts_text
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import KEY
from workflows.contracts.inventory import Asset, Service

ANSIBLE = Path(sys.executable).with_name("ansible")


def asset(name: str = "web1", **changes: Any) -> Asset:
    fields: dict[str, Any] = {
        "id": 1, "name": name, "address": "127.0.0.1", "port": 22, "user": "root", "connection": "ssh",
        "platform": "debian", "labels": {"env": "prod"}, "services": (), "host_key": KEY, "credential": "agent",
    }  # fmt: skip
    # Not checked: what an import refuses may still have come into a database some other way.
    return Asset.model_construct(**(fields | changes))


def run_ansible(folder: Path, name: str, text: str, message: str) -> str:
    path = folder / name
    path.write_text(text)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    arguments = [str(ANSIBLE), "-i", str(path), "all", "-m", "debug", "-a", f'msg="{message}"']
    done = subprocess.run(arguments, capture_output=True, text=True, env=environ, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_label_is_a_group_and_ansible_reads_it(tmp_path: Path) -> None:
    found = inventory([asset("web1"), asset("web2", labels={"env": "prod", "zone": "eu-1"})])
    said = run_ansible(tmp_path, "i.yml", as_yaml(found), "{{ groups['env_prod'] | length }} {{ groups['zone_eu_1'] }}")
    assert '"msg": "2 [\'web2\']"' in said


def test_labels_that_would_be_one_group_are_two_and_none_is_called_as_a_host() -> None:
    found = groups(
        [asset("a", labels={"zone": "b-1"}), asset("b", labels={"zone": "b_1"}), asset("env_x", labels={"env": "x"})]
    )
    assert sorted(map(tuple, found.values())) == [("a",), ("b",), ("env_x",)]
    assert len(found) == 3
    assert not {"zone_b_1", "env_x"} & found.keys()


@pytest.mark.parametrize("name", ["i.yml", "i.json"])
def test_a_value_with_a_template_in_it_is_shown_and_not_run(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "ran"
    evil = f"{{{{ lookup('pipe', 'touch {marker}') }}}}"
    found = inventory(
        [
            asset(
                labels={"env": evil},
                services=(Service.model_construct(name=evil),),
                platform=evil,
                credential=f"file:{evil}",
            )
        ]
    )
    text = as_yaml(found) if name == "i.yml" else json.dumps(found)
    said = run_ansible(tmp_path, name, text, "{{ vulnzero }} {{ ansible_ssh_private_key_file }}")
    assert "lookup('pipe'" in said
    assert not marker.exists()


def test_without_the_mark_ansible_would_run_it(tmp_path: Path) -> None:
    """The test above would pass for nothing where Ansible had stopped to look into inventories."""
    marker = tmp_path / "ran"
    text = as_yaml(inventory([asset(labels={"env": f"{{{{ lookup('pipe', 'touch {marker}') }}}}"})]))
    run_ansible(tmp_path, "i.yml", text.replace("!unsafe ", ""), "{{ vulnzero.labels.env }}")
    assert marker.exists()


def test_the_command_prints_yaml_and_json_and_writes_the_keys_where_it_is_told(
    stocked: Vulnzero, tmp_path: Path
) -> None:
    code, out, _ = stocked("inventory", "env=prod", "--known-hosts", str(tmp_path / "keys"))
    assert code == 0
    assert out.count("!unsafe") > 10
    assert f'UserKnownHostsFile=\\"{tmp_path}/keys\\"' in out
    assert (tmp_path / "keys").read_text().splitlines()[0] == f"web1 {KEY}"
    found = json.loads(stocked("inventory", "id=1", "-o", "json")[1])
    assert list(found["all"]["hosts"]) == ["web1"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[int, str]]:
    """Port and host key of an SSH server that lets the key in tmp_path / "id" in."""
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    (tmp_path / "id").write_bytes(user.export_private_key("openssh"))
    (tmp_path / "id").chmod(0o600)
    (tmp_path / "allowed").write_bytes(user.export_public_key())
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=str(tmp_path / "allowed"),
        process_factory=lambda process: process.exit(0),
    )  # fmt: skip
    async with listener:
        yield listener.get_port(), host.export_public_key().decode().strip()


@pytest.mark.parametrize("in_a_file", [False, True])
@pytest.mark.parametrize("pinned", [True, False])
async def test_ssh_trusts_the_pinned_key_and_no_other(
    server: tuple[int, str], tmp_path: Path, pinned: bool, in_a_file: bool
) -> None:
    port, host_key = server
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    one = asset(port=port, host_key=host_key if pinned else other, credential=f"file:{tmp_path / 'id'}")
    known_hosts = tmp_path / "keys of us" if in_a_file else None
    if known_hosts:
        known_hosts.write_text(known_hosts_text([one]))
    (host,) = yaml.safe_load(as_yaml(inventory([one], known_hosts)).replace("!unsafe ", ""))["all"]["hosts"].values()
    command = f"ssh {host['ansible_ssh_common_args']} -i {tmp_path / 'id'} -p {port} root@127.0.0.1 true"
    ssh = await asyncio.create_subprocess_shell(command, stderr=asyncio.subprocess.PIPE)
    _, err = await ssh.communicate()
    assert ssh.returncode == (0 if pinned else 255), err
    assert pinned or b"REMOTE HOST IDENTIFICATION HAS CHANGED" in err
