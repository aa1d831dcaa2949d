"""Events: the log as the door shows it.

A published client fails on a whole answer that has an event type it does not know. So what its
schema has no type for is either bookkeeping and not shown, or shown as `agent_output` with fields
of our own.
"""

import json
from typing import Any

from cueline.doors.agent_events import lists, wire
from cueline.engine.ports import Ports
from cueline.engine.sessions import find
from cueline.errors import EventNotFound, InvalidPageKey
from cueline.log.events import (
    Answered,
    Event,
    Input,
    InputsFailed,
    PartlyAnswered,
    Recorded,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnFailed,
    TurnInterrupted,
    event_id,
    offset_in,
)
from cueline.log.segment import Session

MOST_READS = 20
"""Reads of the log for one page; then it ends early, and says where the list goes on."""


def page(ports: Ports, agent_key: str, session_key: str, query: lists.ListQuery) -> dict[str, Any]:
    """Shown events, oldest first. `include_hidden` changes nothing: nothing can be hidden yet."""
    session, _ = find(ports, agent_key, session_key)
    shown, last = _read(ports, session, _after(session, query.page_key), query.limit)
    more = None if last is None else event_id(session.id, session.incarnation, last)
    return {"events": shown, "metadata": lists.page_metadata(more)}


def get(ports: Ports, agent_key: str, session_key: str, event: str) -> dict[str, Any]:
    """Raises EventNotFound also for ids of other sessions, and of what is not shown."""
    session, _ = find(ports, agent_key, session_key)
    offset = offset_in(event, session.id, session.incarnation)
    if offset is not None:
        for recorded in ports.log.read(session.id, session.incarnation, offset - 1, 1):
            wired = to_wire(session, recorded)
            if wired and recorded.offset == offset:
                return wired
    raise EventNotFound(event)


def to_wire(session: Session, recorded: Recorded) -> dict[str, Any] | None:
    """The event as the public schema has it, or None for bookkeeping.

    `offset`, `turn_id`, `error`, `interrupted` and `truncated` are our own.
    """
    fields = _fields(recorded.event)
    return None if fields is None else _placed(session, recorded, fields)


def told(session: Session, recorded: Recorded) -> dict[str, Any] | None:
    """The same for who waits; an interruption is told, but not listed afterwards."""
    if isinstance(recorded.event, TurnInterrupted):
        return _placed(session, recorded, {"type": "session_interrupted"})
    return to_wire(session, recorded)


def _placed(session: Session, recorded: Recorded, fields: dict[str, Any]) -> dict[str, Any]:
    turn = getattr(recorded.event, "turn", "")
    return {
        "id": event_id(session.id, session.incarnation, recorded.offset),
        "session_key": session.session_key,
        "created_at": wire.timestamp(recorded.created_at),
        "offset": recorded.offset,
        **({"turn_id": turn} if turn else {}),
        **fields,
    }


def _fields(event: Event) -> dict[str, Any] | None:
    match event:
        case Input(source="user") if event.texts:
            messages = [{"type": "text", "content": text} for text in event.texts]
            return {"type": "input_message", "messages": messages}
        case Thinking():
            return {"type": "thinking", "content": event.text}
        case ToolInput():
            return {**_call(event), "tool_input": _object(event.arguments, "arguments")}
        case ToolOutput():
            output = _object(event.output, "output")
            return {**_call(event), "tool_output": output, "error": event.error}
        case Answered():
            cut = {"truncated": True} if event.cut else {}
            return {"type": "agent_output", "content": event.text, **cut}
        case PartlyAnswered():
            return {"type": "agent_output", "content": event.text, "interrupted": True}
        case TurnFailed():
            return _failure(event.text, event.code, event.message, event.retryable)
        case InputsFailed():
            return _failure("", event.code, event.message, retryable=True)
    return None


def _call(event: ToolInput | ToolOutput) -> dict[str, Any]:
    return {
        "type": event.type,
        "tool_call_id": event.call,
        "tool_configuration_name": event.tool,
        "tool_name": event.tool,
    }


def _failure(text: str, code: str, message: str, retryable: bool) -> dict[str, Any]:
    """What was said before, then what failed: some callers show nothing but the content."""
    return {
        "type": "agent_output",
        "content": f"{text}\n\n[{message}]" if text else message,
        "error": {"code": code, "message": message, "retryable": retryable},
    }


def _object(text: str, name: str) -> dict[str, Any]:
    """The schema wants an object; what is none, or no JSON, goes under `name`."""
    try:
        value = json.loads(text, parse_constant=lambda _: _none())
    except (ValueError, RecursionError):
        value = text
    return value if isinstance(value, dict) else {name: value}


def _none() -> None:
    raise ValueError


# --- paging --------------------------------------------------------------------------------------


def _after(session: Session, page_key: str | None) -> int:
    """A page key is the id of the last event that was looked at."""
    if page_key is None:
        return -1
    offset = offset_in(page_key, session.id, session.incarnation)
    if offset is None:
        raise InvalidPageKey
    return offset


def _read(
    ports: Ports, session: Session, after: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """What is shown after offset `after`, and where more may follow; None at the end."""
    shown: list[dict[str, Any]] = []
    size = 0
    for _ in range(MOST_READS):
        # A plain turn has about as many events that are not shown as are.
        count = 2 * (limit - len(shown)) + 1
        for recorded in (found := ports.log.read(session.id, session.incarnation, after, count)):
            if wired := to_wire(session, recorded):
                size += len(json.dumps(wired))
                if len(shown) == limit or (shown and size > lists.MAX_PAGE_BYTES):
                    return shown, after
                shown.append(wired)
            after = recorded.offset
        if len(found) < count:
            return shown, None
    return shown, after
