"""Whatever is wrong, an operator meets one line that names the thing and the mend, and the exit code that fits."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from starter.client import DeploymentClient
from starter.dev.temporal import Temporal
from tests.starter.cli.conftest import Vulnzero
from tests.starter.cli.simulated import KEY

ASSET = {"name": "web1", "address": "10.0.0.1", "platform": "debian", "host_key": KEY, "credential": "agent"}
JINJA = "{{ lookup('pipe', 'id') }}"
NOWHERE = ("--database-url", "postgresql://postgres@127.0.0.1:1/none")


def refused(answer: tuple[int, str, str], code: int, *words: str) -> None:
    """Nothing on standard output, one line on standard error with all `words` in it, and `code`."""
    given, out, err = answer
    assert (given, out) == (code, "")
    assert re.fullmatch(r"error: [^\n]+\n", err), err
    assert all(word in err for word in words), err


def assets_file(folder: Path, *records: dict[str, Any]) -> str:
    path = folder / "assets.json"
    path.write_text(json.dumps({"assets": records}, indent=1))
    return str(path)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("asset", "show", "nope"), ("no asset nope", "vulnzero asset list")),
        (("asset", "show", "9" * 40), ("no asset 999", "vulnzero asset list")),
        (("patch", "show", "nope"), ("no patch nope", "vulnzero patch list")),
        (("plan", "nope", "--to", "all"), ("no patch nope", "vulnzero patch list")),
        (("deploy", "nope", "--to", "all", "--yes"), ("no patch nope", "vulnzero patch list")),
        (("deploy", "acme-1.0.1", "--to", "tier=db", "--yes"), ("'tier=db' matches no asset", "vulnzero asset list")),
        (("plan", "acme-1.0.1", "--to", "id=99"), ("no asset 99", "vulnzero asset list")),
        (("show", "77"), ("no deployment 77", "vulnzero list")),
        (("logs", "77"), ("no deployment 77", "vulnzero list")),
        (("logs", "77", "--follow"), ("no deployment 77", "vulnzero list")),
        (("plan", "acme-1.0.1", "--to", "env=none"), ("'env=none' matches no asset", "vulnzero asset list")),
        (("check", "env=none"), ("'env=none' matches no asset", "vulnzero asset list")),
        (("inventory", "env=none"), ("'env=none' matches no asset", "vulnzero asset list")),
        (("check", "env in ("), ("cannot read 'env in ('", "env=prod,tier!=db")),
        (("inventory", ""), ("selector: is empty", "env=prod,tier!=db")),
        (
            ("inventory", "all", "--known-hosts", "/nowhere/at/all"),
            ("/nowhere/at/all: cannot be written", "another file"),
        ),
        (("plan", "acme-1.0.1", "--to", "all", "--min-healthy", "3 hosts"), ("min_healthy", "at most 2 can stay")),
        (("completion", "tcsh"), ("'tcsh' is not one of", "--help")),
    ],
)
def test_what_is_not_there_or_cannot_be_chosen(
    stocked: Vulnzero, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(stocked(*command), 2, *words)


@pytest.mark.parametrize("size", ["0", "1", "1.0", "1.5", "abc", "-20%", "0 hosts", "nan", "1/0"])
@pytest.mark.parametrize("command", [("plan",), ("deploy", "--yes")])
def test_a_batch_size_that_is_none(vulnzero: Vulnzero, command: tuple[str, ...], size: str) -> None:
    refused(vulnzero(*command, "acme-1.0.1", "--to", "all", f"--batch-size={size}"), 2, "batch_size: ", "write")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "h[1:3]"}, ("assets[1].name: 'h[1:3]' is no host name", "allowed: ")),
        ({"name": "web1"}, ("assets[1].name: web1 is there twice, first in line", "remove or rename one")),
        ({"name": "w", "labels": {"env": JINJA}}, ("assets[1].labels.env of w:", "is no label value", "allowed: ")),
        ({"name": "w", "labels": {JINJA: "x"}}, ("is no label key", "allowed: ")),
        ({"name": "w", "address": JINJA}, ("assets[1].address of w:", "is no address", "allowed: ")),
        ({"name": "w", "port": "ssh"}, ("assets[1].port of w:", "valid integer", "not 'ssh'")),
        ({"name": "w", "port": 70000}, ("assets[1].port of w:", "less than or equal to 65535")),
        ({"name": "w", "labels": ["env"]}, ("assets[1].labels of w:", "valid dictionary")),
        ({"name": "w", "platform": 12}, ("assets[1].platform of w: is read as a int", "put it in quotes")),
        ({"name": "w", "lables": {}}, ("is no field that is known here", "known are name, address")),
        ({"name": "w", "host_key": "trust me"}, ("assets[1].host_key of w:", "is no SSH public key", "allowed: ")),
    ],
)  # fmt: skip
def test_a_record_that_is_wrong_imports_none_of_its_file(
    vulnzero: Vulnzero, tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(vulnzero("asset", "import", assets_file(tmp_path, ASSET, ASSET | change)), 2, "assets.json:", *words)
    assert vulnzero("asset", "list", "-o", "json")[1] == "[]\n"


def test_a_version_that_is_a_jinja_template(vulnzero: Vulnzero, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    patch = {"name": "p", "platforms": {"debian": {"package": "x", "version": JINJA}}}
    path.write_text(json.dumps({"patches": [patch]}))
    refused(vulnzero("patch", "import", str(path)), 2, "patches[0].platforms.debian.version of p:", "allowed: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"assets:\n  - name: a\n   address: b\n", ("a.yml:3:4: is no YAML", "check indent")),
        (b"assets:\n  - name: caf\xe9\n", ("a.yml:2:14: is no UTF-8 text here", "save the file as UTF-8")),
        (b"assets:\n" + b"#" * 50 * 1024**2, ("a.yml: has 50 MB, at most 20 are read", "split it")),
        (b"", ("a.yml:1:1", "begin with 'assets:'")),
    ],
    ids=["malformed", "not UTF-8", "50 MB", "empty"],
)
def test_a_file_that_cannot_be_read(vulnzero: Vulnzero, tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    path = tmp_path / "a.yml"
    path.write_bytes(content)
    refused(vulnzero("asset", "import", str(path)), 2, *words)


def test_a_file_that_is_not_there(vulnzero: Vulnzero) -> None:
    refused(vulnzero("asset", "import", "/nowhere.yml"), 2, "/nowhere.yml: cannot be read: No such file")


@pytest.mark.parametrize(
    "command",
    [
        ("list",), ("show", "1"), ("logs", "1"), ("logs", "1", "-f"), ("watch", "1"), ("asset", "list"), ("check",),
        ("inventory", "all"), ("plan", "p", "--to", "all"), ("db", "migrate"), ("patch", "show", "p"),
    ],
)  # fmt: skip
def test_a_database_that_is_away(vulnzero: Vulnzero, command: tuple[str, ...]) -> None:
    refused(vulnzero(*command, *NOWHERE), 3, "the database does not answer: ", "refused", "DATABASE_URL right?")


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "postgresql://h:port/x", "postgresql://%zz/x"])
def test_a_database_url_that_is_none(vulnzero: Vulnzero, url: str) -> None:
    refused(vulnzero("list", "--database-url", url), 3, "DATABASE_URL")


def test_a_database_without_tables(vulnzero: Vulnzero, database_url: str) -> None:
    empty = database_url.rsplit("/", 1)[0] + "/postgres"
    refused(vulnzero("list", "--database-url", empty), 3, "has no VulnZero tables", "vulnzero db migrate")


@pytest.mark.parametrize("command", [("deploy", "acme-1.0.1", "--to", "all", "--yes"), ("pause", "1"), ("cancel", "1")])
def test_a_temporal_that_is_dead(stocked: Vulnzero, command: tuple[str, ...]) -> None:
    code, _, err = stocked(*command)
    assert code == 3
    assert err == (
        "error: Temporal does not answer at 127.0.0.1:1 (TEMPORAL_ADDRESS): connection refused; is it running, and "
        "TEMPORAL_ADDRESS right?\n"
    )


async def test_no_worker_that_polls(client: DeploymentClient, temporal: Temporal, vulnzero: Vulnzero) -> None:
    await client.deploy(1, selector="all")
    where = ("--temporal-address", temporal.address, "--namespace", temporal.namespace)
    answer = await asyncio.to_thread(vulnzero, "pause", "1", *where)
    refused(answer, 3, "no worker polls vulnzero-workflows", "it was not sent", "vulnzero worker")
