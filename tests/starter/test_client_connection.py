"""Where the stack is: flag, environment, dev stack, in this order, and never a mixture of two stacks."""

from pathlib import Path

import pytest

from starter.connection import DEFAULT_ADDRESS, Where, read_env_file, write_env_file
from starter.errors import NothingKnown
from workers.connection import TemporalUnavailable
from workflows.contracts.errors import InvalidRequest

STACK = {
    "DATABASE_URL": "postgresql+psycopg://vulnzero:secret=@127.0.0.1:17012/vulnzero",
    "TEMPORAL_ADDRESS": "127.0.0.1:17010",
    "TEMPORAL_NAMESPACE": "vulnzero",
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of a person whose dev stack runs."""
    write_env_file(tmp_path / "stack.env", STACK)
    return {"VULNZERO_DATA": str(tmp_path), "HOME": str(tmp_path), "TEMPORAL_CONFIG_FILE": str(tmp_path / "none.toml")}


def test_the_stack_file_is_read_as_it_was_written_and_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    write_env_file(path, STACK)
    assert read_env_file(path) == STACK
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_env_file(tmp_path / "none") == {}


def test_a_flag_beats_the_environment_which_beats_the_dev_stack(environ: dict[str, str]) -> None:
    assert Where(environ=environ).database_url() == STACK["DATABASE_URL"]
    environ["DATABASE_URL"] = "postgresql://a/b"
    assert Where(environ=environ).database_url() == "postgresql://a/b"
    assert Where("postgresql://c/d", environ=environ).database_url() == "postgresql://c/d"


def test_temporal_is_found_in_the_same_order(environ: dict[str, str]) -> None:
    found = Where(environ=environ).temporal()
    assert (found.address, found.namespace, found.source) == ("127.0.0.1:17010", "vulnzero", "the dev stack")
    environ |= {"TEMPORAL_ADDRESS": "t:7233", "TEMPORAL_NAMESPACE": "prod"}
    found = Where(environ=environ).temporal()
    assert (found.address, found.namespace, found.source) == ("t:7233", "prod", "TEMPORAL_ADDRESS")
    assert Where(address="f:1", environ=environ).temporal().address == "f:1"
    assert Where(namespace="n", environ=environ).temporal().namespace == "n"


def test_an_api_key_of_the_shell_is_never_sent_to_the_dev_stack(environ: dict[str, str]) -> None:
    environ["TEMPORAL_API_KEY"] = "secret"
    assert Where(environ=environ).temporal().profile is None


def test_one_stacks_ledger_with_another_ones_temporal_is_refused(environ: dict[str, str]) -> None:
    environ["DATABASE_URL"] = "postgresql://prod/vulnzero"
    with pytest.raises(InvalidRequest, match="set TEMPORAL_ADDRESS too"):
        Where(environ=environ).temporal()
    environ["DATABASE_URL"] = STACK["DATABASE_URL"].replace("+psycopg", "")
    assert Where(environ=environ).temporal().source == "the dev stack"


def test_without_any_hint_the_database_is_asked_for(tmp_path: Path) -> None:
    environ = {"VULNZERO_DATA": str(tmp_path), "TEMPORAL_CONFIG_FILE": str(tmp_path / "none.toml")}
    with pytest.raises(NothingKnown, match="set DATABASE_URL"):
        Where(environ=environ).database_url()
    assert Where(environ=environ).temporal().address == DEFAULT_ADDRESS


def test_a_misspelt_key_in_temporals_own_file_is_refused_not_ignored(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "temporal.toml"
    path.write_text('[profile.default]\nadress = "x:1"\n')
    environ["TEMPORAL_CONFIG_FILE"] = str(path)
    with pytest.raises(InvalidRequest, match="adress"):
        Where(environ=environ).temporal()


async def test_a_temporal_that_is_not_there_is_named_with_its_source() -> None:
    with pytest.raises(TemporalUnavailable, match=r"127.0.0.1:1 \(--temporal-address\): connection refused"):
        await Where(address="127.0.0.1:1").temporal().connect()
