"""What a job refuses, before it becomes a pattern, an option or a second line somewhere."""

from typing import Any

import pytest
from pydantic import ValidationError

from activities.ansible.job import LINES, JobHost, Started, bounded
from tests.activities.ansible.support import KEY, a_host, a_job
from workflows.contracts.inventory import AssetSpec, Package


@pytest.mark.parametrize(
    "change",
    [
        {"name": "h[1:3]"},
        {"name": "a:b"},
        {"name": "!web"},
        {"name": "web*"},
        {"name": "-web"},
        {"name": "web-"},
        {"name": "web\n"},
        {"name": "../web"},
        {"name": "{{ x }}"},
        {"name": ""},
        {"name": "all"},
        {"name": "Ungrouped"},
        {"address": "-oProxyCommand=x"},
        {"address": "a b"},
        {"user": "-l"},
        {"user": "root;id"},
        {"host_key": f"{KEY}\nevil {KEY}"},
        {"host_key": "* ssh-ed25519 AAAA"},
        {"host_key": ""},
        {"credential": "/key"},
        {"credential": "file:key"},
        {"credential": "file:/key\nx"},
        {"package": "-o=x"},
        {"package": "a b"},
        {"version": "1.0 -o x"},
        {"version": "{{ lookup('pipe', 'id') }}"},
        {"service": "--now"},
        {"service": "a b"},
        {"port": 0},
        {"probe": {"port": 80, "path": "no-slash"}},
        {"probe": {"port": 80, "path": "/a b"}},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_host_that_could_mean_something_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_host(**change)


@pytest.mark.parametrize("name", ["web-1", "a", "1", "db.prod.example.com", "lab252-h1", "A_b"])
def test_ordinary_host_names_are_taken(name: str) -> None:
    assert a_host(name).name == name


@pytest.mark.parametrize("version", ["1:2.3-4+deb12u1~bpo1", "0", "2.36-9+deb12u9"])
def test_debian_versions_are_taken(version: str) -> None:
    assert a_host(version=version).version == version


def test_two_hosts_that_differ_in_case_alone_are_refused() -> None:
    with pytest.raises(ValidationError, match="differ in more than case"):
        a_job([a_host("web"), a_host("WEB")])


def test_a_socket_path_that_linux_would_cut_is_refused() -> None:
    with pytest.raises(ValidationError):
        a_job([a_host()], claim_socket="/" + "x" * 107)


def test_a_job_and_its_lines_survive_their_json() -> None:
    job = a_job([a_host()])
    assert type(job).model_validate_json(job.model_dump_json()) == job
    assert LINES.validate_json(Started(host="h").model_dump_json()) == Started(host="h")


def test_a_cut_never_splits_a_character() -> None:
    assert bounded("é" * 20, 20).startswith("é" * 5)
    assert len(bounded("é" * 20, 20).encode()) <= 20
    assert bounded("short", 20) == "short"


def test_a_lone_surrogate_does_not_break_a_line() -> None:
    assert bounded("a\udcffb") == "a?b"


def test_a_host_is_frozen() -> None:
    with pytest.raises(ValidationError):
        a_host().version = "2"  # type: ignore[misc]
    assert JobHost.model_config["extra"] == "forbid"


@pytest.mark.parametrize(
    "change", [{"name": "all"}, {"address": "-oX"}, {"address": "::1%eth0 x"}, {"user": "-l"}], ids=str
)
def test_an_import_refuses_the_asset_that_a_job_would_refuse(change: dict[str, Any]) -> None:
    """Else it would be found out in the middle of a deployment."""
    asset = {"name": "web-1", "address": "192.0.2.1", "platform": "debian", "host_key": KEY, "credential": "agent"}
    AssetSpec.model_validate(asset)
    with pytest.raises(ValidationError):
        AssetSpec.model_validate(asset | change)


@pytest.mark.parametrize("change", [{"version": "-1"}, {"package": "-o=x"}], ids=str)
def test_an_import_refuses_the_package_that_a_job_would_refuse(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Package.model_validate({"package": "nginx", "version": "1"} | change)
