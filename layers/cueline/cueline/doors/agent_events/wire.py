"""The requests of the door as its public schema has them.

A field that the schema does not know is refused: a typo must not be ignored. A field that it
knows and this version does not have is refused by name (NotBuilt), unless it asks for what
happens anyway.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from cueline.doors.agent_events.body import has_controls
from cueline.doors.agent_events.errors import MAX_ECHO
from cueline.errors import InvalidRequest, NotBuilt

KEY = re.compile(r"[0-9a-zA-Z_-]{1,50}")
"""Of agents and sessions; used with `fullmatch`."""

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


def _refuse(value: Any, info: ValidationInfo) -> None:
    if value is not None:
        raise NotBuilt(f"The field `{info.field_name}`")


def _refuse_entries(value: Any, info: ValidationInfo) -> Any:
    if value and (isinstance(value, list) or any(v is not None for v in value.values())):
        raise NotBuilt(f"The field `{info.field_name}`, other than empty,")
    return value


def _only(built: str) -> BeforeValidator:
    """Refuses the schema's other values of a `type`; what it does not know is an error as usual."""

    def refuse(value: Any) -> Any:
        if value in _KNOWN_TYPES and value != built:
            raise NotBuilt(f"The type `{value}`")
        return value

    return BeforeValidator(refuse)


_KNOWN_TYPES = ("reference", "structured", "skill")


def _as_written(template: str) -> str:
    if found := _TEMPLATE_LANGUAGE.search(template):
        raise NotBuilt(f"The template language ({found[0]!r})")
    return template


Key = Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{1,50}$")]
Name = Annotated[str, AfterValidator(_text)]
StepName = Annotated[Name, Field(max_length=255)]
NotYet = Annotated[None, BeforeValidator(_refuse)]
"""Only null: a field that is not built."""
NoMap = Annotated[dict[str, Any], AfterValidator(_refuse_entries)]
NoList = Annotated[list[Any], AfterValidator(_refuse_entries)]
Metadata = dict[str, Any]


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


W = TypeVar("W", bound=BaseModel)


# --- agents --------------------------------------------------------------------------------------


class InlineInstruction(Wire):
    type: Annotated[Literal["inline"], _only("inline")] = "inline"
    name: Annotated[Name, Field(max_length=50)]
    template: Annotated[str, AfterValidator(_as_written)]
    template_type: Literal["velocity"] | None = None
    description: str | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None


class OutputParser(Wire):
    type: Annotated[Literal["default"], _only("default")] = "default"


class StepFields(Wire):
    type: str | None = None
    """Deprecated; ignored by the public service too."""
    output_parser: OutputParser | None = None
    reminders: NoList | None = None
    next_steps: NoList | None = None
    allowed_tools: NotYet = None
    allowed_skills: NotYet = None
    reentry_step: NotYet = None


class Step(StepFields):
    instructions: list[InlineInstruction]


class FirstStep(Step):
    name: StepName | None = None


class StepUpdate(StepFields):
    instructions: list[InlineInstruction] | None = None


class FirstStepUpdate(StepUpdate):
    name: StepName | None = None


class Model(Wire):
    name: Name
    parameters: dict[str, Any] | None = None
    retry_configuration: NotYet = None


class AgentFields(Wire):
    description: str | None = None
    skills: NoMap | None = None
    first_step_name: StepName | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None
    compaction: NotYet = None
    tool_output_offloading: NotYet = None


class CreateAgent(AgentFields):
    name: Annotated[Name, Field(max_length=50)]
    tool_configurations: NoMap
    model: Model
    key: Key | None = None
    first_step: FirstStep | None = None
    steps: dict[StepName, Step] | None = None


class ReplaceAgent(CreateAgent):
    created_at: str | None = None
    """With `updated_at` accepted, so that what GET gave can be PUT back; the server's own count."""
    updated_at: str | None = None


class UpdateAgent(AgentFields):
    name: Annotated[Name, Field(max_length=50)] | None = None
    tool_configurations: NoMap | None = None
    model: Model | None = None
    first_step: FirstStepUpdate | None = None
    steps: dict[StepName, StepUpdate | None] | None = None


# --- sessions ------------------------------------------------------------------------------------


class SessionFields(Wire):
    name: Annotated[Name, Field(max_length=255)] | None = None
    description: str | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None
    tti_minutes: Annotated[int, Field(ge=0, le=2**53)] | None = None


class CreateSession(SessionFields):
    key: Key | None = None
    from_session: NotYet = None


class UpdateSession(SessionFields):
    pass


# --- events --------------------------------------------------------------------------------------


class TextMessage(Wire):
    type: Annotated[Literal["text"], _only("text")]
    content: str


def _since(value: str) -> str:
    if not re.fullmatch(r"start|aev_[0-9a-zA-Z_-]{1,90}", value):
        raise ValueError("must be `start` or the id of an event")
    return value


class InputMessage(Wire):
    type: Literal["input_message"] = "input_message"
    since: Annotated[str, AfterValidator(_since)] | None = None
    """With it the message queues while a turn runs, and all events after that one are told."""
    behavior: Literal["steer", "follow_up"] | None = None
    """What a queued message does: joins the running turn, or has a turn of its own after it."""
    messages: Annotated[list[TextMessage], Field(min_length=1, max_length=100)]
    stream_response: bool | None = None


class Interrupt(Wire):
    type: Literal["interrupt"] = "interrupt"
    stream_response: bool | None = None


# --- errors and times ----------------------------------------------------------------------------

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
        fields = {
            ".".join(map(str, e["loc"]))[:MAX_ECHO]: _friendly(e["type"], e["msg"])
            for e in error.errors(include_url=False, include_context=False, include_input=False)
        }
        some = dict(list(fields.items())[:MAX_FIELD_ERRORS])
        summary = "; ".join(f"{field}: {why}" for field, why in list(some.items())[:3])
        raise InvalidRequest(f"The request is not valid: {summary}.", some) from None


def _friendly(kind: str, message: str) -> str:
    text = _FRIENDLY.get(kind) or message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, of milliseconds since 1970."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"
