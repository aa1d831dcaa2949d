"""The events that may ask for an answer, and those that stand beside them and ask for none."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cueline.log.base import LogEvent
from cueline.log.triggers import Participant, Trigger

Policy = Literal["enqueue", "coalesce", "interrupt", "steer", "silent", "decision", "aside"]
"""What an input does to a running turn; decided when it is appended, and stored with it.

enqueue    waits for the turn to end, then is answered by a turn of its own
coalesce   the same, together with its neighbours
interrupt  ends the turn; is answered at once, with what waited before it
steer      is taken by the running turn before its next model call
silent     asks for nothing; the next turn absorbs it
decision   decides the suspended tool call that `call` names
aside      is answered beside the running turn, or the next one; that goes on
"""


InputKind = Literal["message", "plain", "guided", "own", "decision", "compaction"]
"""What an input is; the middle three are triggers, as in `Trigger.kind`."""


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


class Input(LogEvent):
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
    metadata: dict[str, Any] = Field(default_factory=dict)
    origin: str = ""
    """The background trigger that it came through; empty for all others."""
    tries: int = 1
    """Turns that it may have, while each fails with something that may pass."""
    not_before: int = 0
    """Milliseconds since 1970, UTC, as is the next: until then it stands aside, and all that is
    ready passes it. With the first of a run of coalescing ones those behind it are ready too."""
    not_after: int = 0
    """It is given up where it has not been begun with by then; 0 is never."""

    @property
    def kind(self) -> InputKind:
        if self.decision or self.policy == "decision":
            return "decision"
        if self.compact:
            return "compaction"
        return self.trigger.kind if self.trigger else "message"

    def beside(self, turn: str) -> "Input":
        """Buys time for the work of that turn, if it does so and for no other."""
        if not (turn and self.trigger) or self.trigger.during:
            return self
        trigger = self.trigger.model_copy(update={"during": turn})
        return self.model_copy(update={"trigger": trigger})

    @property
    def speaks(self) -> bool:
        """Somebody says something, to be answered or not."""
        return not (self.trigger or self.compact or self.decision)


class Acknowledged(LogEvent):
    """Told beside an input: the agent will see to it."""

    type: Literal["acknowledged"] = "acknowledged"
    input: int


class Posted(LogEvent):
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
    metadata: dict[str, Any] = Field(default_factory=dict)
