"""The bodies that a client may post to a session."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from cueline.doors.strict import UNION, Name, RareWire, tag_of


class TextMessage(RareWire):
    type: Literal["text"]
    content: str


class SkillMessage(RareWire):
    """Has the agent load one of its skills before it answers."""

    type: Literal["skill"]
    skill_name: Annotated[Name, Field(max_length=100)]


Message = Annotated[
    Annotated[TextMessage, Tag(f"{UNION}text")] | Annotated[SkillMessage, Tag(f"{UNION}skill")],
    Discriminator(
        tag_of,
        custom_error_type="message_type",
        custom_error_message="must have the type `text` or `skill`",
    ),
]


def _event_id(value: str) -> str:
    if not re.fullmatch(r"aev_[0-9a-zA-Z_-]{1,90}", value):
        raise ValueError("must be the id of an event")
    return value


def _since(value: str) -> str:
    if value != "start" and not re.fullmatch(r"aev_[0-9a-zA-Z_-]{1,90}", value):
        raise ValueError("must be `start` or the id of an event")
    return value


class InputMessage(RareWire):
    type: Literal["input_message"] = "input_message"
    since: Annotated[str, AfterValidator(_since)] | None = None
    """With it the message queues while a turn runs, and all events after that one are told."""
    behavior: Literal["steer", "follow_up"] | None = None
    """What a queued message does: joins the running turn, or has a turn of its own after it."""
    messages: Annotated[list[Message], Field(min_length=1, max_length=100)]
    stream_response: bool | None = None


class Interrupt(RareWire):
    type: Literal["interrupt"] = "interrupt"
    stream_response: bool | None = None


class Compact(RareWire):
    """Has the session's oldest turns summed up; queues while a turn runs."""

    type: Literal["compact"]
    compact_up_to_event_id: Annotated[str, AfterValidator(_event_id)] | None = None
    compaction_message: Annotated[str, Field(max_length=10_000)] | None = None
    stream_response: bool | None = None


class ToolDecision(RareWire):
    """Our own: decides on a tool call that waits for approval; queues while a turn runs."""

    type: Literal["tool_decision"]
    tool_call_id: Annotated[Name, Field(max_length=100)]
    decision: Literal["approve", "edit", "reject"]
    arguments: dict[str, Any] | None = None
    """For `edit`: stand for the model's own."""
    message: Annotated[str, Field(max_length=10_000)] | None = None
    """For the model to read."""
    stream_response: bool | None = None
