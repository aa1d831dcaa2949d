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

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)

from cueline.log.settings import Settings
from cueline.log.triggers import Participant, Trigger

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


InputKind = Literal["message", "plain", "guided", "own", "decision", "compaction"]
"""What an input is; the middle three are triggers, as in `Trigger.kind`."""
Mark = Literal["hidden", "erased"]
"""What a reader must not show: somebody hid it, or removed what it said."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)

    @model_serializer(mode="wrap")
    def _tagged(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The type is written always, though it is a default and those are left out."""
        return {"type": getattr(self, "type"), **fields(self)}  # noqa: B009


class Decision(BaseModel):
    """What somebody says to a tool call that waits for approval."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    verdict: Literal["approve", "edit", "reject"]
    arguments: str = ""
    """For `edit`: the JSON object that stands for the model's own."""
    note: str = ""
    """For the model to read."""


class CompactionAsked(BaseModel):
    """What somebody who asks for a compaction says."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    up_to: int | None = None
    """The offset of the newest event to sum up; None leaves that to the agent's settings."""
    message: str = ""
    """Further instructions for who writes the summary."""


class Input(_Event):
    """Something that may ask for an answer."""

    type: Literal["input"] = "input"
    policy: Policy = "enqueue"
    source: Literal["user", "system"] = "user"
    """Who speaks. `system` is context from the application, never text of its user."""
    texts: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    """To be loaded before the model is called."""
    caller: str = ""
    """The id of the API key that pays for the answer; empty where nobody is asked for one."""
    digest: str = ""
    """Of caller and body: what makes two inputs of one caller identical."""
    call: str = ""
    """For a decision: the suspended tool call."""
    decision: Decision | None = None
    compact: CompactionAsked | None = None
    """Asks for a compaction instead of an answer."""
    attended: bool = False
    """Its caller waits on an open response, and begins its turn where it must wait for one."""
    trigger: Trigger | None = None
    """Has the agent speak, though nobody has said anything."""
    trace: str = ""
    """Under which its turn is told status by status; empty where nobody asks for that."""
    participant: Participant | None = None
    metadata: dict[str, Any] = {}
    origin: str = ""
    """The background trigger that it came through; empty for all others."""
    tries: int = 1
    """Turns that it may have, while each fails with something that may pass."""
    not_before: int = 0
    """Milliseconds since 1970, UTC, as is the next: no worker begins with it sooner."""
    not_after: int = 0
    """It is given up where it has not been begun with by then; 0 is never."""

    @property
    def kind(self) -> InputKind:
        if self.decision or self.policy == "decision":
            return "decision"
        if self.compact:
            return "compaction"
        return self.trigger.kind if self.trigger else "message"

    @property
    def speaks(self) -> bool:
        """Somebody says something, to be answered or not."""
        return not (self.trigger or self.compact or self.decision)


class Acknowledged(_Event):
    """Told beside an input: the agent will see to it."""

    type: Literal["acknowledged"] = "acknowledged"
    input: int


class Posted(_Event):
    """Said or reported by somebody, and asks for nothing.

    A message of the `user` is one that a person answers, not the agent; one of a `person` was
    said by somebody who stands beside the agent, and one `on_behalf` in the agent's name.
    """

    type: Literal["posted"] = "posted"
    kind: Literal["message", "status", "custom"] = "message"
    source: str = "user"
    """Of a message `user`, `person`, or `on_behalf`; of all else what its door makes of it."""
    text: str = ""
    data: Any = None
    participant: Participant | None = None
    metadata: dict[str, Any] = {}


class TurnBegan(_Event):
    type: Literal["turn_began"] = "turn_began"
    turn: str
    inputs: tuple[int, ...]
    trace: str = ""
    """As in Input."""
    again: bool = False
    """An earlier turn had begun with its inputs, and came to no end."""


class AsideBegan(_Event):
    """A short turn beside the open one, which it does not close."""

    type: Literal["aside_began"] = "aside_began"
    turn: str
    inputs: tuple[int, ...]
    trace: str = ""
    again: bool = False


class TurnTyping(_Event):
    """The first words of a turn are being said."""

    type: Literal["turn_typing"] = "turn_typing"
    turn: str


