"""temporal-dev.yml as values: what the dev stack consists of, checked before anything is started."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from starter.dev import yaml_lines
from starter.dev.errors import StackError

FILE = "temporal-dev.yml"
CHECKOUT = Path(__file__).parents[2] / FILE
PACKAGED = Path(__file__).with_name(FILE)
AUTO = "auto"
POSTGRES_URL = r"(postgres|postgresql|postgresql\+psycopg)://"

SearchAttributeType = Literal["Text", "Keyword", "Int", "Double", "Bool", "Datetime", "KeywordList"]


def _port(value: Any) -> Any:
    if value == AUTO:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1024 <= value <= 65535:
        raise ValueError("write `auto` or a port from 1024 to 65535")
    return value


def _name(value: Any) -> Any:
    # It becomes an identifier in SQL and on command lines: no quoting anywhere if it cannot need any.
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", value):
        raise ValueError("write a name of a-z, 0-9, - and _ that begins with a letter")
    return value


def _data(value: Any) -> Any:
    if value == AUTO:
        return None
    if not isinstance(value, str) or not Path(value).expanduser().is_absolute():
        raise ValueError("write `auto` or an absolute path")
    return Path(value).expanduser()


def _url(value: Any) -> Any:
    if value == "embedded":
        return None
    if not isinstance(value, str) or not re.match(POSTGRES_URL, value):
        raise ValueError("write `embedded` or a URL that begins with postgresql://")
    return value


Port = Annotated[int | None, BeforeValidator(_port)]
"""None stands for `auto`: the port that follows from the stack number."""
Name = Annotated[str, BeforeValidator(_name)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TemporalConfig(_Strict):
    """The Temporal dev server."""

    port: Port
    ui_port: Port
    namespace: Name
    search_attributes: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")], SearchAttributeType]
    dynamic_config: dict[Annotated[str, Field(pattern=r"^[A-Za-z]+(\.[A-Za-z]+)*$")], bool | int | float | str] = {}


class PostgresConfig(_Strict):
    """The database; `url` None stands for the embedded server."""

    url: Annotated[str | None, BeforeValidator(_url)]
    port: Port
    database: Name


class WorkerConfig(_Strict):
    """One worker process: the task queue it polls and how many tasks it works on at a time."""

    queue: Name
    slots: Annotated[int, Field(ge=1, le=10_000)]


class ApiConfig(_Strict):
    """The HTTP API."""

    port: Port


class Config(_Strict):
    """The whole page; `data` None stands for the folder that follows from the stack number."""

    temporal: TemporalConfig
    postgres: PostgresConfig
    workers: Annotated[list[WorkerConfig], Field(min_length=1)]
    api: ApiConfig
    data: Annotated[Path | None, BeforeValidator(_data)]


def find(explicit: Path | None = None, start: Path | None = None) -> Path:
    """The file to read: `explicit`, else that of the checkout round `start` (default: the working directory), else
    that of the checkout this code lies in, else the packaged copy. Raises StackError where there is none.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise StackError(f"{explicit} is not there: name an existing {FILE}, or leave the option out")
        return explicit
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        # Not above a checkout: as root we would obey a file that anybody may have left in /tmp.
        if (folder / ".git").exists() or not any((above / ".git").exists() for above in folder.parents):
            break
    for path in (CHECKOUT, PACKAGED):
        if path.is_file():
            return path
    raise StackError(f"no {FILE} here and none in the package: run this inside the checkout, or reinstall it")


def load(path: Path) -> Config:
    """Read and check `path`. Raises StackError that names the file, the line, the field and the mend."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{path} cannot be read ({error}): make it a readable UTF-8 file") from error
    page = yaml_lines.read(text, path)
    try:
        config = Config.model_validate(page.value)
    except ValidationError as errors:
        raise StackError(_explain(errors, page, path)) from None
    ports = [config.temporal.port, config.temporal.ui_port, config.postgres.port, config.api.port]
    fixed = [port for port in ports if port is not None]
    if twice := [port for port in fixed if fixed.count(port) > 1]:
        raise StackError(f"{path}: port {twice[0]} is given twice: write `auto` for one of the two")
    queues = [worker.queue for worker in config.workers]
    for index, queue in enumerate(queues):
        if queue in queues[:index]:
            line = page.line(("workers", index, "queue"))
            raise StackError(f"{path}:{line}: queue {queue} is listed twice: add its slots to the first entry")
    return config


def _explain(errors: ValidationError, page: yaml_lines.Page, path: Path) -> str:
    # A misspelt name first: the "missing" that it causes elsewhere would send the reader to the wrong line.
    first = min(errors.errors(), key=lambda error: (error["type"] != "extra_forbidden", page.line(error["loc"])))
    place = tuple(part for part in first["loc"] if part != "[key]")
    field = ".".join(str(part) for part in place) or "the page"
    others = errors.error_count() - 1
    more = f" (and {others} more)" if others else ""
    return f"{path}:{page.line(place)}: {field}: {_mend(first, place)}{more}"


def _mend(error: Any, place: tuple[int | str, ...]) -> str:
    kind, given = error["type"], error["input"]
    if kind == "missing":
        return f"is missing: add `{place[-1]}:`"
    if kind == "extra_forbidden":
        return f"is not known here: remove it, or write one of {', '.join(_fields(place))}"
    if kind == "value_error":
        return f"{str(error['msg']).removeprefix('Value error, ')}, not {given!r}"
    if kind in ("model_type", "dict_type"):
        return f"write indented `name: value` lines under it, not {given!r}"
    return f"{str(error['msg'])[:1].lower()}{str(error['msg'])[1:]}, not {given!r}: change this value"


def _fields(place: tuple[int | str, ...]) -> list[str]:
    model: Any = Config
    for part in place[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = WorkerConfig if part == "workers" else annotation
    return list(model.model_fields)
