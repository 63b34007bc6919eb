"""Which assets: `all`, `id=1,2,3`, or labels as Kubernetes writes them (`env=prod,tier!=db,zone in (a,b)`)."""

import re
from collections.abc import Mapping

from workflows.contracts.errors import InvalidRequest
from workflows.contracts.model import Contract

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]*[A-Za-z0-9])?"
_TERM = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<absent_key>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})?"
    rf"|\s+(?P<set_op>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)
_IDS = re.compile(r"\s*id\s*=\s*(\d+(?:\s*,\s*\d+)*)\s*")
_HELP = "write all, id=1,2,3, or labels: env=prod,tier!=db,zone in (a,b)"


class Term(Contract):
    """One condition on a label. `values` empty: the key only has to be there (or, negated, not there)."""

    key: str
    values: frozenset[str] = frozenset()
    negated: bool = False

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.key)
        there = found is not None if not self.values else found in self.values
        return there != self.negated


class Selector(Contract):
    """All terms must hold. `ids` set: exactly these assets."""

    ids: frozenset[int] | None = None
    terms: tuple[Term, ...] = ()

    def matches(self, asset_id: int, labels: Mapping[str, str]) -> bool:
        if self.ids is not None:
            return asset_id in self.ids
        return all(term.holds(labels) for term in self.terms)


def parse_selector(text: str) -> Selector:
    """Raises InvalidRequest that quotes what it could not read."""
    if text.strip() == "all":
        return Selector()
    if ids := _IDS.fullmatch(text):
        return Selector(ids=frozenset(int(part) for part in ids[1].split(",")))
    if not text.strip():
        raise InvalidRequest("selector", "is empty", _HELP)
    terms, at = [], 0
    while at < len(text):
        match = _TERM.match(text, at)
        if not match or match.end() == at:
            raise InvalidRequest("selector", f"cannot read {text[at:][:60]!r} at column {at + 1}", _HELP)
        terms.append(_term(match))
        at = match.end()
    return Selector(terms=tuple(terms))


def _term(match: re.Match[str]) -> Term:
    if match["absent"]:
        return Term(key=match["absent_key"], negated=True)
    if match["set_op"]:
        values = frozenset(part.strip() for part in match["values"].split(",") if part.strip())
        if not values:
            raise InvalidRequest("selector", f"{match['key']} {match['set_op']} () names no value", _HELP)
        return Term(key=match["key"], values=values, negated=match["set_op"] == "notin")
    if match["op"]:
        if match["value"] is None:
            raise InvalidRequest("selector", f"{match['key']}{match['op']} names no value", _HELP)
        return Term(key=match["key"], values=frozenset({match["value"]}), negated=match["op"] == "!=")
    return Term(key=match["key"])