class InputsTaken(_Event):
    """Steering inputs that the running turn took."""

    type: Literal["inputs_taken"] = "inputs_taken"
    turn: str
    inputs: tuple[int, ...]


class Thinking(_Event):
    type: Literal["thinking"] = "thinking"
    turn: str
    text: str


class ModelCalled(_Event):
    """A call of the model has ended, well or not; what it said stands in the same segment."""

    type: Literal["model_called"] = "model_called"
    turn: str
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the output."""
    estimated: bool = False
    """The provider did not count the tokens."""
    context_window: int = 0
    """Tokens that the model takes, as far as is known."""
    cost: int = 0
    """Nanodollars, by the price table of the time."""
    ms: int = 0
    """Of the turn's own time since it began or last called the model."""
    purpose: Literal["answer", "compaction"] = "answer"


class Spoke(_Event):
    """What the model said before it went on, to a tool or to another step."""

    type: Literal["spoke"] = "spoke"
    turn: str
    text: str
    part: int = 0
    """How many things the turn had said before this one; the same in what ends it."""
    schema_name: str = ""
    """As in Answered, as is the next."""
    agent: str = ""


class ToolInput(_Event):
    """A call that is to be run, or has been refused; again in the turn of its approval."""

    type: Literal["tool_input"] = "tool_input"
    turn: str
    call: str
    tool: str
    """The name that the model calls it by."""
    arguments: str
    """A JSON object, as the model wrote it."""
    configuration: str = ""
    """The agent's own name for the tool; empty where it has none."""
    own_name: str = ""
    """The tool's name where it comes from."""
    approval: bool = False
    """It must not run before somebody has approved it."""


class ToolOutput(_Event):
    type: Literal["tool_output"] = "tool_output"
    turn: str
    call: str
    tool: str
    output: str
    """`unknown outcome` where a call that must not run twice was cut off."""
    error: bool = False
    refused: bool = False
    """It was not run: there is no such tool, or its arguments do not fit."""
    configuration: str = ""
    own_name: str = ""


class SkillLoaded(_Event):
    """A skill's content came into the conversation; `call` is the model's, if it asked for it."""

    type: Literal["skill_loaded"] = "skill_loaded"
    turn: str
    skill: str
    content: str
    call: str = ""


class StepChanged(_Event):
    """The agent goes on in another of its steps."""

    type: Literal["step_changed"] = "step_changed"
    turn: str
    from_step: str
    to_step: str


class Compacted(_Event):
    """The summary stands for all events up to `up_to`, but for those that are kept."""

    type: Literal["compacted"] = "compacted"
    turn: str
    up_to: int
    kept: tuple[int, ...] = ()
    """Offsets up to there of what had not ended: waiting, suspended, or running."""
    summary: str
    turns: int = 0
    """How many of them it stands for."""
    events: int = 0

    @property
    def first(self) -> int:
        """Nothing before this offset is needed any more."""
        return min((*self.kept, self.up_to + 1))

    def covers(self, offset: int) -> bool:
        return offset <= self.up_to and offset not in self.kept


class Answered(_Event):
    """The turn ended well."""

    type: Literal["answered"] = "answered"
    turn: str
    inputs: tuple[int, ...]
    text: str
    part: int = 0
    """As in Spoke."""
    cut: bool = False
    """The model's own token limit ended the text."""
    schema_name: str = ""
    """The text is JSON in the form that has this name."""
    step: str = ""
    """Where the next input finds the agent; empty: where it is."""
    agent: str = ""
    """The key of the agent that says it, where it is not the session's own."""
    follow_up: int = 0
    """Seconds of the customer's silence after which it is followed up; 0 is never."""


class Finished(_Event):
    """The turn ended well, and has nothing to say."""

    type: Literal["finished"] = "finished"
    turn: str
    inputs: tuple[int, ...]


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
    part: int = 0
    """As in Spoke."""


class TurnInterrupted(_Event):
    """Somebody else closed it; its host stops as soon as it sees that."""

    type: Literal["turn_interrupted"] = "turn_interrupted"
    turn: str
    inputs: tuple[int, ...]
    trace: str = ""
    """The turn's own, as in Input; the segment has that of whoever closed it."""


class PartlyAnswered(_Event):
    """What a turn had said when it was interrupted; its host tells that after the end."""

    type: Literal["partly_answered"] = "partly_answered"
    turn: str
    text: str
    part: int = 0
    """As in Spoke."""


