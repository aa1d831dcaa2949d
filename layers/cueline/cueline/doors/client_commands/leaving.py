"""Connections that the server ends. None may stay open that nobody tells anything any more."""

import logging
from collections.abc import Iterable

from cueline.doors.client_commands.realtime import Realtime
from cueline.engine.listeners import Connection
from cueline.errors import unexpected

logger = logging.getLogger(__name__)

TRIES = 2
PAUSE = 0.3
"""Seconds before a WebSocket is closed again that may still be open."""


def leave(realtime: Realtime, connection: Connection, tries: int = TRIES) -> bool:
    """Closes its WebSocket, and forgets it once that is over. Never raises.

    Where it cannot be closed now it is marked as `closing`: it is told nothing more, and whoever
    comes upon it leaves it again. False where not even that could be noted, so that it may still
    be told something.
    """
    closed = False
    try:
        closed = not connection.gateway or _closed(realtime, connection.gateway, tries)
        if closed:
            realtime.connections.remove(connection)
        elif not connection.closing:
            realtime.connections.mark_closing(connection)
    except Exception as error:  # one that is closed is gone for whoever tells it something
        logger.error("A connection was not forgotten", extra=unexpected(error))  # noqa: TRY400
        return closed
    return True


def may_stay(realtime: Realtime, connection: Connection) -> bool:
    """Whoever was let in by a key is let out when it is taken back. Raises Unavailable."""
    if not (realtime.access and connection.caller):
        return True
    now = realtime.ports.clock.now()
    # As it is remembered, a key may lack the secret that it has just got.
    for fresh in (False, True):
        key = realtime.access.keys.get(connection.caller, fresh=fresh)
        if key and any(secret.live(now) for secret in key.secrets):
            return True
    return False


def revoked(realtime: Realtime, connections: Iterable[Connection]) -> set[str]:
    """The keys of those who may not stay. Each is asked for once. Raises Unavailable."""
    keys = {one.caller: one for one in connections}
    return {key for key, one in keys.items() if not may_stay(realtime, one)}


def _closed(realtime: Realtime, gateway: str, tries: int) -> bool:
    for n in range(tries):
        if n:
            realtime.ports.clock.sleep(PAUSE)
        if realtime.sockets.close(gateway) != "busy":
            return True
    return False
