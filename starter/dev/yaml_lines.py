"""YAML that remembers its lines, so that an error can say where to look."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from starter.dev.errors import StackError


@dataclass(frozen=True)
class Page:
    """A parsed document: its plain `value` and the tree it came from."""

    value: Any
    root: yaml.Node | None

    def line(self, place: Sequence[int | str]) -> int:
        """The line (from 1) of the field at `place`, or of the nearest thing round it that is written down."""
        node, line = self.root, 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


def read(text: str, path: Path) -> Page:
    """Parse `text`. Raises StackError with file and line where it is no YAML or says a thing twice."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        _refuse_doubles(root, path)
        return Page(yaml.safe_load(text), root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise StackError(f"{path}:{line}: not readable as YAML ({problem}): check indent, colons and quotes") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise StackError(f"{path}:1: not readable as YAML ({error}): check indent, colons and quotes") from error


def _refuse_doubles(node: yaml.Node | None, path: Path, seen: frozenset[int] = frozenset()) -> None:
    """YAML lets the last of two equal keys win in silence; the person who edited the first would search for hours."""
    if node is None or id(node) in seen:
        return
    seen = seen | {id(node)}
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    raise StackError(
                        f"{path}:{line}: {key.value}: written twice, first in line {lines[key.value]}: remove one"
                    )
                lines[key.value] = line
            _refuse_doubles(value, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_doubles(item, path, seen)
