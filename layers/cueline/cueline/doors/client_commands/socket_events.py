"""What the gateway tells of a WebSocket: a client comes with its ticket, says something, goes.

Nothing is raised: the gateway would answer in words of its own.
"""

import logging
import re
from typing import Any

from cueline.doors.access import hashed
from cueline.doors.client_commands import acks
from cueline.doors.client_commands.commands import SessionExpired, answer, disabled, enter, listen
from cueline.doors.client_commands.frames import session_closing, session_expired
from cueline.doors.client_commands.leaving import leave, may_stay
from cueline.doors.client_commands.realtime import Realtime, SocketEvent
from cueline.doors.client_commands.wire import Command, CommandError, id_in, parse, read
from cueline.doors.idempotency import digest
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import IdempotencyKey
from cueline.engine.listeners import LONGEST_CONNECTION, Connection
from cueline.errors import CuelineError, SessionNotFound, TooManyPending, Unavailable, unexpected
from cueline.log.events import Input
from cueline.log.triggers import Guideline, Trigger

_KEY = "[0-9A-Za-z_-]{1,50}"
_TOKEN = re.compile(rf"({_KEY}\.{_KEY}\.[0-9a-z]{{1,64}})\.([0-9A-Za-z_-]{{1,200}})")
"""Connection and secret. What cannot be a token costs no look at the table."""
_CLOSING = (LONGEST_CONNECTION - 10 * 60) * 1000
"""Milliseconds after which a connection is told that it will be ended."""
_PAUSE = 0.3
"""Seconds before a frame is sent again that was not taken."""
_TRIES = 3

logger = logging.getLogger(__name__)


def connect(realtime: Realtime, event: SocketEvent) -> int:
    """The HTTP status: 200 to come in, 403 where that is not allowed, 503 where it failed.

    A ticket is good for one try, whatever comes of it: who failed makes another connection. Once
    it is taken the log says that somebody listens, and by that whoever tells what is written comes
    upon the connection. Only then is the agent asked for its first words. Whoever could not be
    told meanwhile has been given up, and would hear nothing: that is looked at last.

    Where this process dies on the way the gateway lets nobody in, and the ticket is gone. Without
    a place in the log the row is told nothing, and expires; with one, whoever tells what is
    written finds nobody there. First words that nobody was woken for are said when the next
    connection asks for them, or when anybody says something.
    """
    origin = event.headers.get("origin")
    token = _TOKEN.fullmatch(event.query.get("token", ""))
    if not token or (origin is not None and origin not in realtime.origins):
        return 403
    connection = None
    try:
        now = realtime.ports.clock.now()
        until = now + LONGEST_CONNECTION * 1000
        name, ticket = token[1], hashed(token[2])
        connection = realtime.connections.open(name, ticket, event.gateway, now, until)
        if not connection:
            return 403
        if connection.closing or not may_stay(realtime, connection):
            _forget(realtime, connection)
            return 403
        listen(enter(realtime, connection, event.request_id), connection.after, until)
        if connection.opening:
            _open(realtime, connection, event.request_id)
        if not _is_there(realtime, connection):
            logger.info("A client was given up before it was let in")
            _forget(realtime, connection)
            return 503
    except Exception as error:
        _forget(realtime, connection)
        if isinstance(error, SessionNotFound):
            return 403
        level = logging.WARNING if isinstance(error, CuelineError) else logging.ERROR
        logger.log(level, "A client could not connect", extra=unexpected(error))
        return 503
    return 200


def _open(realtime: Realtime, connection: Connection, trace_id: str) -> None:
    """Once in a session for the same words, however often, and however, a client comes back.

    Where they are asked for, and only nobody could be woken for that, the client may come in: what
    it says first wakes somebody for both.
    """
    entered = enter(realtime, connection, trace_id)
    ports, writer, tail = entered.ports, entered.writer, entered.tail
    if disabled(ports, entered.session):
        return
    trigger = Trigger(guidelines=(Guideline(action=connection.opening),))
    asked = Input(source="system", trigger=trigger, caller=entered.payer)
    body = digest(connection.opening)
    key = IdempotencyKey(digest("client_commands", "opening", body), body)
    for again in (True, False):
        try:
            accept(ports, writer, tail, Arrival(asked, key=key), realtime.lease, hosts=False)
        except TooManyPending:
            logger.info("So much waits for an answer that nothing opens the conversation")
        except Unavailable as error:
            if again:
                ports.clock.sleep(_PAUSE)
                continue  # asks for what is not asked for yet, or wakes somebody
            if writer.known(tail.head.incarnation, key) is None:
                raise
            logger.warning("Nobody was woken for an opening", extra=unexpected(error))
        return


def _is_there(realtime: Realtime, connection: Connection) -> bool:
    found = realtime.connections.get(connection.id, realtime.ports.clock.now())
    return bool(found and found.gateway == connection.gateway and not found.closing)


# --- what clients send --------------------------------------------------------------------------


def command(realtime: Realtime, event: SocketEvent) -> None:
    """Answers a frame with one of its own, whatever was sent. Never raises.

    Where the answer cannot be delivered the connection ends, so that its client does not wait for
    it: on the next connection it sends again what was not answered. What comes over one that was
    to end already is not looked at.
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
    if connection.closing:
        leave(realtime, connection)
        return
    frames, ends = _answers(realtime, connection, event, given, wrong)
    if not all(_send(realtime, event.gateway, frame) for frame in frames) or ends:
        leave(realtime, connection)


def _read(event: SocketEvent) -> tuple[dict[str, Any], Exception | None]:
    """The command, and what is wrong with it as far as can be said at once."""
    try:
        return read(event.body, event.is_base64), None
    except Exception as error:
        return {}, error


def _admitted(
    realtime: Realtime, connection: Connection, given: dict[str, Any], wrong: Exception | None
) -> Command:
    """Raises what is wrong with it; first of all that the key was taken back."""
    if not may_stay(realtime, connection):
        why = "The API key that this connection was made with is not valid any more."
        raise CommandError("unauthorized", f"{why} Create another.")
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
        asked = _admitted(realtime, connection, given, wrong)
        frames = [answer(realtime, connection, asked, event.request_id)]
    except Exception as error:
        _log(error)
        frames = [acks.refused(error, id_in(given))]
        refusal = acks.refusal_of(error)
        if refusal == "session_not_found":
            # That one was deleted stands in its log, and is told from there too.
            expired = isinstance(error, SessionExpired)
            frames.append(session_expired("expired" if expired else "deleted"))
        if refusal == "unauthorized":
            frames.append(session_closing(now, "unauthorized"))
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


def _log(error: Exception) -> None:
    if isinstance(error, CommandError):
        return
    if isinstance(error, CuelineError):
        logger.info("A command was refused", extra={"code": error.code})
    else:
        logger.error("A command failed unexpectedly", extra=unexpected(error))


# --- clients that go ------------------------------------------------------------------------------


def disconnect(realtime: Realtime, event: SocketEvent) -> None:
    """The gateway may never tell; then the rows go when nothing can be sent, or with their time."""
    connection = None
    try:
        connection = realtime.connections.at(event.gateway, realtime.ports.clock.now())
    except Exception as error:
        logger.warning("Who has disconnected is not known", extra=unexpected(error))
    _forget(realtime, connection)


def _forget(realtime: Realtime, connection: Connection | None) -> None:
    try:
        if connection:
            realtime.connections.remove(connection)
    except Exception as error:
        logger.warning("A connection's rows were not removed", extra=unexpected(error))
