"""Connections: offered to whoever may open them, and taken away again."""

import base64
import json
import secrets
from typing import Any

from cueline.doors.access import hashed
from cueline.doors.body import has_controls
from cueline.doors.client_commands.asked import CHANNEL, MODALITY, CreateConnection, asked, to_json
from cueline.doors.client_commands.calls import Call, session_id_of
from cueline.doors.client_commands.errors import ConnectionNotFound
from cueline.doors.client_commands.frames import session_closing
from cueline.doors.client_commands.leaving import leave
from cueline.doors.idempotency import digest
from cueline.doors.shared import MAX_ECHO, timestamp
from cueline.doors.strict import invalid
from cueline.engine import sessions
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.listeners import GRANTS, Connection
from cueline.engine.ports import Customer
from cueline.errors import Forbidden, SessionNotFound, Unavailable
from cueline.log.events import Input
from cueline.log.segment import GUEST, Session, Tail

TICKET_MS = 60_000
"""How long an offered connection can be opened."""
LONGEST_NAME = 500
"""Characters, of a customer."""
TAGS = "tags"
"""Where a session's metadata has them."""

# --- use cases -----------------------------------------------------------------------------------


def create(call: Call) -> dict[str, Any]:
    """Offers a connection to a new session, or to one that is there.

    Nothing of this tells a repeat: two make two. A session whose maker has died, or whose answer
    was lost, says nothing and costs nothing until somebody deletes it; and a ticket that nobody
    knows ends by itself.

    Raises AgentNotFound, SessionNotFound, Forbidden, InvalidRequest, TooManyPending, Unavailable.
    """
    given = asked(call.json)
    if not call.realtime.url.startswith(("wss://", "ws://")):
        raise Unavailable(
            "No connection can be made: this deployment does not know the address of its "
            "WebSockets. Set CONNECTIONS_URL to it, such as wss://example.com/v1."
        )
    agent = call.ports.agents.get(call.agent)
    if not agent.enabled:
        raise Forbidden(f"The agent {agent.key!r} is disabled; enable it to talk to it.")
    session, tail = _made(call, given) if given.session_id is None else _joined(call, given)
    if given.external_client_profile:
        _tell(call, session, tail, given.external_client_profile)
    secret = secrets.token_urlsafe(32)
    connection = _offer(call, given, session, hashed(secret))
    return {
        "token": _token(call, connection, secret),
        "connection": _to_wire(connection, session),
    }


def delete(call: Call) -> None:
    """Ends it, or voids its ticket. Raises ConnectionNotFound, Unavailable.

    It is marked first: from then on nobody comes in by it, and nothing is said or done over it,
    though the gateway may need another try to close it. It can be deleted again.
    """
    realtime, now = call.realtime, call.ports.clock.now()
    name = call.connection
    found = realtime.connections.get(name, now)
    if not found:
        raise ConnectionNotFound(name[:MAX_ECHO])
    realtime.connections.mark_closing(found)
    # It may have been opened since.
    found = realtime.connections.get(name, now) or found
    if found.gateway:
        realtime.sockets.send(found.gateway, session_closing(now, "connection_aborted"))
        leave(realtime, found)
    else:
        realtime.connections.remove(found)


# --- its session ---------------------------------------------------------------------------------


def _made(call: Call, given: CreateConnection) -> tuple[Session, Tail]:
    """The session comes first: for an agent that is not there no customer is made."""
    ports = call.ports
    new = Session(
        agent_key=call.agent,
        session_key=ports.clock.id(),
        incarnation=0,
        name="Connection",
        created_at=0,
        metadata={TAGS: given.tags} if given.tags else {},
        customer=given.external_client_id or GUEST,
    )
    made = sessions.create(ports, new, call.request_id)
    if given.external_client_id and not ports.customers.get(given.external_client_id):
        # Of many who make the same one, one does; all others are content with that.
        ports.customers.create(_customer(call, given, given.external_client_id))
    return made, ports.log.tail(made.id)


def _joined(call: Call, given: CreateConnection) -> tuple[Session, Tail]:
    tail = call.ports.log.tail(session_id_of(given.session_id or ""))
    session = tail.live(call.ports.clock.now())
    if not session or call.agent not in (session.agent_key, session.answering_agent):
        raise SessionNotFound((given.session_id or "")[:MAX_ECHO])
    if not session.enabled:
        raise Forbidden(f"The session {session.session_key!r} is disabled; enable it to go on.")
    if given.external_client_id not in (None, session.customer):
        raise invalid({"externalClientId": "is not who this session is with"})
    if given.after is not None and given.after >= tail.head.at:
        raise invalid({"after": "must be the offset of an event of this session, or -1"})
    return session, tail


def _customer(call: Call, given: CreateConnection, client: str) -> Customer:
    profile = given.external_client_profile or {}
    told = {name: value for name, value in profile.items() if isinstance(value, str)}
    name = told.get("name", "")
    fits = name.strip() and len(name) <= LONGEST_NAME and not has_controls(name)
    return Customer(client, name if fits else client, call.ports.clock.now(), told)


def _tell(call: Call, session: Session, tail: Tail, profile: dict[str, Any]) -> None:
    """The agent reads it with the next thing that it answers.

    Whoever comes back with the same one is told nothing new: once in a session, and again where
    that was more than a day ago.
    """
    ports = call.ports
    known = Input(
        policy="silent",
        source="system",
        texts=(f"What is known of the user: {to_json(profile)}",),
    )
    body = digest(json.dumps(profile, sort_keys=True))
    key = IdempotencyKey(digest("client_commands", "profile", body), body)
    writer = Writer(ports.log, ports.clock, session.id, call.request_id)
    accept(ports, writer, tail, Arrival(known, key=key), call.realtime.lease, hosts=False)
    ports.sessions.touch(session, ports.clock.now())


# --- the offer -----------------------------------------------------------------------------------


def _offer(call: Call, given: CreateConnection, session: Session, ticket: str) -> Connection:
    clock = call.ports.clock
    now = clock.now()
    connection = Connection(
        id=f"{session.id}.{clock.id()}",
        session=session.id,
        incarnation=session.incarnation,
        caller=call.payer,
        grants=tuple(one for one in GRANTS if one in (given.grants or GRANTS)),
        created_at=now,
        expires_at=now + TICKET_MS,
        opening=given.initial_speech or "",
        after=given.after,
    )
    call.realtime.connections.offer(connection, ticket)
    return connection


def _token(call: Call, connection: Connection, secret: str) -> str:
    """What the published client is made with; it dials the address as it stands there."""
    ticket = f"{connection.id}.{secret}"
    told = {
        "url": f"{call.realtime.url}?token={ticket}",
        "token": ticket,
        "connection": {"id": connection.id},
        "expiresAt": timestamp(connection.expires_at),
    }
    return base64.b64encode(to_json(told).encode()).decode()


def _to_wire(connection: Connection, session: Session) -> dict[str, Any]:
    tags = tags_of(session)
    client = client_of(session)
    return {
        "id": connection.id,
        "sessionId": session.id,
        "agentId": session.answering_agent,
        "channelType": CHANNEL,
        "modality": MODALITY,
        "grants": list(connection.grants),
        **({"externalClientId": client} if client else {}),
        **({"tags": tags} if tags else {}),
        "createdAt": timestamp(connection.created_at),
        "expiresAt": timestamp(connection.expires_at),
    }


def client_of(session: Session) -> str | None:
    return None if session.customer == GUEST else session.customer


def tags_of(session: Session) -> dict[str, str]:
    """Of a session of another door, whatever there looks like tags."""
    found = session.metadata.get(TAGS)
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
