"""Commands as clients write them: read to the letter, refused with what to do instead; pure.

What is wrong with a field is said by the field's own description. A field that a command does not
have is refused by name: a typo must not be ignored. So is null, which is no value of any of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from cueline.doors.body import object_in, raw_body
from cueline.doors.idempotency import digest
from cueline.doors.shared import MAX_ECHO
from cueline.doors.strict import RareWire, text
from cueline.errors import CuelineError, InvalidRequest
from cueline.log.settings import Settings

MAX_COMMAND = 32_768
"""Bytes: what the gateway takes in one WebSocket frame."""
MAX_COMMAND_ID = 100
MAX_INSTRUCTIONS = 20_000

Refusal = Literal[
    "invalid_json",
    "invalid_frame",
    "too_large",
    "invalid_command",
    "unknown_command",
    "not_supported",
    "forbidden",
    "unauthorized",
    "command_id_reused",
    "too_many_pending",
    "too_many_requests",
    "session_not_found",
    "session_disabled",
    "unavailable",
    "internal_error",
]
"""What a client can tell refusals apart by."""


class CommandError(CuelineError):
    """`refusal` is the code that the client sees, `param` the field that is to blame."""

    def __init__(
        self,
        refusal: Refusal,
        message: str,
        param: str | None = None,
        *,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.refusal: Refusal = refusal
        self.param = param
        self.retryable = retryable


# --- what the commands say -----------------------------------------------------------------------


_Said = Annotated[str, AfterValidator(text)]


def _given(one: "TurnDetection") -> "TurnDetection":
    if not one.model_fields_set:
        raise ValueError("empty")
    return one


class SendMessage(RareWire):
    role: Literal["user", "system"] = Field(description="must be `user` or `system`")
    text: _Said = Field(
        description="must be a string that is not empty and has no control characters"
    )
    trigger_response: bool = Field(description="must be true, for an answer, or false, for none")
    delay: bool = Field(default=False, description="must be true or false; leave it out for false")


_Milliseconds = Annotated[int, Field(ge=0, le=60_000)]
_MILLISECONDS = "must be an integer from 0 to 60000; leave it out to keep what is set"


class TurnDetection(RareWire):
    threshold: float = Field(
        default=0,
        ge=0,
        le=1,
        description="must be a number from 0 to 1; leave it out to keep what is set",
    )
    prefix_padding_ms: _Milliseconds = Field(default=0, description=_MILLISECONDS)
    silence_duration_ms: _Milliseconds = Field(default=0, description=_MILLISECONDS)


class SetSettings(RareWire):
    """The defaults stand for nothing: what was not given is not in `change`."""

    instructions: _Said = Field(
        default="",
        max_length=MAX_INSTRUCTIONS,
        description=f"must be a string of 1 to {MAX_INSTRUCTIONS:,} characters, without control "
        "characters; leave it out to keep what is set",
    )
    temperature: float = Field(
        default=0,
        ge=0,
        le=1,
        description="must be a number from 0 to 1; leave it out to keep what is set",
    )
    turn_detection: Annotated[TurnDetection, AfterValidator(_given)] = Field(
        default=TurnDetection.model_construct(),
        description="must be an object with at least one of threshold, prefix_padding_ms and "
        "silence_duration_ms; leave it out to keep what is set",
    )

    @property
    def change(self) -> Settings:
        return Settings.model_validate(self.model_dump(exclude_unset=True))


class Resume(RareWire):
    after: int = Field(
        ge=-1,
        le=2**53,
        description="must be an integer: the newest `offset` that was received, or -1 for all",
    )


class Ping(RareWire):
    pass


Data = SendMessage | SetSettings | Resume | Ping

_SHAPES: Mapping[str, type[Data]] = {
    "send_message": SendMessage,
    "set_settings": SetSettings,
    "resume": Resume,
    "ping": Ping,
}
_WITHOUT_DATA = {"ping"}
_NOT_SUPPORTED = {
    "send_audio": "Audio is not built here. Send what was said as text, with send_message.",
    "send_function_output": "The agent's tools run on the server, so no client has to tell what "
    "came of one. Tell the agent what it should know with send_message, role `system`.",
    "talk": "Text is not spoken word for word here. Tell the agent what to say with send_message, "
    "role `system` and trigger_response true.",
}


@dataclass(frozen=True, slots=True)
class Command:
    type: str
    data: Data
    id: str | None = None

    @property
    def digest(self) -> str:
        """The same for every way to write the same command."""
        # Only of a message does what is left out mean the same as its default.
        only_given = not isinstance(self.data, SendMessage)
        return digest(self.type, self.data.model_dump(exclude_unset=only_given))


# --- reading them --------------------------------------------------------------------------------


def read(body: str, is_base64: bool) -> dict[str, Any]:
    """The JSON object in a frame; raises CommandError."""
    if is_base64:
        raise CommandError("invalid_frame", "Send commands in text frames; this one was binary.")
    raw = raw_body(body, is_base64=False)
    if len(raw) > MAX_COMMAND:
        why = f"The command is larger than {MAX_COMMAND // 1024} KB; send a shorter one."
        raise CommandError("too_large", why)
    try:
        return object_in(raw, "The command")
    except InvalidRequest as error:
        why = f"{error.message} Send one JSON object with `type` and `data` in each frame."
        raise CommandError("invalid_json", why) from None


def id_in(given: Mapping[str, Any]) -> str | None:
    """The command's id, where it has one that can be one; whatever else is wrong with it."""
    command_id = given.get("command_id")
    return command_id if _is_id(command_id) else None


