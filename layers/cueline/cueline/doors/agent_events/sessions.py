"""Sessions: their use cases on the wire; what a session's life is, the engine says."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cueline.doors.access import payer_of
from cueline.doors.agent_events import lists, wire
from cueline.doors.agent_events.keys import new_key
from cueline.doors.agent_events.usage import context_usage
from cueline.doors.creation import Creation
from cueline.doors.shared import timestamp
from cueline.doors.strict import parse
from cueline.engine import sessions
from cueline.engine.fork import Source, fork
from cueline.engine.ports import Ports
from cueline.errors import InvalidRequest, SessionExists, SessionNotFound, Unavailable
from cueline.log.events import CompactionAsked, offset_in
from cueline.log.segment import Session
from cueline.log.state import State

MAX_SESSION = 32_000
"""UTF-8 bytes of all that describes a session: every look at its log reads them too."""

Body = Mapping[str, Any]


def create(ports: Ports, agent_key: str, asked: Creation, trace_id: str) -> dict[str, Any]:
    """A repeat gives the session that it made before, as it is now.

    Without a key of its own and without an Idempotency-Key nothing tells a repeat: two make two.
    Raises AgentNotFound, SessionExists, IdempotencyKeyReused, InvalidRequest, NotBuilt.
    """
    given = parse(wire.CreateSession, asked.body)
    fixed = given.key or asked.own_key("ase")
    if given.from_session and fixed and (before := _made_before(ports, agent_key, fixed, asked)):
        return to_wire(*before)  # though the session that it came from may be gone
    source = _source(ports, agent_key, given.from_session, asked.caller)
    name = given.name or f"Session {timestamp(ports.clock.now())[:19].replace('T', ' ')}"
    for tries in range(sessions.TRIES):
        new = Session(
            agent_key=agent_key,
            session_key=fixed or new_key("ase", name, ports.clock, tries),
            incarnation=0,
            created_at=0,
            name=name,
            description=given.description,
            metadata=given.metadata or {},
            enabled=given.enabled is not False,
            tti_minutes=given.tti_minutes or 0,
            mark=asked.mark,
        )
        try:
            if source:
                fork(ports, _checked(new), source, trace_id)
                return get(ports, agent_key, new.session_key)
            return to_wire(sessions.create(ports, _checked(new), trace_id), State())
        except SessionExists:
            if fixed and (before := _made_before(ports, agent_key, fixed, asked)):
                return to_wire(*before)
    raise Unavailable("No free key was found; give one.")


def _made_before(
    ports: Ports, agent_key: str, session_key: str, asked: Creation
) -> tuple[Session, State] | None:
    """What this very request has made already; raises SessionExists where another one has."""
    try:
        found, tail = sessions.find(ports, agent_key, session_key)
    except SessionNotFound:
        return None
    if not asked.made(found.mark, found.version, ports.clock.now() - found.created_at):
        raise SessionExists(f"There is a session {session_key!r} already.")
    return found, tail.head.state


def _source(
    ports: Ports, agent_key: str, given: wire.FromSession | None, caller: str
) -> Source | None:
    """Raises AgentNotFound, SessionNotFound, and InvalidRequest where there is no such event."""
    if not given:
        return None
    if given.include_up_to_event_id and given.compact_up_to_event_id:
        why = "excludes the other one"
        fields = ("include_up_to_event_id", "compact_up_to_event_id")
        raise InvalidRequest(
            "Give one of include_up_to_event_id and compact_up_to_event_id.",
            {f"from_session.{field}": why for field in fields},
        )
    session, tail = sessions.find(ports, given.agent_key or agent_key, given.session_key)

    def offset(field: str) -> int | None:
        if (event := getattr(given, field)) is None:
            return None
        found = offset_in(event, session.id, session.incarnation)
        state = tail.head.state
        if found is None or found >= tail.head.at or state.is_removed(found):
            raise InvalidRequest(
                f"There is no event {event!r} in that session.",
                {f"from_session.{field}": "not an event's id"},
            )
        return found

    last, summed = offset("include_up_to_event_id"), offset("compact_up_to_event_id")
    return Source(
        session,
        end=tail.head.at if last is None else last + 1,
        compact=None if summed is None else CompactionAsked(up_to=summed),
        payer=payer_of(caller),
    )


def get(ports: Ports, agent_key: str, session_key: str) -> dict[str, Any]:
    session, tail = sessions.find(ports, agent_key, session_key)
    return to_wire(session, tail.head.state)


def page(ports: Ports, agent_key: str, query: lists.ListQuery) -> dict[str, Any]:
    matches = lists.text_filter(query.filter)
    return lists.page_answer(
        "sessions",
        lambda limit: sessions.page(
            ports, agent_key, lambda s: matches(s.name, s.description), limit, query.page_key
        ),
        to_wire,
        query.limit,
    )


def update(ports: Ports, agent_key: str, session_key: str, body: Body) -> dict[str, Any]:
    """Omitted fields stay, null is the default; metadata is replaced as a whole."""
    given = parse(wire.UpdateSession, body)
    changes: dict[str, Any] = {field: getattr(given, field) for field in given.model_fields_set}
    if "name" in changes and given.name is None:
        raise InvalidRequest("name must not be null.", {"name": "must not be null"})
    for field, default in (("metadata", {}), ("enabled", True), ("tti_minutes", 0)):
        if changes.get(field, default) is None:
            changes[field] = default
    changed, tail = sessions.update(
        ports, agent_key, session_key, lambda session: _checked(replace(session, **changes))
    )
    return to_wire(changed, tail.head.state)


def delete(ports: Ports, agent_key: str, session_key: str, trace_id: str) -> None:
    sessions.delete(ports, agent_key, session_key, trace_id)


def to_wire(session: Session, state: State | None = None) -> dict[str, Any]:
    """Without a state, only what META tells: a list looks into no log."""
    return {
        "key": session.session_key,
        "agent_key": session.agent_key,
        "name": session.name,
        **({} if session.description is None else {"description": session.description}),
        "metadata": dict(session.metadata),
        "enabled": session.enabled,
        "tti_minutes": session.tti_minutes,
        "created_at": timestamp(session.created_at),
        **(_happened(state) if state else {}),
    }


def _happened(state: State) -> dict[str, Any]:
    """`pending_approvals` is our own: the tool calls that somebody has to decide on."""
    used, decided = state.used, {waiting.call for waiting in state.unfinished}
    return {
        "current_step_name": state.step or None,
        "session_context_usage": context_usage(
            used.context_input, used.context_output, used.context_reasoning, used.context_window
        ),
        "pending_approvals": [call for call in state.suspended if call not in decided],
    }


def _checked(session: Session) -> Session:
    described = json.dumps([session.description, session.metadata], ensure_ascii=False)
    if len(described.encode()) > MAX_SESSION:
        why = f"with the description, larger than {MAX_SESSION // 1000} KB"
        raise InvalidRequest(f"metadata is, {why}.", {"metadata": why})
    return session
