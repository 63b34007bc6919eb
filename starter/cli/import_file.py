"""Import files: YAML or JSON with one list, checked as a whole, and faults named by file, line, column and field."""

import gc
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from starter.cli.marked_yaml import Document, load
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.inventory import AssetSpec, PatchSpec

Spec = TypeVar("Spec", AssetSpec, PatchSpec)
LIMIT_BYTES = 20 * 1024 * 1024
_OTHER = {"assets": "patches", "patches": "assets"}


def read(path: Path, key: str, model: type[Spec]) -> list[Spec]:
    """The records under `key` ("assets" or "patches") of a file. Raises InvalidRequest for its first fault."""
    # An import ends with its process, and looking for garbage among records that are all kept costs a tenth of it.
    gc.disable()
    text = _text(path)
    document = load(text, path, is_json=path.suffix.lower() == ".json")
    records = _records(document, key)
    specs: list[Spec] = []
    seen: dict[str, int] = {}
    faults: list[InvalidRequest] = []
    for index, record in enumerate(records):
        try:
            spec = model.model_validate(record)
        except ValidationError as error:
            faults.append(_fault(document, (key, index), record, error, model))
            continue
        if spec.name in seen:
            first = document.line((key, seen[spec.name], "name"))
            problem = f"{spec.name} is there twice, first in line {first}"
            faults.append(document.fault((key, index, "name"), problem, "remove or rename one"))
        seen.setdefault(spec.name, index)
        specs.append(spec)
    if faults:
        raise _with_count(faults)
    return specs


def _with_count(faults: list[InvalidRequest]) -> InvalidRequest:
    if len(faults) == 1:
        return faults[0]
    more = f"{len(faults) - 1} more of these records are wrong; nothing was imported"
    mend = f"{faults[0].mend} ({more})" if faults[0].mend else more
    return InvalidRequest("", faults[0].message, mend)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise InvalidRequest(str(path), f"has {size / 1024**2:.0f} MB, at most 20 are read", "split it")
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(str(path), f"cannot be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise InvalidRequest(f"{path}:{line}:{column}", "is no UTF-8 text here", "save the file as UTF-8") from None


def _records(document: Document, key: str) -> list[Any]:
    value = document.value
    if not isinstance(value, dict):
        raise document.fault(
            (), f"must be a mapping with the one key '{key}'", f"begin with '{key}:' and indent the list"
        )
    for name in value:
        if name != key:
            mend = (
                f"use 'vulnzero {name[:-1] if name == 'assets' else 'patch'} import'"
                if name == _OTHER[key]
                else "remove it"
            )
            raise document.fault((name,), f"is not known here, only '{key}' is", mend)
    records = value.get(key)
    if not isinstance(records, list) or not records:
        raise document.fault((key,), "must be a list of at least one record", "begin each with '- name: ...'")
    return records


def _fault(
    document: Document, at: tuple[str | int, ...], record: Any, error: ValidationError, model: type[Spec]
) -> InvalidRequest:
    """The fault of a record that comes first in the file."""
    faults = error.errors(include_url=False)
    first: Any = min(faults, key=lambda fault: document.position((*at, *fault["loc"])))
    path = (*at, *(part for part in first["loc"] if part != "[key]"))
    problem, mend = _words(first, document, path, model)
    name = record.get("name") if isinstance(record, dict) else None
    return document.fault(
        path, problem, mend, f" of {name}" if isinstance(name, str) and first["loc"][:1] != ("name",) else ""
    )


def _words(fault: Any, document: Document, path: tuple[str | int, ...], model: type[Spec]) -> tuple[str, str]:
    kind, given = fault["type"], fault["input"]
    if kind == "missing":
        return "is missing", f"add '{path[-1]}: ...'"
    if kind == "extra_forbidden":
        if len(fault["loc"]) == 1:
            return "is no field that is known here", f"known are {', '.join(model.model_fields)}"
        return "is no field that is known here", "remove it"
    if kind == "string_type" and isinstance(given, bool | int | float):
        return (
            f"is read as a {type(given).__name__}, not as text",
            f"put it in quotes: {json.dumps(document.scalar(path))}",
        )
    message = fault["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    quoted = "" if repr(given) in message or isinstance(given, dict | list) else f", not {given!r}"[:100]
    return f"{message}{quoted}", ""
