"""What a client posts to a session, checked."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from cueline.doors.agent_events import wire
from cueline.doors.agent_events.body import check_text, read_json
from cueline.errors import NotBuilt

_NOT_BUILT = ("interrupt", "compact")


@dataclass(frozen=True, slots=True)
class PostedInput:
    """`stream` asks for server-sent events."""

    texts: tuple[str, ...]
    stream: bool


def parse_post(raw: bytes, content_type: str) -> PostedInput:
    """Raises InvalidRequest, InvalidMessageContent, NotBuilt."""
    if content_type.strip().lower().startswith("multipart/form-data"):
        raise NotBuilt("Uploading files (multipart/form-data)")
    body = read_json(raw, content_type)
    if body.get("type") in _NOT_BUILT:
        raise NotBuilt(f"The event type `{body['type']}`")
    given = wire.parse(wire.InputMessage, body)
    texts = [message.content for message in given.messages]
    check_text(texts)
    return PostedInput(tuple(texts), stream=bool(given.stream_response))


def digest_of(caller: str, texts: Sequence[str]) -> str:
    """22 characters that tell whether a caller repeats itself, whatever it asks back."""
    told = json.dumps([caller, *texts]).encode("ascii")
    return base64.urlsafe_b64encode(hashlib.sha256(told).digest())[:22].decode()
