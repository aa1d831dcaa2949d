"""What a command does to its session, and the one answer to it.

What a message does is decided here, and done by the engine:

| trigger_response | delay | the agent is silent          | the agent answers               |
|------------------|-------|------------------------------|---------------------------------|
| true             | false | it is answered, with what    | ends that answer; is answered,  |
|                  |       | waits                        | with what waits                 |
| true             | true  | it is answered               | waits; then is answered, with   |
|                  |       |                              | its neighbours that wait so too |
| false            | any   | the next answer knows of it  | the next answer knows of it     |

The role says who speaks, and nothing else. In manual mode a user's messages are for people, and
what the application says waits until the agent answers again.
"""

from dataclasses import dataclass

from cueline.doors.access import payer_of
from cueline.doors.client_commands import acks
from cueline.doors.client_commands.realtime import Realtime
from cueline.doors.client_commands.wire import (
    Command,
    CommandError,
    Ping,
    Resume,
    SendMessage,
    SetSettings,
)
from cueline.doors.idempotency import digest
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.listeners import RESUME_PAUSE, Connection, Grant
from cueline.engine.ports import Ports
from cueline.engine.posting import put
from cueline.engine.settings import change_settings
from cueline.errors import AgentNotFound, SessionNotFound, TooManyPending
from cueline.log.events import Input, Listening, Policy
from cueline.log.segment import Session, Tail

_GRANTS: dict[str, Grant] = {"user": "user_messages", "system": "system_messages"}


class SessionExpired(SessionNotFound):
    """It was not deleted: nobody has said anything for too long."""


@dataclass(frozen=True, slots=True)
class Entered:
    """The session of a connection, and a look at its log."""

    realtime: Realtime
    connection: Connection
    session: Session
    tail: Tail
    writer: Writer

    @property
    def ports(self) -> Ports:
        return self.realtime.ports

    @property
    def payer(self) -> str:
        return payer_of(self.connection.caller)


def enter(realtime: Realtime, connection: Connection, trace_id: str) -> Entered:
    """Raises SessionNotFound where what the connection was made for has ended."""
    ports, key = realtime.ports, connection.session.partition(".")[2]
    tail = ports.log.tail(connection.session)
    if tail.head.incarnation != connection.incarnation or tail.head.state.deleted:
        raise SessionNotFound(key)
    session = tail.live(ports.clock.now())
    if not session:
        raise SessionExpired(key) if tail.session else SessionNotFound(key)
    writer = Writer(ports.log, ports.clock, session.id, trace_id)
    return Entered(realtime, connection, session, tail, writer)


def answer(realtime: Realtime, connection: Connection, command: Command, trace_id: str) -> str:
    """The frame that says what became of the command. Raises whatever its sender may see.

    What is stored under a command_id is stored once, however often the command comes.
    """
    data, ports = command.data, realtime.ports
    if isinstance(data, Ping):
        return acks.pong(command, ports.clock.now())
    if isinstance(data, SendMessage):
        _check(connection, _GRANTS[data.role], f"messages of the role {data.role!r}")
    if isinstance(data, SetSettings):
        _check(connection, "settings", "settings")
    entered = enter(realtime, connection, trace_id)
    if isinstance(data, Resume):
        return _resume(entered, command, data)
    if why := disabled(ports, entered.session):
        raise CommandError("session_disabled", why)
    if isinstance(data, SendMessage):
        told = _say(entered, command, data)
    else:
        told = _set(entered, command, data)
    ports.sessions.touch(entered.session, ports.clock.now())
    return told


def listen(entered: Entered, after: int | None, until: int) -> int:
    """Has the connection told of what comes from here on; the offset of where that is."""
    ports = entered.ports
    listening = Listening(connection=entered.connection.id, after=after, until=until)
    offset = put(ports, entered.writer, entered.tail, lambda *_: (listening,)).offset
    ports.sessions.touch(entered.session, ports.clock.now())
    return offset


def disabled(ports: Ports, session: Session) -> str | None:
    """Why it cannot go on, if it cannot. Of an agent that is gone the turn tells."""
    if not session.enabled:
        return "This session is disabled; it has to be enabled before it can go on."
    try:
        enabled = ports.agents.get(session.answering_agent).enabled
    except AgentNotFound:
        return None
    return None if enabled else "The agent is disabled; it has to be enabled before it can answer."


def _say(entered: Entered, command: Command, said: SendMessage) -> str:
    ports = entered.ports
    new = Input(policy=policy_of(said), source=said.role, texts=(said.text,), caller=entered.payer)
    arrival = Arrival(new, key=_key(command))
    lease = entered.realtime.lease
    try:
        accepted = accept(ports, entered.writer, entered.tail, arrival, lease, hosts=False)
    except TooManyPending as error:
        if said.trigger_response:
            raise
        # Waiting does not help: nothing that was told so begins the answer that takes it in.
        raise CommandError("too_many_pending", error.message) from None
    return acks.said(command, entered.session, accepted)


def policy_of(said: SendMessage) -> Policy:
    if not said.trigger_response:
        return "silent"
    return "coalesce" if said.delay else "interrupt"


def _set(entered: Entered, command: Command, given: SetSettings) -> str:
    change = change_settings(
        entered.ports, entered.writer, entered.tail, given.change, _key(command)
    )
    return acks.changed(command, change)


def _resume(entered: Entered, command: Command, asked: Resume) -> str:
    """Without a key: who asks again, perhaps on another connection, is told again."""
    newest = entered.tail.head.at - 1
    if asked.after > newest:
        why = f"`data.after` is above the newest offset of this session, which is {newest}."
        raise CommandError("invalid_command", why, "data.after")
    connection, now = entered.connection, entered.ports.clock.now()
    if not entered.realtime.connections.resumes(connection, now):
        why = (
            f"A connection may resume once in {RESUME_PAUSE // 1000} seconds. What it asked for "
            "before is on its way; send this again later if you still need it."
        )
        raise CommandError("too_many_requests", why, retryable=True)
    offset = listen(entered, asked.after, connection.expires_at)
    return acks.resumes(command, offset)


def _check(connection: Connection, grant: Grant, what: str) -> None:
    if grant not in connection.grants:
        why = f"This connection may not send {what}: it was made without the grant {grant!r}."
        raise CommandError("forbidden", why)


def _key(command: Command) -> IdempotencyKey | None:
    """For all connections of the session: who has lost one asks again on the next."""
    if command.id is None:
        return None
    return IdempotencyKey(digest("client_commands", "command", command.id), command.digest)
