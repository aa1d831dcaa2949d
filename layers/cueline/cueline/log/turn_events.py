"""The events of a turn, from its begin to its end. `turn` is its id, `inputs` are offsets."""

from typing import Literal

from cueline.log.base import LogEvent


class TurnBegan(LogEvent):
    type: Literal["turn_began"] = "turn_began"
    turn: str
    inputs: tuple[int, ...]
    trace: str = ""
    """As in Input."""
    again: bool = False
    """An earlier turn had begun with its inputs, and came to no end."""


class AsideBegan(LogEvent):
    """A short turn beside the open one, which it does not close."""

    type: Literal["aside_began"] = "aside_began"
    turn: str
    inputs: tuple[int, ...]
    trace: str = ""
    again: bool = False


class TurnTyping(LogEvent):
    """The first words of a turn are being said."""

    type: Literal["turn_typing"] = "turn_typing"
    turn: str


class InputsTaken(LogEvent):
    """Steering inputs that the running turn took."""

    type: Literal["inputs_taken"] = "inputs_taken"
    turn: str
    inputs: tuple[int, ...]


class Thinking(LogEvent):
    type: Literal["thinking"] = "thinking"
    turn: str
    text: str


class ModelCalled(LogEvent):
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


class Spoke(LogEvent):
    """What the model said before it went on, to a tool or to another step."""

    type: Literal["spoke"] = "spoke"
    turn: str
    text: str
    part: int = 0
    """How many things the turn had said before this one; the same in what ends it."""
    schema_name: str = ""
    """As in Answered, as is the next."""
    agent: str = ""


class ToolInput(LogEvent):
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


class ToolOutput(LogEvent):
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


class SkillLoaded(LogEvent):
    """A skill's content came into the conversation; `call` is the model's, if it asked for it."""

    type: Literal["skill_loaded"] = "skill_loaded"
    turn: str
    skill: str
    content: str
    call: str = ""


class StepChanged(LogEvent):
    """The agent goes on in another of its steps."""

    type: Literal["step_changed"] = "step_changed"
    turn: str
    from_step: str
    to_step: str


class Compacted(LogEvent):
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


class Answered(LogEvent):
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


class Finished(LogEvent):
    """The turn ended well, and has nothing to say."""

    type: Literal["finished"] = "finished"
    turn: str
    inputs: tuple[int, ...]


class TurnFailed(LogEvent):
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


class TurnInterrupted(LogEvent):
    """Somebody else closed it; its host stops as soon as it sees that."""

    type: Literal["turn_interrupted"] = "turn_interrupted"
    turn: str
    inputs: tuple[int, ...]
    trace: str = ""
    """The turn's own, as in Input; the segment has that of whoever closed it."""


class PartlyAnswered(LogEvent):
    """What a turn had said when it was interrupted; its host tells that after the end."""

    type: Literal["partly_answered"] = "partly_answered"
    turn: str
    text: str
    part: int = 0
    """As in Spoke."""


class TurnAbandoned(LogEvent):
    """Its host stood still for a lease. What it took waits again."""

    type: Literal["turn_abandoned"] = "turn_abandoned"
    turn: str


class TurnHandedOver(LogEvent):
    """Its host must stop, through no fault of its inputs. They wait again."""

    type: Literal["turn_handed_over"] = "turn_handed_over"
    turn: str
    unstarted: tuple[str, ...] = ()
    """Tool calls that it has put into the log and not run."""
    ms: int = 0
    """As in ModelCalled."""


class TurnPostponed(LogEvent):
    """It failed with something that may pass. What it took waits to be tried again."""

    type: Literal["turn_postponed"] = "turn_postponed"
    turn: str
    until: int
    """As `not_before` of an input."""
    code: str
    message: str


class TurnSuspended(LogEvent):
    """The turn ended; its inputs wait for decisions on these calls."""

    type: Literal["turn_suspended"] = "turn_suspended"
    turn: str
    inputs: tuple[int, ...]
    calls: tuple[str, ...]
    tools: tuple[str, ...] = ()
    """The agent's names for what is to be called, in the same order."""
    ms: int = 0
    """As in ModelCalled."""


class TurnReady(LogEvent):
    """Told last of a turn, however it ended: the agent is free for what comes next."""

    type: Literal["turn_ready"] = "turn_ready"
    turn: str = ""
    trace: str = ""
    """As in TurnInterrupted."""
    matched: tuple[str, ...] = ()
    """Ids of the guidelines that the model says it followed."""
