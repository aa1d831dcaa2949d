"""Server-sent events, in the framing that the door's clients read.

Everything is ASCII: the published clients decode each network chunk by itself, and split lines at
U+2028. There are no `id:` lines, since one makes every later heartbeat a broken event for them.
"""

import json
from collections.abc import Mapping
from typing import Any

from cueline.doors.shared import timestamp

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment. Clients give up after a minute of silence; proxies do so earlier."""


def frame(event: Mapping[str, Any]) -> bytes:
    """One event; its type stands in the `event` line and in the JSON, which clients go by."""
    return f"event:{event['type']}\ndata:{json.dumps(event, allow_nan=False)}\n\n".encode("ascii")


def streaming_agent_output(content: str, at: int) -> bytes:
    """A piece of the answer; `at` is in milliseconds since 1970, as everywhere here."""
    return _at("streaming_agent_output", at, content=content)


def streaming_agent_output_end(event_id: str | None, at: int, **more: object) -> bytes:
    """The answer is whole, and stored as `event_id`; with None it is not, and will not be."""
    stored = {"event_id": event_id} if event_id else {}
    return _at("streaming_agent_output_end", at, **stored, **more)


def streaming_thinking(content: str, at: int) -> bytes:
    return _at("streaming_thinking", at, content=content)


def streaming_thinking_end(at: int) -> bytes:
    return _at("streaming_thinking_end", at)


def context_consumed(usage: Mapping[str, Any], at: int) -> bytes:
    """How full the model's context was; `usage` as in the session resource."""
    return _at("context_consumed", at, session_context_usage=usage)


def compaction_started(compaction: str, session_key: str, at: int) -> bytes:
    return _at("compaction_started", at, id=compaction, session_key=session_key)


def error(body: Mapping[str, Any]) -> bytes:
    """`body` is that of the JSON answer for the same error."""
    return frame({"type": "error", **body})


def end() -> bytes:
    """The last event of every stream; then the body must be closed."""
    return frame({"type": "end"})


def _at(kind: str, at: int, **fields: object) -> bytes:
    return frame({"type": kind, **fields, "created_at": timestamp(at)})
