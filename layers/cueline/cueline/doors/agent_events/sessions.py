"""Sessions: their use cases on the wire; what a session's life is, the engine says."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cueline.doors.agent_events import lists, wire
from cueline.doors.agent_events.creation import Creation
from cueline.doors.agent_events.keys import new_key
from cueline.engine import sessions
from cueline.engine.ports import Ports
from cueline.errors import InvalidRequest, SessionExists, SessionNotFound, Unavailable
from cueline.log.segment import Session

MAX_SESSION = 32_000
"""UTF-8 bytes of all that describes a session: every look at its log reads them too."""

Body = Mapping[str, Any]


def create(ports: Ports, agent_key: str, asked: Creation, trace_id: str) -> dict[str, Any]:
    """A repeat gives the session that it made before, as it is now.

    Without a key of its own and without an Idempotency-Key nothing tells a repeat: two make two.
    Raises AgentNotFound, SessionExists, IdempotencyKeyReused, InvalidRequest, NotBuilt.
    """
    given = wire.parse(wire.CreateSession, asked.body)
    fixed = given.key or asked.own_key("ase")
    name = given.name or f"Session {wire.timestamp(ports.clock.now())[:19].replace('T', ' ')}"
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
            return to_wire(sessions.create(ports, _checked(new), trace_id))
        except SessionExists:
            if fixed and (found := _there(ports, agent_key, fixed)):
                age = ports.clock.now() - found.created_at
                if not asked.made(found.mark, found.version, age):
                    raise
                return to_wire(found)
    raise Unavailable("No free key was found; give one.")


def _there(ports: Ports, agent_key: str, session_key: str) -> Session | None:
    try:
        return sessions.find(ports, agent_key, session_key)[0]
    except SessionNotFound:
        return None


def get(ports: Ports, agent_key: str, session_key: str) -> dict[str, Any]:
    return to_wire(sessions.find(ports, agent_key, session_key)[0])


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
    given = wire.parse(wire.UpdateSession, body)
    changes: dict[str, Any] = {field: getattr(given, field) for field in given.model_fields_set}
    if "name" in changes and given.name is None:
        raise InvalidRequest("name must not be null.", {"name": "must not be null"})
    for field, default in (("metadata", {}), ("enabled", True), ("tti_minutes", 0)):
        if changes.get(field, default) is None:
            changes[field] = default
    changed = sessions.update(
        ports, agent_key, session_key, lambda session: _checked(replace(session, **changes))
    )
    return to_wire(changed)


def delete(ports: Ports, agent_key: str, session_key: str, trace_id: str) -> None:
    sessions.delete(ports, agent_key, session_key, trace_id)


def to_wire(session: Session) -> dict[str, Any]:
    return {
        "key": session.session_key,
        "agent_key": session.agent_key,
        "name": session.name,
        **({} if session.description is None else {"description": session.description}),
        "metadata": dict(session.metadata),
        "enabled": session.enabled,
        "tti_minutes": session.tti_minutes,
        "created_at": wire.timestamp(session.created_at),
    }


def _checked(session: Session) -> Session:
    described = json.dumps([session.description, session.metadata], ensure_ascii=False)
    if len(described.encode()) > MAX_SESSION:
        why = f"with the description, larger than {MAX_SESSION // 1000} KB"
        raise InvalidRequest(f"metadata is, {why}.", {"metadata": why})
    return session
