import pytest

from workflows.contracts.errors import InvalidRequest
from workflows.decisions.selectors import parse_selector

LABELS = {"env": "prod", "tier": "web", "zone": "a"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("all", True), ("env=prod", True), ("env==prod", True), ("env!=prod", False), ("env=prod,tier!=db", True),
        ("zone in (a, b)", True), ("zone notin (a,b)", False), ("zone", True), ("!rack", True), ("!zone", False),
        ("rack!=r1", True), ("rack=r1", False), ("id=7", True), ("id=1, 2", False),
        (" env = prod , zone in (a) ", True),
    ],
)  # fmt: skip
def test_a_selector_reads_as_kubernetes_reads_it(text: str, matches: bool) -> None:
    assert parse_selector(text).matches(7, LABELS) is matches


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is empty"), ("env=", "names no value"), ("env=prod,,", "','"), ("env=prod tier=web", "column"),
        ("zone in ()", "names no value"), ("zone in (a", "'zone in (a'"), ("{{ x }}", "'{{ x }}'"),
        ("=prod", "'=prod'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_quoted_with_the_mend(text: str, named: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_selector(text)
    assert named in str(error.value)
    assert "write all, id=1,2,3, or labels" in str(error.value)
