"""The requests of the door as its public schema has them.

A field that the schema does not know is refused: a typo must not be ignored. A field that it
knows and this version does not have is refused by name (NotBuilt), unless it asks for what
happens anyway.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from cueline.doors.body import has_controls
from cueline.doors.shared import MAX_ECHO
from cueline.errors import InvalidRequest, NotBuilt

MAX_FIELD_ERRORS = 20

_TEMPLATE_LANGUAGE = re.compile(
    r"#\{?(?:set|if|elseif|foreach|macro|parse|include|evaluate|define)\}?\s*\("
    r"|#\{?(?:else|end|stop|break)\}?(?![0-9A-Za-z_-])"
    r"|#\[\["
    r"|\$!?\{?(?:session|agent|tools|currentDate)\b"
)
"""Velocity: its directives, and the variables that the public schema names."""


# --- types of fields -----------------------------------------------------------------------------


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if has_controls(value):
        raise ValueError("must not contain control characters")
    return value


def _as_written(template: str) -> str:
    if found := _TEMPLATE_LANGUAGE.search(template):
        raise NotBuilt(f"The template language ({found[0]!r})")
    return template


Key = Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{1,50}$")]
Name = Annotated[str, AfterValidator(_text)]
Template = Annotated[str, AfterValidator(_as_written)]
"""Taken as it is written: its language is not built."""
Metadata = dict[str, Any]


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RareWire(Wire):
    """Its checks are made when it is first used, and not at every start of a function."""

    model_config = ConfigDict(defer_build=True)


W = TypeVar("W", bound=BaseModel)


# --- sessions ------------------------------------------------------------------------------------


class SessionFields(Wire):
    name: Annotated[Name, Field(max_length=255)] | None = None
    description: str | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None
    tti_minutes: Annotated[int, Field(ge=0, le=2**53)] | None = None


class FromSession(Wire):
    """The session to fork, up to and with an event, or whole and with its oldest part summed up."""

    session_key: Key
    agent_key: Key | None = None
    include_up_to_event_id: Annotated[str, Field(max_length=100)] | None = None
    compact_up_to_event_id: Annotated[str, Field(max_length=100)] | None = None


class CreateSession(SessionFields):
    key: Key | None = None
    from_session: FromSession | None = None


class UpdateSession(SessionFields):
    pass


# --- errors and times ----------------------------------------------------------------------------

UNION = "\x1f"
"""Begins a part of an error's place that names a type, and is no part of the request."""

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
    text = _FRIENDLY.get(kind) or message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