class TurnAbandoned(_Event):
    """Its host stood still for a lease. What it took waits again."""

    type: Literal["turn_abandoned"] = "turn_abandoned"
    turn: str


class TurnHandedOver(_Event):
    """Its host must stop, through no fault of its inputs. They wait again."""

    type: Literal["turn_handed_over"] = "turn_handed_over"
    turn: str
    unstarted: tuple[str, ...] = ()
    """Tool calls that it has put into the log and not run."""
    ms: int = 0
    """As in ModelCalled."""


class TurnPostponed(_Event):
    """It failed with something that may pass. What it took waits to be tried again."""

    type: Literal["turn_postponed"] = "turn_postponed"
    turn: str
    until: int
    """As `not_before` of an input."""
    code: str
    message: str


class TurnSuspended(_Event):
    """The turn ended; its inputs wait for decisions on these calls."""

    type: Literal["turn_suspended"] = "turn_suspended"
    turn: str
    inputs: tuple[int, ...]
    calls: tuple[str, ...]
    tools: tuple[str, ...] = ()
    """The agent's names for what is to be called, in the same order."""
    ms: int = 0
    """As in ModelCalled."""


class TurnReady(_Event):
    """Told last of a turn, however it ended: the agent is free for what comes next."""

    type: Literal["turn_ready"] = "turn_ready"
    turn: str = ""
    trace: str = ""
    """As in TurnInterrupted."""
    matched: tuple[str, ...] = ()
    """Ids of the guidelines that the model says it followed."""


class InputsOverran(_Event):
    """Their callers stopped waiting. For a while, what is identical gets their answer."""

    type: Literal["inputs_overran"] = "inputs_overran"
    inputs: tuple[int, ...]


class InputsFailed(_Event):
    """Given up, without a turn that could tell.

    turn_abandoned  each of them was alone in too many turns that died
    not_worked_off  no worker could so much as look at their session
    customer_not_found  the customer who would be answered is not there any more
    manual_mode         people answer, and it is nothing that they could
    disabled            its agent or session is
    expired             nobody had begun with it by its time
    """

    type: Literal["inputs_failed"] = "inputs_failed"
    inputs: tuple[int, ...]
    code: Literal[
        "turn_abandoned",
        "not_worked_off",
        "customer_not_found",
        "manual_mode",
        "disabled",
        "expired",
    ] = "turn_abandoned"
    message: str = "The turn for this input stopped too often before its end."


class InputsWithdrawn(_Event):
    type: Literal["inputs_withdrawn"] = "inputs_withdrawn"
    inputs: tuple[int, ...]


class EventMarked(_Event):
    """Announces what has become of an earlier event; the mark itself is kept beside that.

    hidden  no model and no list sees it
    shown   it is as if it had never been hidden
    erased  what it said is gone for good
    """

    type: Literal["event_marked"] = "event_marked"
    offset: int
    mark: Literal["hidden", "shown", "erased"]


class ModeChanged(_Event):
    """Who answers from now on: the agent, or people."""

    type: Literal["mode_changed"] = "mode_changed"
    mode: Literal["auto", "manual"]


class TriggerScheduled(_Event):
    """A trigger that is to come at its time; until then it can be taken away."""

    type: Literal["trigger_scheduled"] = "trigger_scheduled"
    due: int
    """Milliseconds since 1970, UTC."""
    trigger: Trigger
    caller: str = ""
    """As in Input, as are the next two."""
    digest: str = ""
    metadata: dict[str, Any] = {}


class EventsRemoved(_Event):
    """All from `first` up to here is as if it had never been said; offsets are not used again."""

    type: Literal["events_removed"] = "events_removed"
    first: int


class SettingsChanged(_Event):
    """What the application has set from the next turn on: all of it, not what is new."""

    type: Literal["settings_changed"] = "settings_changed"
    settings: Settings


class Listening(_Event):
    """A connection is told of what stands from here on; and before that, of all after `after`."""

    type: Literal["listening"] = "listening"
    connection: str
    after: int | None = None
    """An offset. None where it has just been made, and wants nothing from before."""
    until: int
    """Milliseconds since 1970, UTC: the connection ends by then."""


class SessionDeleted(_Event):
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
