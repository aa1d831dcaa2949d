"""Connections: offered to whoever may open them, and taken away again."""

import base64
import json
import secrets
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cueline.doors.access import hashed
from cueline.doors.body import has_controls
from cueline.doors.client_commands.calls import Call, session_id_of
from cueline.doors.client_commands.errors import ConnectionNotFound
from cueline.doors.shared import KEY, MAX_ECHO, timestamp
from cueline.doors.strict import RareWire, invalid, parse, text
from cueline.engine import sessions
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import Writer
from cueline.engine.listeners import GRANTS, Connection, Grant
from cueline.engine.ports import Customer
from cueline.errors import Forbidden, SessionNotFound
from cueline.log.events import Input
from cueline.log.segment import GUEST, Session, Tail

TICKET_MS = 60_000
"""How long an offered connection can be opened."""
MAX_TOLD = 8 * 1024
"""UTF-8 bytes of a profile as JSON, and of tags."""
LONGEST_NAME = 500
"""Characters, of a customer."""
TAGS = "tags"
"""Where a session's metadata has them."""
CHANNEL, MODALITY = "websocket", "text"

# --- the request ---------------------------------------------------------------------------------


def _websocket(value: str) -> str:
    if value != CHANNEL:
        raise ValueError("must be `websocket`: voice is not built")
    return value


def _text_only(value: str) -> str:
    if value != MODALITY:
        raise ValueError("must be `text`: audio and video are not built")
    return value


def _client(value: str) -> str:
    if not KEY.fullmatch(value) or len(value) > 32:
        raise ValueError("must be 1 to 32 letters, digits, `_` or `-`")
    if value == GUEST:
        raise ValueError("must not be `guest`, who stands for everybody without an id")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(_json(value).encode()) > MAX_TOLD:
        raise ValueError(f"must not be larger than {MAX_TOLD // 1024} KB")
    return value


Label = Annotated[str, Field(max_length=200), AfterValidator(text)]
Tags = Annotated[dict[Label, Annotated[str, Field(max_length=200)]], Field(max_length=20)]


class CreateConnection(RareWire):
    """`session_id`, `grants` and `after` are Cueline's own. Null is as if it were not there."""

    model_config = ConfigDict(alias_generator=to_camel)

    channel_type: Annotated[str, AfterValidator(_websocket)] | None = None
    modality: Annotated[str, AfterValidator(_text_only)] | None = None
    external_client_id: Annotated[str, AfterValidator(_client)] | None = None
    external_client_profile: Annotated[dict[str, Any], AfterValidator(_small)] | None = None
    """What is known of whom the agent talks with, for the agent to read."""
    initial_speech: Annotated[str, Field(max_length=4000), AfterValidator(text)] | None = None
    """What the agent is to open with, in words of its own."""
    tags: Annotated[Tags, AfterValidator(_small)] | None = None
    disable_idle_timeout: bool | None = None
    """Nothing of Cueline's ends a connection that is idle; the gateway does, after ten minutes."""
    session_id: str | None = None
    """Of the session to join, whichever door made it."""
    grants: Annotated[list[Grant], Field(min_length=1)] | None = None
    """What may be sent through it; None is everything."""
    after: Annotated[int, Field(ge=-1)] | None = None
    """The offset of the last event that is known: what came since is told first."""


def _asked(body: dict[str, Any]) -> CreateConnection:
    given = parse(CreateConnection, body)
    wrong = {}
    if given.session_id is None and given.after is not None:
        wrong["after"] = "goes with sessionId: in a new session nothing can have been missed"
    if given.session_id is not None and given.tags is not None:
        wrong["tags"] = "go with a new session, not with sessionId"
    if wrong:
        raise invalid(wrong)
    return given


# --- use cases -----------------------------------------------------------------------------------


def create(call: Call) -> dict[str, Any]:
    """Offers a connection to a new session, or to one that is there.

    Nothing of this tells a repeat: two make two. A session whose maker has died, or whose answer
    was lost, says nothing and costs nothing until somebody deletes it; a ticket that nobody knows
    ends by itself; and what the agent has been told twice it knows.

    Raises AgentNotFound, SessionNotFound, Forbidden, InvalidRequest, TooManyPending.
    """
    given = _asked(call.json)
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
    """Ends it, or voids its ticket. Raises ConnectionNotFound.

    It is closed first, and can be deleted again where that is all that came about. Whoever opens
    it just now hears nothing through it, and is closed with the first thing that it sends.
    """
    realtime = call.realtime
    found = realtime.connections.get(call.connection, call.ports.clock.now())
    if not found:
        raise ConnectionNotFound(call.connection[:MAX_ECHO])
    if found.gateway:
        realtime.sockets.close(found.gateway)
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
    """The agent reads it with the next thing that it answers."""
    ports = call.ports
    known = Input(
        policy="silent",
        source="system",
        texts=(f"What is known of the user: {_json(profile)}",),
    )
    writer = Writer(ports.log, ports.clock, session.id, call.request_id)
    accept(ports, writer, tail, Arrival(known), call.realtime.lease, hosts=False)
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
        grants=tuple(dict.fromkeys(given.grants or GRANTS)),
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
    return base64.b64encode(_json(told).encode()).decode()


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


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
