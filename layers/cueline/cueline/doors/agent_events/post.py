"""What a client posts to a session, checked."""

from dataclasses import dataclass
from typing import Literal

from cueline.doors.agent_events import wire
from cueline.doors.agent_events.body import check_text, read_json
from cueline.errors import NotBuilt

START = "start"


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """`stream` asks for server-sent events, `since` for all events after one, and to queue."""

    texts: tuple[str, ...]
    stream: bool
    since: str | None = None
    behavior: Literal["steer", "follow_up"] = "follow_up"


@dataclass(frozen=True, slots=True)
class PostedInterrupt:
    stream: bool


def parse_post(raw: bytes, content_type: str) -> PostedMessage | PostedInterrupt:
    """Raises InvalidRequest, InvalidMessageContent, NotBuilt."""
    if content_type.strip().lower().startswith("multipart/form-data"):
        raise NotBuilt("Uploading files (multipart/form-data)")
    body = read_json(raw, content_type)
    if body.get("type") == "compact":
        raise NotBuilt("The event type `compact`")
    if body.get("type") == "interrupt":
        return PostedInterrupt(bool(wire.parse(wire.Interrupt, body).stream_response))
    given = wire.parse(wire.InputMessage, body)
    texts = [message.content for message in given.messages]
    check_text(texts)
    return PostedMessage(
        tuple(texts), bool(given.stream_response), given.since, given.behavior or "follow_up"
    )