def parse(given: Mapping[str, Any]) -> Command:
    """Raises CommandError."""
    kind = given.get("type")
    if not isinstance(kind, str):
        known = ", ".join(_SHAPES)
        raise _invalid("type", f"must be the name of a command: {known}")
    if why := _NOT_SUPPORTED.get(kind):
        raise CommandError("not_supported", why, "type")
    shape = _SHAPES.get(kind)
    if not shape:
        why = f"There is no command {kind[:MAX_ECHO]!r}; there are {', '.join(_SHAPES)}."
        raise CommandError("unknown_command", why, "type")
    if "command_id" in given and not _is_id(given["command_id"]):
        why = f"must be a string of 1 to {MAX_COMMAND_ID} printable characters; or leave it out"
        raise _invalid("command_id", why)
    if unknown := [name for name in given if name not in {"type", "data", "command_id"}]:
        raise _invalid(unknown[0], "is no field of a command; those are type, data, command_id")
    if "data" not in given and kind not in _WITHOUT_DATA:
        fields = ", ".join(shape.model_fields)
        raise _invalid("data", f"is required: an object with the fields of {kind} ({fields})")
    data = given.get("data", {})
    if not isinstance(data, dict):
        raise _invalid("data", "must be an object")
    if shape is SetSettings and not data:
        raise _invalid("data", f"must have at least one of {', '.join(shape.model_fields)}")
    return Command(kind, _data(kind, shape, data), id_in(given))


def _data(kind: str, shape: type[Data], data: Mapping[str, Any]) -> Data:
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = [str(part) for part in first["loc"]]
        raise _invalid(
            ".".join(["data", *place]), _wrong(kind, shape, place, first["type"])
        ) from None


def _wrong(kind: str, shape: type[RareWire], place: list[str], error: str) -> str:
    """What is wrong at this place, and what would be right."""
    if len(place) == 2:
        shape, kind = TurnDetection, place[0]
    if error == "extra_forbidden":
        fields = ", ".join(shape.model_fields) or "none"
        return f"is no field of {kind}; its fields: {fields}"
    rule = shape.model_fields[place[-1]].description
    return f"is required: it {rule}" if error == "missing" else f"{rule}"


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_COMMAND_ID and value.isprintable()


def _invalid(param: str, why: str) -> CommandError:
    param = param[:MAX_ECHO]
    return CommandError("invalid_command", f"`{param}` {why}.", param)
