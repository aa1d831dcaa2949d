"""Reading what a door's public schema says to the letter: strict types, and no unknown fields.

A field that the schema does not know is refused: a typo must not be ignored. What is wrong is said
field by field.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cueline.doors.body import has_controls
from cueline.doors.shared import MAX_ECHO
from cueline.errors import InvalidRequest

MAX_FIELD_ERRORS = 20


def text(value: str) -> str:
    """Raises ValueError where there is nothing in it, or what nobody can read."""
    if not value.strip():
        raise ValueError("must not be empty")
    if has_controls(value):
        raise ValueError("must not contain control characters")
    return value


Key = Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{1,50}$")]
Name = Annotated[str, AfterValidator(text)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RareWire(Wire):
    """Its checks are made when it is first used, and not at every start of a function."""

    model_config = ConfigDict(defer_build=True)


W = TypeVar("W", bound=BaseModel)
UNION = "\x1f"
"""Begins a part of an error's place that names a type, and is no part of the request."""


def tag_of(given: object) -> str | None:
    """Of a member of a union that is told by its `type`."""
    kind = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None)
    return f"{UNION}{kind}" if isinstance(kind, str) else None


_FRIENDLY = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_pattern_mismatch": "must be 1 to 50 letters, digits, `_` or `-`",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be an array",
    "too_short": "must not be empty",
}


def parse(model: type[W], body: Mapping[str, Any]) -> W:
    """Raises InvalidRequest that names every wrong field, and NotBuilt."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(
            {
                _place(e["loc"]): _friendly(e["type"], e["msg"])
                for e in error.errors(include_url=False, include_context=False, include_input=False)
            }
        ) from None


def invalid(fields: Mapping[str, str]) -> InvalidRequest:
    """The error that names these fields with what is wrong; some of them where they are many."""
    some = dict(list(fields.items())[:MAX_FIELD_ERRORS])
    summary = "; ".join(f"{field}: {why}" for field, why in list(some.items())[:3])
    return InvalidRequest(f"The request is not valid: {summary}.", some)


def _place(loc: tuple[int | str, ...]) -> str:
    parts = map(str, loc)
    return ".".join(part for part in parts if not part.startswith(UNION))[:MAX_ECHO]


def _friendly(kind: str, message: str) -> str:
    said = _FRIENDLY.get(kind) or message.removeprefix("Value error, ")
    return said[:1].lower() + said[1:]
