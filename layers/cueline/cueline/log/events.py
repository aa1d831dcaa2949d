"""The events of a session's log: immutable, told apart by `type`, written in the past tense.

An event knows neither its offset nor its time: the segment that holds it does. `inputs` are
offsets of inputs, `turn` is the id of a turn.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)

Policy = Literal["enqueue", "coalesce", "interrupt", "steer", "silent", "decision", "aside"]
"""What an input does to a running turn; decided when it is appended, and stored with it.

enqueue    waits for the turn to end, then is answered by a turn of its own
coalesce   the same, together with its neighbours
interrupt  ends the turn; is answered at once, with what waited before it
steer      is taken by the running turn before its next model call
silent     asks for nothing; the next turn absorbs it
decision   decides the suspended tool call that `call` names
aside      is answered beside the running turn, which goes on
"""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    @model_serializer(mode="wrap")
    def _tagged(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type is written always, though it is a default and those are left out."""
        return {"type": getattr(self, "type"), **fields(self)}  # noqa: B009


class Input(_Event):
    """Something that may ask for an answer."""

    type: Literal["input"] = "input"
    policy: Policy = "enqueue"
    source: Literal["user", "system"] = "user"
    """Who speaks. `system` is context from the application, never text of its user."""
    texts: tuple[str, ...] = ()
    digest: str = ""
    """Of caller and body: what makes two inputs of one caller identical."""
    call: str = ""
    """For a decision: the suspended tool call."""
    attended: bool = False
    """Its caller waits on an open response, and begins its turn where it must wait for one."""


class TurnBegan(_Event):
    type: Literal["turn_began"] = "turn_began"
    turn: str
    inputs: tuple[int, ...]


class AsideBegan(_Event):
    """A short turn beside the open one, which it does not close."""

    type: Literal["aside_began"] = "aside_began"
    turn: str
    inputs: tuple[int, ...]


class InputsTaken(_Event):
    """Steering inputs that the running turn took."""

    type: Literal["inputs_taken"] = "inputs_taken"
    turn: str
    inputs: tuple[int, ...]


class Thinking(_Event):
    type: Literal["thinking"] = "thinking"
    turn: str
    text: str


class ToolInput(_Event):
    type: Literal["tool_input"] = "tool_input"
    turn: str
    call: str
    tool: str
    arguments: str
    """A JSON object, as the model wrote it."""


class ToolOutput(_Event):
    type: Literal["tool_output"] = "tool_output"
    turn: str
    call: str
    tool: str
    output: str
    """`unknown outcome` where a call that must not run twice was cut off."""
    error: bool = False


class Answered(_Event):
    """The turn ended well."""

    type: Literal["answered"] = "answered"
    turn: str
    inputs: tuple[int, ...]
    text: str
    cut: bool = False
    """The model's own token limit ended the text."""


class TurnFailed(_Event):
    """The turn ended with a failure that its caller can see and act on."""

    type: Literal["turn_failed"] = "turn_failed"
    turn: str
    inputs: tuple[int, ...]
    code: str
    message: str
    retryable: bool
    text: str = ""
    """What had been said before."""


class TurnInterrupted(_Event):
    """Somebody else closed it; its host stops as soon as it sees that."""

    type: Literal["turn_interrupted"] = "turn_interrupted"
    turn: str
    inputs: tuple[int, ...]


class PartlyAnswered(_Event):
    """What a turn had said when it was interrupted; its host tells that after the end."""

    type: Literal["partly_answered"] = "partly_answered"
    turn: str
    text: str


class TurnAbandoned(_Event):
    """Its host stood still for a lease. What it took waits again."""

    type: Literal["turn_abandoned"] = "turn_abandoned"
    turn: str


class TurnHandedOver(_Event):
    """Its host must stop, through no fault of its inputs. They wait again."""

    type: Literal["turn_handed_over"] = "turn_handed_over"
    turn: str


class TurnSuspended(_Event):
    """The turn ended; its inputs wait for a decision on `call`."""

    type: Literal["turn_suspended"] = "turn_suspended"
    turn: str
    call: str


class InputsOverran(_Event):
    """Their callers stopped waiting. For a while, what is identical gets their answer."""

    type: Literal["inputs_overran"] = "inputs_overran"
    inputs: tuple[int, ...]


class InputsFailed(_Event):
    """Given up, without a turn that could tell.

    turn_abandoned  each of them was alone in too many turns that died
    not_worked_off  no worker could so much as look at their session
    """

    type: Literal["inputs_failed"] = "inputs_failed"
    inputs: tuple[int, ...]
    code: Literal["turn_abandoned", "not_worked_off"] = "turn_abandoned"
    message: str = "The turn for this input stopped too often before its end."


class InputsWithdrawn(_Event):
    type: Literal["inputs_withdrawn"] = "inputs_withdrawn"
    inputs: tuple[int, ...]


class SessionDeleted(_Event):
    """The tombstone: nothing is written to this incarnation any more."""

    type: Literal["session_deleted"] = "session_deleted"


Event = Annotated[
    Input
    | TurnBegan
    | AsideBegan
    | InputsTaken
    | Thinking
    | ToolInput
    | ToolOutput
    | Answered
    | TurnFailed
    | TurnInterrupted
    | PartlyAnswered
    | TurnAbandoned
    | TurnHandedOver
    | TurnSuspended
    | InputsOverran
    | InputsFailed
    | InputsWithdrawn
    | SessionDeleted,
    Field(discriminator="type"),
]

_EVENTS: TypeAdapter[tuple[Event, ...]] = TypeAdapter(tuple[Event, ...])


def events_to_json(events: Sequence[Event]) -> str:
    """A segment's events as one JSON value; defaults are left out."""
    return _EVENTS.dump_json(tuple(events), exclude_defaults=True).decode()


def events_from_json(text: str) -> tuple[Event, ...]:
    return _EVENTS.validate_json(text)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in its place. `created_at` is in milliseconds since 1970, UTC."""

    offset: int
    created_at: int
    trace_id: str
    event: Event


# --- ids -----------------------------------------------------------------------------------------

_ID = re.compile(r"aev_([2-7a-z]{8})_([0-9a-f]{1,13})_([0-9a-f]{1,10})")


def event_id(session: str, incarnation: int, offset: int) -> str:
    """The id embeds the offset, so that an id alone finds its place in the session's log."""
    return f"aev_{_digest(session)}_{incarnation:x}_{offset:x}"


def offset_in(event: str, session: str, incarnation: int) -> int | None:
    """The offset in `event`, or None where it is no id of this session's incarnation."""
    found = _ID.fullmatch(event)
    if not found or found[1] != _digest(session):
        return None
    return int(found[3], 16) if int(found[2], 16) == incarnation else None


def _digest(session: str) -> str:
    return (
        base64.b32encode(hashlib.blake2s(session.encode(), digest_size=5).digest()).decode().lower()
    )
