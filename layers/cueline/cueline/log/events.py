"""The events of a session's log: immutable, told apart by `type`, written in the past tense.

An event knows neither its offset nor its time: the segment that holds it does. `inputs` are
offsets of inputs, `turn` is the id of a turn.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from cueline.log.base import LogEvent
from cueline.log.inputs import (
    Acknowledged,
    CompactionAsked,
    Decision,
    Input,
    InputKind,
    Policy,
    Posted,
)
from cueline.log.settings import Settings
from cueline.log.triggers import Trigger
from cueline.log.turn_events import (
    Answered,
    AsideBegan,
    Compacted,
    Finished,
    InputsTaken,
    ModelCalled,
    PartlyAnswered,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnReady,
    TurnSuspended,
    TurnTyping,
)

__all__ = [
    "SAYING",
    "Acknowledged",
    "Answered",
    "AsideBegan",
    "Compacted",
    "CompactionAsked",
    "Decision",
    "Event",
    "EventMarked",
    "EventsRemoved",
    "Finished",
    "Input",
    "InputKind",
    "InputsFailed",
    "InputsOverran",
    "InputsTaken",
    "InputsWithdrawn",
    "Listening",
    "Mark",
    "ModeChanged",
    "ModelCalled",
    "PartlyAnswered",
    "Policy",
    "Posted",
    "Recorded",
    "SessionDeleted",
    "SettingsChanged",
    "SkillLoaded",
    "Spoke",
    "StepChanged",
    "Thinking",
    "ToolInput",
    "ToolOutput",
    "TriggerScheduled",
    "TurnAbandoned",
    "TurnBegan",
    "TurnFailed",
    "TurnHandedOver",
    "TurnInterrupted",
    "TurnPostponed",
    "TurnReady",
    "TurnSuspended",
    "TurnTyping",
    "erased",
    "event_id",
    "events_from_json",
    "events_to_json",
    "offset_in",
    "size_of",
]

Mark = Literal["hidden", "erased"]
"""What a reader must not show: somebody hid it, or removed what it said."""


class InputsOverran(LogEvent):
    """Their callers stopped waiting. For a while, what is identical gets their answer."""

    type: Literal["inputs_overran"] = "inputs_overran"
    inputs: tuple[int, ...]


class InputsFailed(LogEvent):
    """Given up, without a turn that could tell; or `retryable`: the code is that of a turn which
    is tried again, but not with these, which have been in so many turns as they may.

    turn_abandoned  each of them was alone in too many turns that died
    not_worked_off  no worker could so much as look at their session
    customer_not_found  the customer who would be answered is not there any more
    manual_mode         people answer, and it is nothing that they could
    disabled            its agent or session is
    expired             nobody had begun with it by its time
    """

    type: Literal["inputs_failed"] = "inputs_failed"
    inputs: tuple[int, ...]
    code: str = "turn_abandoned"
    message: str = "The turn for this input stopped too often before its end."
    trace: str = ""
    """Theirs, as in Input: the segment has that of whoever gave them up."""
    retryable: bool = False
    """It failed with something that may pass."""


class InputsWithdrawn(LogEvent):
    type: Literal["inputs_withdrawn"] = "inputs_withdrawn"
    inputs: tuple[int, ...]


class EventMarked(LogEvent):
    """Announces what has become of an earlier event; the mark itself is kept beside that.

    hidden  no model and no list sees it
    shown   it is as if it had never been hidden
    erased  what it said is gone for good
    """

    type: Literal["event_marked"] = "event_marked"
    offset: int
    mark: Literal["hidden", "shown", "erased"]


class ModeChanged(LogEvent):
    """Who answers from now on: the agent, or people."""

    type: Literal["mode_changed"] = "mode_changed"
    mode: Literal["auto", "manual"]


class TriggerScheduled(LogEvent):
    """A trigger that is to come at its time; until then it can be taken away."""

    type: Literal["trigger_scheduled"] = "trigger_scheduled"
    due: int
    """Milliseconds since 1970, UTC."""
    trigger: Trigger
    caller: str = ""
    """As in Input, as are the next two."""
    digest: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class EventsRemoved(LogEvent):
    """All from `first` up to here is as if it had never been said; offsets are not used again."""

    type: Literal["events_removed"] = "events_removed"
    first: int


class SettingsChanged(LogEvent):
    """What the application has set from the next turn on: all of it, not what is new."""

    type: Literal["settings_changed"] = "settings_changed"
    settings: Settings


class Listening(LogEvent):
    """A connection is told of what stands from here on; and before that, of all after `after`."""

    type: Literal["listening"] = "listening"
    connection: str
    after: int | None = None
    """An offset. None where it has just been made, and wants nothing from before."""
    until: int
    """Milliseconds since 1970, UTC: the connection ends by then."""


class SessionDeleted(LogEvent):
    """The tombstone: nothing is written to this incarnation any more."""

    type: Literal["session_deleted"] = "session_deleted"


Event = Annotated[
    Input
    | Acknowledged
    | Posted
    | TurnBegan
    | AsideBegan
    | TurnTyping
    | InputsTaken
    | Thinking
    | ModelCalled
    | Spoke
    | ToolInput
    | ToolOutput
    | SkillLoaded
    | StepChanged
    | Compacted
    | Answered
    | Finished
    | TurnFailed
    | TurnInterrupted
    | PartlyAnswered
    | TurnAbandoned
    | TurnHandedOver
    | TurnPostponed
    | TurnSuspended
    | TurnReady
    | InputsOverran
    | InputsFailed
    | InputsWithdrawn
    | EventMarked
    | ModeChanged
    | TriggerScheduled
    | EventsRemoved
    | SettingsChanged
    | Listening
    | SessionDeleted,
    Field(discriminator="type"),
]

SAYING = (
    Input,
    Posted,
    Thinking,
    Spoke,
    ToolInput,
    ToolOutput,
    SkillLoaded,
    StepChanged,
    Compacted,
    Answered,
    PartlyAnswered,
    TurnSuspended,
    TurnFailed,
    InputsFailed,
)
"""Events that say something. All others are bookkeeping, which nobody is shown."""

_EVENTS: TypeAdapter[tuple[Event, ...]] = TypeAdapter(tuple[Event, ...])


def events_to_json(events: Sequence[Event]) -> str:
    """A segment's events as one JSON value; defaults are left out."""
    return _EVENTS.dump_json(tuple(events), exclude_defaults=True).decode()


