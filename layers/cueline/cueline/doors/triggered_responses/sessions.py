"""Sessions: their use cases on the wire; what a session's life is, the engine says."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Literal

from pydantic import ConfigDict

from cueline.doors.triggered_responses.calls import Call
from cueline.doors.triggered_responses.errors import wrong
from cueline.doors.triggered_responses.greeting import greet
from cueline.doors.triggered_responses.keys import agent_key_of, new_id
from cueline.doors.triggered_responses.lists import ListQuery, listing, timestamp
from cueline.doors.triggered_responses.shapes import shown_policies
from cueline.doors.triggered_responses.wire import (
    Count,
    Edit,
    Id,
    LabelEdit,
    OwnFields,
    Tags,
    Title,
    Wire,
    edited,
    parse,
)
from cueline.engine import sessions
from cueline.engine.modes import change_mode
from cueline.engine.ports import Ports
from cueline.errors import (
    AgentNotFound,
    NotFound,
    SessionExists,
    SessionNotFound,
    Unavailable,
    unexpected,
)
from cueline.log.segment import GUEST, Session, Tail

CLIENT = "client"
"""The one reader whose place this door knows."""
logger = logging.getLogger(__name__)

MAX_SESSION = 32_000
"""UTF-8 bytes of all that describes a session: every look at its log reads them too."""
DELETE_SECONDS = 20.0
"""How long deleting many may take; whoever asks again goes on with the rest."""
DELETED_AT_ONCE = 8


class SessionFields(OwnFields):
    title: Title | None = None
    customer_id: Id | None = None
    tti_minutes: Count | None = None
    """Cueline's own: it expires this long after its last event; 0 is never."""


class CreateSession(SessionFields):
    agent_id: str
    metadata: dict[str, Any] | None = None
    labels: Tags | None = None


class CreateQuery(Wire):
    allow_greeting: bool | None = None


class Consumed(Wire):
    client: Count | None = None


class UpdateSession(SessionFields):
    agent_id: str | None = None
    mode: Literal["auto", "manual"] | None = None
    consumption_offsets: Consumed | None = None
    metadata: Edit | None = None
    labels: LabelEdit | None = None


class Filter(Wire):
    agent_id: str | None = None
    customer_id: str | None = None
    labels: list[str] | None = None
    """All of them must be there."""

    def wants(self, session: Session) -> bool:
        return (
            self.agent_id in (None, session.answering_agent)
            and self.customer_id in (None, session.customer)
            and set(self.labels or ()) <= set(session.labels)
        )


class SessionsQuery(Filter, ListQuery):
    pass


class DeleteQuery(Filter):
    """Nothing at all stands for every session; so a filter with a typo must not be ignored."""

    model_config = ConfigDict(extra="forbid")


# --- use cases -----------------------------------------------------------------------------------


def create(call: Call, *, greeting: bool) -> dict[str, Any]:
    """A repeat under its Idempotency-Key gives the session that it made before, as it is now.

    With `greeting` its agent speaks first.

    Raises AgentNotFound, IdempotencyKeyReused, Unprocessable.
    """
    ports, asked = call.ports, call.creation
    given = parse(CreateSession, asked.body)
    key = new_id(ports.clock, asked)
    new = _checked(
        Session(
            agent_key=agent_key_of(given.agent_id),
            session_key=key,
            incarnation=0,
            name=given.title or key,
            created_at=0,
            metadata=given.metadata or {},
            tti_minutes=given.tti_minutes or 0,
            mark=asked.mark,
            customer=given.customer_id or GUEST,
            labels=edited((), given.labels, None),
            **given.own(),
        )
    )
    try:
        made = sessions.create(ports, new, call.trace_id)
    except SessionExists:
        made, tail = sessions.find(ports, new.agent_key, key)
        if not asked.made(made.mark, made.version, ports.clock.now() - made.created_at):
            raise
        greeting = greeting and not tail.head.at
        shown = to_wire(made, tail)
    else:
        shown = to_wire(made)
    if greeting:
        try:
            greet(ports, made, call.caller, call.lease, call.trace_id)
        except Unavailable as error:  # the session is there: a repeat would make another
            logger.warning("A session was not greeted", extra=unexpected(error))
    return shown


def get(ports: Ports, agent_key: str, session_key: str) -> dict[str, Any]:
    return to_wire(*find(ports, agent_key, session_key))


def find(ports: Ports, agent_key: str, session_key: str) -> tuple[Session, Tail]:
    """The live session and a look at its log; raises SessionNotFound."""
    with _named_whole(agent_key, session_key):
        return sessions.find(ports, agent_key, session_key)


def page(ports: Ports, query: SessionsQuery) -> Any:
    """In the order of making. May lag behind what has just been written; what has expired, and is
    not removed yet, counts still."""
    now = ports.clock.now()
    return listing(
        [*_matching(ports, query)],
        query,
        lambda s: (s.created_at, s.id),
        to_wire,
        keep=lambda s: sessions.listed(ports, s, now),
    )


