"""Connections for tests and demos."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from cueline.engine.listeners import RESUME_PAUSE, Connection
from cueline.engine.ports import Clock


class MemoryConnections:
    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._rows: dict[str, tuple[Connection, str | None]] = {}
        """With their tickets; None once it is told."""
        self._open: dict[str, str] = {}
        """The gateway's id of a WebSocket -> the connection's own."""
        self._resumed: dict[str, int] = {}
        """When each was last told again what it had missed."""

    def offer(self, connection: Connection, ticket: str) -> None:
        with self._lock:
            self._rows.setdefault(connection.id, (connection, ticket))

    def open(
        self, connection: str, ticket: str, gateway: str, now: int, until: int
    ) -> Connection | None:
        with self._lock:
            found = self._live(connection, now)
            if not found or self._rows[connection][1] != ticket:
                return None
            if found.gateway not in ("", gateway):
                return None
            opened = replace(found, gateway=gateway, opened_at=now, expires_at=until)
            self._rows[connection] = opened, ticket
            self._open[gateway] = connection
            return opened

    def get(self, connection: str, now: int) -> Connection | None:
        with self._lock:
            return self._live(connection, now)

    def at(self, gateway: str, now: int) -> Connection | None:
        with self._lock:
            return self._live(self._open.get(gateway, ""), now)

    def of(
        self, session: str, incarnation: int, now: int, *, closing: bool = False
    ) -> Sequence[Connection]:
        with self._lock:
            live = [found for name in sorted(self._rows) if (found := self._live(name, now))]
        return [
            one
            for one in live
            if (one.session, one.incarnation) == (session, incarnation)
            and (closing if one.closing else one.told)
        ]

    def tell(self, connection: Connection) -> Connection | None:
        with self._lock:
            found = self._live(connection.id, self._clock.now())
            if not found or found.closing:
                return None
            told = replace(found, told=True, opening="")
            self._rows[told.id] = told, None
            return told

    def resumes(self, connection: Connection, now: int) -> bool:
        with self._lock:
            last = self._resumed.get(connection.id)
            early = last is not None and now < last + RESUME_PAUSE
            if early or not self._live(connection.id, now):
                return False
            self._resumed[connection.id] = now
            return True

    def mark_closing(self, connection: Connection) -> None:
        with self._lock:
            if row := self._rows.get(connection.id):
                self._rows[connection.id] = replace(row[0], closing=True), row[1]

    def remove(self, connection: Connection) -> None:
        with self._lock:
            if row := self._rows.pop(connection.id, None):
                self._open.pop(row[0].gateway, None)
                self._resumed.pop(connection.id, None)

    def _live(self, connection: str, now: int) -> Connection | None:
        found, _ = self._rows.get(connection, (None, ""))
        return found if found and found.expires_at > now else None
