"""The base of all contracts: frozen, strict about unknown fields, and with errors that name the field."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from workflows.contracts.errors import InvalidRequest


class Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, raw: Any, what: str = "input") -> Self:
        """Validates what came from outside.

        Temporal would retry a workflow task for ever, or drop a signal, over a payload that does not decode; so
        public inputs arrive raw and are read here. Raises InvalidRequest naming the first wrong field.
        """
        if raw is None:
            raw = {}
        if not isinstance(raw, dict):
            raise InvalidRequest(what, f"must be one JSON object, not {type(raw).__name__}", f"e.g. {cls.example()}")
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise from_pydantic(error, cls) from None

    @classmethod
    def example(cls) -> str:
        return "{}"


def from_pydantic(error: ValidationError, model: type[BaseModel]) -> InvalidRequest:
    """The first fault of a pydantic error as one sentence: the field, what is wrong, and how to mend it."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return InvalidRequest(field, "is missing")
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(model.model_fields))
        return InvalidRequest(field, "is no field that is known here", f"known are: {known}")
    return InvalidRequest(field, first["msg"].removeprefix("Value error, "), f"got {first['input']!r}"[:200])
