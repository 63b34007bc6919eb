"""The inventory, the known hosts, the play and the workspace, as text."""

import json
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest

from activities.ansible.inventory import inventory, known_hosts
from activities.ansible.job import Probe
from activities.ansible.marks import FileMarks
from activities.ansible.playbook import playbook
from activities.ansible.workspace import Workspace
from tests.activities.ansible.support import KEY, a_host, a_job

MARKS = FileMarks(Path("/run/vulnzero/batch-1/marks"))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict) and value.keys() != {"__ansible_unsafe"}:
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def variables(**changes: Any) -> dict[str, Any]:
    hosts = inventory(a_job([a_host(**changes)]), MARKS)["all"]["hosts"]
    return dict(hosts["web-1"])


def test_every_string_of_an_inventory_is_data_and_never_a_template() -> None:
    found = leaves(variables(service="nginx", probe=Probe(port=80, path="/{{x}}")))
    assert {"__ansible_unsafe": "/{{x}}"} in found
    assert not [leaf for leaf in found if isinstance(leaf, str)]


def test_each_hosts_key_is_pinned_under_its_name_and_not_its_address() -> None:
    job = a_job([a_host("a"), a_host("b", host_key=KEY[:-1] + "x")])
    assert known_hosts(job).splitlines() == [f"a {KEY}", f"b {KEY[:-1]}x"]
    options = shlex.split(variables()["ansible_ssh_extra_args"]["__ansible_unsafe"])
    assert "HostKeyAlias=web-1" in options


def test_a_key_file_is_the_only_identity_that_is_offered() -> None:
    options = variables()["ansible_ssh_extra_args"]["__ansible_unsafe"]
    assert "IdentitiesOnly=yes" in options and "IdentityAgent=none" in options
    assert variables()["ansible_ssh_private_key_file"] == {"__ansible_unsafe": "/keys/one"}


def test_an_agent_needs_no_key_file() -> None:
    assert "ansible_ssh_private_key_file" not in variables(credential="agent")
    assert "IdentitiesOnly=no" in variables(credential="agent")["ansible_ssh_extra_args"]["__ansible_unsafe"]


def test_a_percent_sign_in_the_directory_does_not_become_an_expansion_of_ssh() -> None:
    assert "%%h/unreached-x" in FileMarks(Path("/run/%h")).local_command("x")


def test_policy_is_not_in_the_play() -> None:
    """A stop is the worker's answer to a claim: a second rule in Ansible would disagree with it one day."""
    (play,) = playbook(a_job([a_host()], host_timeout=42))
    assert not {"serial", "max_fail_percentage", "any_errors_fatal"} & play.keys()
    assert (play["strategy"], play["gather_facts"]) == ("host_pinned", False)
    claim, patch = play["tasks"]
    assert (claim["name"], patch["name"], patch["timeout"]) == ("claim", "patch", 42)
    assert patch["when"] == "vulnzero_claimed.granted"


def test_the_play_does_not_differ_from_host_to_host() -> None:
    assert playbook(a_job([a_host()])) == playbook(a_job([a_host("other", version="9", service="x")]))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "batch"
    root.mkdir(mode=0o700)
    made = Workspace(a_job([a_host()], directory=str(root)))
    made.write()
    return made


def test_nobody_else_can_read_what_a_batch_was_given(workspace: Workspace) -> None:
    for path in workspace.root.rglob("*"):
        if path.parent.name != "marks":
            assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path


def test_ansible_sees_nothing_of_the_workers_environment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert "secret" not in json.dumps(workspace.environment())
    assert "SSH_AUTH_SOCK" not in workspace.environment()
    agent = Workspace(a_job([a_host(credential="agent")]))
    assert agent.environment()["SSH_AUTH_SOCK"] == "/run/agent"


def test_ssh_trusts_only_the_batchs_own_keys_and_no_configuration_of_the_machine(workspace: Workspace) -> None:
    args = shlex.split(workspace.ssh_args())
    assert args[:2] == ["-F", "/dev/null"]
    for option in (
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "ControlMaster=no",
        "ConnectTimeout=10",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
    ):
        assert option in args
    assert workspace.environment()["ANSIBLE_SSH_RETRIES"] == "0"
