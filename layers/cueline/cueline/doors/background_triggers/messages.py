"""Messages of a conversation: what its log has said, whichever door it was said through."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import unquote

from cueline.doors.background_triggers.calls import Call, Reply, Route
from cueline.doors.background_triggers.conversations import find
from cueline.doors.background_triggers.errors import MessageNotFound
from cueline.doors.background_triggers.listing import Fields, ListQuery, listed, no_cursor
from cueline.doors.shared import MAX_ECHO
from cueline.engine.ports import Ports
from cueline.engine.prompt import INVOKE_SKILL
from cueline.engine.window import event_at, read_pages
from cueline.log.events import (
    Answered,
    Compacted,
    Event,
    Input,
    InputsFailed,
    PartlyAnswered,
    Posted,
    Recorded,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnFailed,
    TurnSuspended,
    event_id,
    offset_in,
)
from cueline.log.segment import Session
from cueline.log.state import State
from cueline.log.strict_json import value_or_text

STRETCH = 200
"""Events that are read at a time from the newest back: a plain turn has five or so."""

Told = tuple[str, str, Fields]
"""Type, text, and our own part of `meta`."""


def page(call: Call) -> Reply:
    """In the order in which they were said, unless asked for otherwise."""
    ports, query = call.ports, ListQuery.of(call, order="asc")
    session, tail = find(call)
    first, end = 0, tail.head.at
    if query.cursor:
        cursor = offset_in(query.cursor, session.id, session.incarnation)
        if cursor is None:
            raise no_cursor()
        first, end = (0, min(cursor, end)) if query.backwards else (cursor + 1, end)
    read = _backwards if query.backwards else _forwards
    found = (to_wire(session, tail.head.state, one) for one in read(ports, session, first, end))
    wanted = (one if one and query.wants(one["meta"]) else None for one in found)
    return listed(query, ports.clock, wanted)


def fetch(call: Call) -> Fields:
    """Raises MessageNotFound also for what is not shown."""
    session, tail = find(call)
    given = unquote(call.path["message_id"])
    offset = offset_in(given, session.id, session.incarnation)
    if offset is not None:
        found = event_at(call.ports.log, session.id, session.incarnation, offset)
        if found and (shown := to_wire(session, tail.head.state, found)):
            return shown
    raise MessageNotFound(given[:MAX_ECHO])


def to_wire(session: Session, state: State, recorded: Recorded) -> Fields | None:
    """The message; None for bookkeeping, and for what was removed, hidden or erased."""
    if recorded.mark or state.is_removed(recorded.offset):
        return None
    if not (told := _told(recorded.event)):
        return None
    kind, text, meta = told
    return {
        "id": event_id(session.id, session.incarnation, recorded.offset),
        "type": kind,
        "text": text,
        "meta": {**_metadata(recorded), **meta},
        "createdAt": recorded.created_at,
        "updatedAt": recorded.created_at,
    }


# --- reading -------------------------------------------------------------------------------------


def _forwards(ports: Ports, session: Session, first: int, end: int) -> Iterator[Recorded]:
    pages = read_pages(ports.log, session.id, session.incarnation, first, end)
    return chain.from_iterable(pages)


def _backwards(ports: Ports, session: Session, first: int, end: int) -> Iterator[Recorded]:
    while end > first:
        start = max(first, end - STRETCH)
        yield from reversed([*_forwards(ports, session, start, end)])
        end = start


# --- what is said --------------------------------------------------------------------------------


def _told(event: Event) -> Told | None:
    """What people and agents say; everything else that is to be seen is an activity."""
    match event:
        case Input():
            return _input(event)
        case Posted(kind="message"):
            return _posted(event)
        case Spoke() | Answered() | PartlyAnswered() if event.text.strip():
            return "bot", event.text, {}
        case TurnFailed():
            error = _error(event.code, event.message, retryable=event.retryable)
            return "bot" if event.text.strip() else "activity", event.text, error
        case Thinking():
            return "reasoning", event.text, {}
        case SkillLoaded():
            return "instruction", event.content, {"skill": event.skill}
        case Compacted():
            return "checkpoint", event.summary, {}
    activity = _activity(event)
    return ("activity", "", activity) if activity else None


def _input(event: Input) -> Told | None:
    if not event.speaks or not event.texts:
        return None
    came: Fields = {}
    if event.origin:
        came = {"app": "trigger", "trigger": {"integrationId": event.origin}}
    who = {"participant": event.participant.model_dump()} if event.participant else {}
    kind = "user" if event.source == "user" else "context"
    return kind, "\n\n".join(event.texts), {**came, **who}


def _posted(event: Posted) -> Told:
    """What people say in the agent's place is the agent's to whoever reads this."""
    who = {"participant": event.participant.model_dump()} if event.participant else {}
    if event.source == "user":
        return "user", event.text, who
    return "bot", event.text, {"author": event.source, **who}


def _metadata(recorded: Recorded) -> Mapping[str, Any]:
    if recorded.metadata is not None:
        return recorded.metadata
    own: Mapping[str, Any] = getattr(recorded.event, "metadata", {})
    return own


# --- what is done --------------------------------------------------------------------------------


def _activity(event: Event) -> Fields:
    match event:
        case ToolInput() | ToolOutput():
            return _call(event)
        case TurnSuspended():
            return {"activity": {"type": "approval", "calls": list(event.calls)}}
        case StepChanged():
            moved = {"from": event.from_step, "to": event.to_step}
            return {"activity": {"type": "step", **moved}}
        case Posted():
            told = {"type": event.kind, "source": event.source, "data": event.data}
            return {"activity": told}
        case InputsFailed():
            return _error(event.code, event.message, retryable=event.retryable)
    return {}


def _call(event: ToolInput | ToolOutput) -> Fields:
    """A request and its response have the same `id`."""
    if event.tool == INVOKE_SKILL and not event.configuration:
        return {}  # what it loads is shown by itself
    function: Fields = {"name": event.configuration or event.tool}
    if isinstance(event, ToolInput):
        function["arguments"] = value_or_text(event.arguments)
        kind = "request"
    else:
        function["result"] = value_or_text(event.output)
        kind = "response"
    failed = {"error": True} if isinstance(event, ToolOutput) and event.error else {}
    return {"activity": {"type": kind, "id": event.call, "function": function, **failed}}


def _error(code: str, message: str, *, retryable: bool) -> Fields:
    return {"error": {"code": code, "message": message, "retryable": retryable}}


MESSAGES_ROUTES = (
    Route("GET", "/conversation/{conversation_id}/message/list", page),
    Route("GET", "/conversation/{conversation_id}/message/{message_id}/fetch", fetch),
)