def size_of(events: Sequence[Event]) -> int:
    """Bytes of their JSON."""
    return len(events_to_json(events).encode())


def events_from_json(text: str) -> tuple[Event, ...]:
    return _EVENTS.validate_json(text)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in its place. `created_at` is in milliseconds since 1970, UTC."""

    offset: int
    created_at: int
    trace_id: str
    event: Event
    mark: Mark | None = None
    metadata: Mapping[str, Any] | None = None
    """What its metadata has become since it was written; None where nobody has changed it."""


def erased(event: Event) -> Event:
    """The event without anything that was said in it; its part in the log's laws stays."""
    emptied = {name: value for name, value in _EMPTY.items() if name in type(event).model_fields}
    if isinstance(event, Input) and event.decision:
        emptied["decision"] = Decision(verdict=event.decision.verdict)
    if isinstance(event, Input) and event.compact:
        emptied["compact"] = CompactionAsked(up_to=event.compact.up_to)
    if isinstance(event, Input | TriggerScheduled) and event.trigger:
        emptied["trigger"] = event.trigger.without_words()
    return event.model_copy(update=emptied)


_EMPTY: dict[str, Any] = {
    "texts": (),
    "text": "",
    "arguments": "{}",
    "output": "",
    "content": "",
    "summary": "",
    "data": None,
    "participant": None,
    "metadata": {},
}


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