def update(
    ports: Ports, agent_key: str, session_key: str, body: dict[str, Any], trace_id: str
) -> dict[str, Any]:
    """What is left out or null stays as it is, but for the policies, which null takes away.

    All but the mode is one write; the mode comes first. Raises SessionNotFound, AgentNotFound,
    Unprocessable.
    """
    given = parse(UpdateSession, body)
    if given.agent_id is not None:
        ports.agents.get(agent_key_of(given.agent_id))
    with _named_whole(agent_key, session_key):
        session, tail = sessions.find(ports, agent_key, session_key)
        wanted = _checked(_changed(session, given), session)
        if given.mode not in (None, tail.head.state.mode):
            change_mode(ports, session, given.mode, trace_id)
        elif wanted == session:
            return to_wire(session, tail)

        def changed(old: Session) -> Session:
            # Two may change the mode at once: what lists show is what the log says now.
            mode = ports.log.tail(old.id).head.state.mode if given.mode else old.mode
            return replace(_checked(_changed(old, given), old), mode=mode)

        return to_wire(*sessions.update(ports, agent_key, session_key, changed))


def delete(ports: Ports, agent_key: str, session_key: str, trace_id: str) -> None:
    """Raises SessionNotFound, also for one that has just been deleted."""
    with _named_whole(agent_key, session_key):
        if not ports.log.tail(f"{agent_key}.{session_key}").session:
            raise SessionNotFound(session_key)
        sessions.delete(ports, agent_key, session_key, trace_id)


def delete_many(ports: Ports, query: DeleteQuery, trace_id: str) -> None:
    """Raises Unavailable where there are more than it has time for: ask again. May miss what has
    just been made."""
    until = ports.clock.monotonic() + DELETE_SECONDS

    def deleted(session: Session) -> bool:
        if ports.clock.monotonic() > until:
            return False
        with suppress(NotFound):  # somebody was quicker
            sessions.delete(ports, session.agent_key, session.session_key, trace_id)
        return True

    with ThreadPoolExecutor(DELETED_AT_ONCE) as pool:
        done = [*pool.map(deleted, _matching(ports, query))]
    if not all(done):
        raise Unavailable("Not all sessions were deleted in the time that there is. Ask again.")


# --- how -----------------------------------------------------------------------------------------


def _matching(ports: Ports, query: Filter) -> Iterator[Session]:
    every = ports.sessions.all()
    return (session for session in every if query.wants(session) and not session.building)


@contextmanager
def _named_whole(agent_key: str, session_key: str) -> Iterator[None]:
    """What is not there is called by the id that its caller knows."""
    try:
        yield
    except (AgentNotFound, SessionNotFound):
        raise SessionNotFound(f"{agent_key}.{session_key}") from None


def _changed(session: Session, given: UpdateSession) -> Session:
    changes = given.own()
    if given.title is not None:
        changes["name"] = given.title or session.session_key
    if given.mode:
        changes["mode"] = given.mode
    if given.customer_id is not None:
        changes["customer"] = given.customer_id
    if given.agent_id is not None:
        changes["answers"] = "" if given.agent_id == session.agent_key else given.agent_id
    if given.consumption_offsets and given.consumption_offsets.client is not None:
        changes["consumed"] = {**session.consumed, CLIENT: given.consumption_offsets.client}
    if given.metadata:
        changes["metadata"] = given.metadata.of(session.metadata)
    if given.labels:
        changes["labels"] = given.labels.of(session.labels)
    if given.tti_minutes is not None:
        changes["tti_minutes"] = given.tti_minutes
    return replace(session, **changes)


def _checked(session: Session, old: Session | None = None) -> Session:
    """Raises Unprocessable where it is too large, and larger than it was."""
    if _size(session) > max(MAX_SESSION, _size(old) if old else 0):
        raise wrong(["body"], f"With this the session is larger than {MAX_SESSION // 1000} KB")
    return session


def _size(session: Session) -> int:
    own = shown_policies(session.follow_ups, session.buy_time)
    told = [session.name, session.description, session.metadata, session.labels, own]
    return len(json.dumps(told, ensure_ascii=False).encode())


def to_wire(session: Session, tail: Tail | None = None) -> dict[str, Any]:
    """Without a look at its log, the mode may lag."""
    titled = session.name != session.session_key
    return {
        "id": session.id,
        "agent_id": session.answering_agent,
        "customer_id": session.customer,
        "creation_utc": timestamp(session.created_at),
        "title": session.name if titled else None,
        "mode": tail.head.state.mode if tail else session.mode,
        "consumption_offsets": {CLIENT: session.consumed.get(CLIENT, 0)},
        "metadata": dict(session.metadata),
        "labels": list(session.labels),
        **({"tti_minutes": session.tti_minutes} if session.tti_minutes else {}),
        **shown_policies(session.follow_ups, session.buy_time),
    }
