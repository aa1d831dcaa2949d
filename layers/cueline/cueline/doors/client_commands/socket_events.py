"""Clients that come, with the ticket that they were given, and clients that go.

Nothing is raised: the gateway would answer in words of its own.
"""

import logging
import re

from cueline.doors.access import hashed
from cueline.doors.client_commands.commands import disabled, enter, listen
from cueline.doors.client_commands.realtime import Realtime, SocketEvent
from cueline.doors.idempotency import digest
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import IdempotencyKey
from cueline.engine.listeners import LONGEST_CONNECTION, Connection
from cueline.errors import CuelineError, SessionNotFound, TooManyPending, unexpected
from cueline.log.events import Input
from cueline.log.triggers import Guideline, Trigger

_KEY = "[0-9A-Za-z_-]{1,50}"
_TOKEN = re.compile(rf"({_KEY}\.{_KEY}\.[0-9a-z]{{1,64}})\.([0-9A-Za-z_-]{{1,200}})")
"""Connection and secret. What cannot be a token costs no look at the table."""

logger = logging.getLogger(__name__)


def connect(realtime: Realtime, event: SocketEvent) -> int:
    """The HTTP status: 200 to come in, 403 where that is not allowed, 503 where it failed.

    A ticket is good for one try, whatever comes of it: who failed makes another connection. Once
    it is taken the log says that somebody listens, and by that whoever tells what is written comes
    upon the connection. Only then is the agent asked for its first words.
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
        listen(enter(realtime, connection, event.request_id), connection.after, until)
        if connection.opening:
            _open(realtime, connection, event.request_id)
    except Exception as error:
        _forget(realtime, connection)
        if isinstance(error, SessionNotFound):
            return 403
        level = logging.WARNING if isinstance(error, CuelineError) else logging.ERROR
        logger.log(level, "A client could not connect", extra=unexpected(error))
        return 503
    return 200


def disconnect(realtime: Realtime, event: SocketEvent) -> None:
    """The gateway may never tell; then the rows go when nothing can be sent, or with their time."""
    connection = None
    try:
        connection = realtime.connections.at(event.gateway, realtime.ports.clock.now())
    except Exception as error:
        logger.warning("Who has disconnected is not known", extra=unexpected(error))
    _forget(realtime, connection)


def _open(realtime: Realtime, connection: Connection, trace_id: str) -> None:
    """Once for each connection, however often its coming is told."""
    entered = enter(realtime, connection, trace_id)
    if disabled(entered.ports, entered.session):
        return
    trigger = Trigger(guidelines=(Guideline(action=connection.opening),))
    asked = Input(source="system", trigger=trigger, caller=entered.payer)
    opening = digest("client_commands", "opening", connection.id)
    arrival = Arrival(asked, key=IdempotencyKey(opening, digest(connection.opening)))
    try:
        accept(entered.ports, entered.writer, entered.tail, arrival, realtime.lease, hosts=False)
    except TooManyPending:
        logger.info("So much waits for an answer that nothing opens the conversation")


def _forget(realtime: Realtime, connection: Connection | None) -> None:
    try:
        if connection:
            realtime.connections.remove(connection)
    except Exception as error:
        logger.warning("A connection's rows were not removed", extra=unexpected(error))
