from collections.abc import Callable
from pathlib import Path

import pytest

from starter.dev import config
from starter.dev.errors import StackError
from tests.starter.dev.conftest import PAGE

TEXT = PAGE.read_text()


def line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def test_the_page_of_this_repository_is_valid_and_says_what_the_contract_says() -> None:
    page = config.load(PAGE)
    assert page.temporal.search_attributes == {
        "DeploymentId": "Int",
        "DeploymentState": "Keyword",
        "Strategy": "Keyword",
        "Severity": "Keyword",
        "Environment": "Keyword",
        "Cves": "KeywordList",
    }
    assert [worker.queue for worker in page.workers] == ["vulnzero-workflows", "vulnzero-control", "vulnzero-ansible"]
    assert page.temporal.namespace == "vulnzero"
    assert (page.temporal.port, page.postgres.url, page.data) == (None, None, None)


def replaced(old: str, new: str) -> Callable[[], str]:
    assert old in TEXT, old
    return lambda: TEXT.replace(old, new, 1)


# What is done to the page, words of the line to be named, the field, the mend.
MISTAKES = [
    (replaced("port: auto # gRPC", "port: 80 # gRPC"), "port: 80", "temporal.port", "write `auto` or a port from 1024"),
    (replaced("port: auto # gRPC", "port: yes # gRPC"), "port: yes", "temporal.port", "write `auto` or a port"),
    (replaced("  ui_port: auto", "  ui-port: auto"), "ui-port", "temporal.ui-port", "write one of port, ui_port"),
    (replaced("  namespace: vulnzero\n", ""), "temporal:", "temporal.namespace", "is missing: add `namespace:`"),
    (replaced("namespace: vulnzero", "namespace: Vuln Zero"), "namespace:", "temporal.namespace", "a name of a-z"),
    (replaced("Strategy: Keyword", "Strategy: String"), "Strategy:", "search_attributes.Strategy", "'KeywordList'"),
    (replaced("Strategy: Keyword", "The-Strategy: Int"), "The-Str", "search_attributes.The-Strategy", "match pattern"),
    (replaced("ReadPartitions: 1", "ReadPartitions: [1]"), "ReadPart", "numTaskqueueReadPartitions", "change this"),
    (replaced("url: embedded", "url: sqlite:///x"), "url:", "postgres.url", "write `embedded` or a URL"),
    (replaced("database: vulnzero", "database: 'x; drop'"), "database:", "postgres.database", "a name of a-z"),
    (replaced("slots: 100", "slots: 0"), "slots: 0", "workers.0.slots", "greater than or equal to 1"),
    (replaced("slots: 100", "slots: many"), "slots: many", "workers.0.slots", "valid integer"),
    (replaced("slots: 50", "slot: 50"), "slot: 50", "workers.1.slot", "remove it, or write one of queue, slots"),
    (
        replaced("queue: vulnzero-control", "queue: vulnzero-workflows"),
        "#!2",
        "queue vulnzero-workflows",
        "slots to the",
    ),
    (replaced("data: auto", "data: here"), "data: here", "data", "an absolute path"),
    (replaced("data: auto", "dada: auto"), "dada:", "dada", "write one of temporal, postgres, workers, api, data"),
    (replaced("api:\n  port: auto", "api: auto"), "api: auto", "api", "indented `name: value` lines"),
    (replaced("api:\n", "api:\n  port: auto\n"), "HTTP API; auto", "port: written twice", "remove one"),
    (replaced("    Strategy: Keyword", "   Strategy: Keyword"), "Strategy:", "not readable as YAML", "check indent"),
    (lambda: TEXT + "\nextra: 'open", "#last", "not readable as YAML", "quotes"),
    (lambda: "", "#first", "the page", "indented `name: value` lines"),
    (lambda: "- a\n", "#first", "the page", "indented `name: value` lines"),
    (lambda: "a: &a [*a]\n", "#first", "", ""),
    (lambda: "a: !!python/object:os.system {}\n", "#first", "not readable as YAML", "check"),
]


@pytest.mark.parametrize(("mistake", "words", "field", "mend"), MISTAKES)
def test_a_mistake_in_the_page_is_named_with_its_line_its_field_and_the_mend(
    mistake: Callable[[], str], words: str, field: str, mend: str, tmp_path: Path
) -> None:
    text = mistake()
    path = tmp_path / config.FILE
    path.write_text(text)
    if words == "#first":
        line = 1
    elif words == "#last":
        line = len(text.splitlines())
    elif words == "#!2":
        line = line_of(text, "slots: 100") + 1
    else:
        line = line_of(text, words)
    with pytest.raises(StackError) as caught:
        config.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert field in message
    assert mend in message
    assert "\n" not in message


def test_two_fixed_ports_that_are_the_same_are_refused(tmp_path: Path) -> None:
    path = tmp_path / config.FILE
    path.write_text(TEXT.replace("port: auto", "port: 5000"))
    with pytest.raises(StackError, match="port 5000 is given twice: write `auto`"):
        config.load(path)


def test_a_page_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot be read"):
        config.load(tmp_path)
    with pytest.raises(StackError, match=r"no\.yml is not there: name an existing"):
        config.find(tmp_path / "no.yml")


def test_the_page_is_found_upward_within_a_checkout_but_not_above_it(tmp_path: Path) -> None:
    (tmp_path / config.FILE).write_text("left here by a stranger")
    inner = tmp_path / "checkout" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "checkout" / ".git").mkdir()
    assert config.find(start=inner) == PAGE
    own = tmp_path / "checkout" / config.FILE
    own.write_text(TEXT)
    assert config.find(start=inner) == own
    assert config.find(PAGE, start=inner) == PAGE


def test_outside_a_checkout_only_the_working_directory_counts(tmp_path: Path) -> None:
    (tmp_path / config.FILE).write_text(TEXT)
    inner = tmp_path / "a"
    inner.mkdir()
    assert config.find(start=tmp_path) == tmp_path / config.FILE
    assert config.find(start=inner) == PAGE


def test_an_installed_package_without_a_checkout_has_a_page_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "starter" / config.FILE
    monkeypatch.setattr(config, "CHECKOUT", tmp_path / "no" / config.FILE)
    monkeypatch.setattr(config, "PACKAGED", packaged)
    with pytest.raises(StackError, match="none in the package: run this inside the checkout"):
        config.find(start=tmp_path)
    packaged.parent.mkdir()
    packaged.write_text(TEXT)
    assert config.find(start=tmp_path) == packaged
