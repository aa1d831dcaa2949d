"""A frame that a client sends: what it does to the session, and the one answer to it.

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

import logging
from dataclasses import dataclass
from typing import Any

from cueline.doors.access import OPEN
from cueline.doors.client_commands import acks
from cueline.doors.client_commands.frames import session_closing, session_expired
from cueline.doors.client_commands.realtime import Realtime, SocketEvent
from cueline.doors.client_commands.wire import (
    Command,
    CommandError,
    Ping,
    Resume,
    SendMessage,
    SetSettings,
    id_in,
    parse,
    read,
)
from cueline.doors.idempotency import digest
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.listeners import LONGEST_CONNECTION, Connection, Grant
from cueline.engine.ports import Ports
from cueline.engine.posting import put
from cueline.engine.settings import change_settings
from cueline.errors import AgentNotFound, CuelineError, SessionNotFound, unexpected
from cueline.log.events import Input, Listening, Policy
from cueline.log.segment import Session, Tail

_GRANTS: dict[str, Grant] = {"user": "user_messages", "system": "system_messages"}


_CLOSING = (LONGEST_CONNECTION - 10 * 60) * 1000
"""Milliseconds after which a connection is told that it will be ended."""
_PAUSE = 0.3
"""Seconds before a frame is sent again that was not taken."""
_TRIES = 3

logger = logging.getLogger(__name__)


class SessionExpired(SessionNotFound):
    """It was not deleted: nobody has said anything for too long."""


def command(realtime: Realtime, event: SocketEvent) -> None:
    """Answers a frame with one of its own, whatever was sent. Never raises.

    Where the answer cannot be delivered the connection ends, so that its client does not wait for
    it: on the next connection it sends again what was not answered.
    """
    given, wrong = _read(event)
    try:
        connection = realtime.connections.at(event.gateway, realtime.ports.clock.now())
    except Exception as error:
        _log(error)
        _send(realtime, event.gateway, acks.refused(error, id_in(given)))
        return
    if not connection:
        realtime.sockets.close(event.gateway)
        return
    frames, ends = _answers(realtime, connection, event, given, wrong)
    if not all(_send(realtime, event.gateway, frame) for frame in frames) or ends:
        end(realtime, connection)


def end(realtime: Realtime, connection: Connection) -> None:
    """Nothing is sent over it, or taken from it, any more."""
    try:
        realtime.connections.remove(connection)
    except CuelineError as error:
        logger.warning("A connection's rows were not removed", extra=unexpected(error))
    realtime.sockets.close(connection.gateway)


def _read(event: SocketEvent) -> tuple[dict[str, Any], Exception | None]:
    """The command, and what is wrong with it as far as can be said at once."""
    try:
        return read(event.body, event.is_base64), None
    except Exception as error:
        return {}, error


def _parsed(given: dict[str, Any], wrong: Exception | None) -> Command:
    if wrong:
        raise wrong
    return parse(given)


def _answers(
    realtime: Realtime,
    connection: Connection,
    event: SocketEvent,
    given: dict[str, Any],
    wrong: Exception | None,
) -> tuple[list[str], bool]:
    """The frames, and whether the connection ends with them."""
    now = realtime.ports.clock.now()
    try:
        _check_key(realtime, connection, now)
        asked = _parsed(given, wrong)
        frames = [answer(realtime, connection, asked, event.request_id)]
    except Exception as error:
        _log(error)
        frames = [acks.refused(error, id_in(given))]
        refusal = acks.refusal_of(error)
        if refusal == "session_not_found":
            # That one was deleted stands in its log, and is told from there too.
            expired = isinstance(error, SessionExpired)
            frames.append(session_expired("expired" if expired else "deleted"))
        if refusal in ("session_not_found", "unauthorized"):
            return frames, True
    if now - connection.opened_at >= _CLOSING:
        frames.append(session_closing(connection.expires_at))
    return frames, False


def _send(realtime: Realtime, gateway: str, frame: str) -> bool:
    for n in range(_TRIES):
        if n:
            realtime.ports.clock.sleep(_PAUSE)
        sent = realtime.sockets.send(gateway, frame)
        if sent != "busy":
            return sent == "sent"
    return False


def _check_key(realtime: Realtime, connection: Connection, now: int) -> None:
    """Whoever was let in by a key is let out when it is taken back. Raises CommandError."""
    access = realtime.access
    if not access:
        return
    # As it is remembered, a key may lack the secret that it has just got.
    for fresh in (False, True):
        key = access.keys.get(connection.caller, fresh=fresh)
        if key and any(secret.live(now) for secret in key.secrets):
            return
    why = "The API key that this connection was made with is not valid any more. Create another."
    raise CommandError("unauthorized", why)


def _log(error: Exception) -> None:
    if isinstance(error, CommandError):
        return
    if isinstance(error, CuelineError):
        logger.info("A command was refused", extra={"code": error.code})
    else:
        logger.error("A command failed unexpectedly", extra=unexpected(error))


# --- what it does --------------------------------------------------------------------------------


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
        """Nobody is asked to pay where access is not checked."""
        return "" if self.connection.caller == OPEN else self.connection.caller


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
    listening = Listening(connection=entered.connection.id, after=after, until=until)
    return put(entered.ports, entered.writer, entered.tail, lambda *_: (listening,)).offset


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
    accepted = accept(ports, entered.writer, entered.tail, arrival, lease, hosts=False)
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
    offset = listen(entered, asked.after, entered.connection.expires_at)
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
