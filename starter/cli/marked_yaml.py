"""YAML and JSON that remember where each field was written, and refuse what would mislead or exhaust the reader."""

import bisect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from workflows.contracts.errors import InvalidRequest

# Written in C where the wheel has it (it does): 20 MB take seconds instead of minutes.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_VALUES = 3_000_000  # more than 20 MB can hold unless aliases multiply them

Place = Sequence[str | int]


class Document:
    """`value` is plain data; the tree beside it (made late for JSON) knows lines and columns, both from 1."""

    def __init__(self, value: Any, text: str, path: Path, root: yaml.Node | None) -> None:
        self.value = value
        self._text = text
        self._path = path
        self._root = root

    def position(self, place: Place) -> tuple[int, int]:
        """Of the field at `place`, or of the nearest thing round it that is written down."""
        _, mark = self._find(place)
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)

    def line(self, place: Place) -> int:
        return self.position(place)[0]

    def scalar(self, place: Place) -> str:
        """The characters of a value as they are written: 1.10, where the value itself is 1.1 already."""
        node, _ = self._find(place)
        return node.value if isinstance(node, yaml.ScalarNode) else ""

    def fault(self, place: Place, problem: str, mend: str = "", of: str = "") -> InvalidRequest:
        line, column = self.position(place)
        return InvalidRequest(f"{self._path}:{line}:{column}: {_dotted(place)}{of}".rstrip(": "), problem, mend)

    def _find(self, place: Place) -> tuple[yaml.Node | None, Any]:
        node = self._tree()
        mark = node.start_mark if node else None
        for part in place:
            found = None
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
                mark, node = (found[0].start_mark, found[1]) if found else (mark, None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
            else:
                return None, mark
        return node, mark

    def _tree(self) -> yaml.Node | None:
        if self._root is None:
            try:
                # Tabs may indent JSON but not YAML; the columns stay the same.
                self._root = yaml.compose(self._text.replace("\t", " "), Loader=_Loader)
            except yaml.YAMLError:
                return None
        return self._root


def load(text: str, path: Path, is_json: bool) -> Document:
    """Raises InvalidRequest with file, line and column where it cannot be read, or says a key twice."""
    return _load_json(text, path) if is_json else _load_yaml(text, path)


def _load_json(text: str, path: Path) -> Document:
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(found)
        if len(value) < len(found):
            names = [name for name, _ in found]
            twice.append(next(name for name in names if names.count(name) > 1))
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{path}:{error.lineno}:{error.colno}", f"is no JSON: {error.msg}") from None
    except RecursionError:
        raise InvalidRequest(str(path), "is nested too deeply") from None
    if twice:
        # The tree knows where; the data has lost it.
        _refuse_doubles(yaml.compose(text.replace("\t", " "), Loader=_Loader), path)
        raise InvalidRequest(str(path), f"{twice[0]} is written twice in one object", "remove one")
    return Document(value, text, path, None)


def _load_yaml(text: str, path: Path) -> Document:
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Document(None, text, path, None)
            _refuse_floods(root, path)
            _refuse_doubles(root, path)
            return Document(loader.construct_document(root), text, path, root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise InvalidRequest(
            where, f"is no YAML that is read here ({problem})", "check indent, colons and quotes"
        ) from None
    except yaml.reader.ReaderError as error:
        line, column = _place_of(text, error.position)
        raise InvalidRequest(
            f"{path}:{line}:{column}", f"holds a control character ({error.reason})", "remove it"
        ) from None
    except (RecursionError, ValueError) as error:
        raise InvalidRequest(str(path), f"cannot be read: {error}") from None


def _place_of(text: str, offset: int) -> tuple[int, int]:
    starts = [0, *(index + 1 for index, char in enumerate(text) if char == "\n")]
    line = bisect.bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


def _refuse_floods(root: yaml.Node, path: Path) -> None:
    """Aliases of aliases make a few lines into billions of values ("billion laughs"): counted before they are made."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise InvalidRequest(_at(path, node), "refers to itself", "write it out")
        if known:
            return known
        sizes[id(node)] = None
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(size(part) for part in parts))
        sizes[id(node)] = total
        return total

    if size(root) > _MOST_VALUES:
        raise InvalidRequest(str(path), f"stands for more than {_MOST_VALUES} values", "write aliases out, or split it")


def _refuse_doubles(node: yaml.Node | None, path: Path, seen: set[int] | None = None) -> None:
    """YAML and JSON let the last of two equal keys win in silence; whoever edited the first would search for hours."""
    seen = set() if seen is None else seen
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in lines:
                    problem = f"is written twice, first in line {lines[key.value]}"
                    raise InvalidRequest(f"{_at(path, key)}: {key.value}", problem, "remove one")
                lines[key.value] = key.start_mark.line + 1
            _refuse_doubles(value, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_doubles(item, path, seen)


def _at(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
