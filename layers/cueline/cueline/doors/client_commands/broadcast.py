"""What has been stored is told to whoever listens to its session: in the order of the log."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from cueline.doors.client_commands import frames
from cueline.doors.client_commands.realtime import Realtime
from cueline.doors.client_commands.told import View, told
from cueline.engine.listeners import LONGEST_CONNECTION, Connection
from cueline.engine.settings import settings_at
from cueline.engine.window import event_at, read_pages
from cueline.errors import unexpected
from cueline.log.events import Listening, Recorded, SessionDeleted
from cueline.log.segment import Segment
from cueline.log.state import State

logger = logging.getLogger(__name__)

MOST_REPLAYED = 2_000
"""Events that are told again to who comes back: the newest of those that it missed."""
SESSIONS_AT_ONCE, SENDS_AT_ONCE = 16, 32
PATIENCE = 5.0
"""Seconds that one connection may take for what is told to it at once: all others of the batch wait
for it, and it can come back for the rest."""
YOUNG = 10_000
"""Milliseconds: the gateway may still be about to open what seems to have ended already."""
PAUSE = 0.3
"""Seconds before a frame is sent again; doubles."""
TRIES_IF_GONE, TRIES_IF_BUSY = 4, 2
NOTICE = 600
"""Seconds before the gateway ends a connection from which on that is said."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A segment that was written while somebody may have listened."""

    session: str
    incarnation: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Broadcast:
    realtime: Realtime

    def tell(self, heard: Sequence[Heard]) -> set[int]:
        """The indexes of those that must come again: of a session all from one that failed on.

        They are given in the order in which they were written. Nothing that a socket does is a
        failure. A client knows by its offset what is told to it again.
        """
        sessions: dict[tuple[str, int], list[int]] = {}
        for n, one in enumerate(heard):
            sessions.setdefault((one.session, one.incarnation), []).append(n)
        # Two pools, so that those who wait for sends never take the places of these.
        with (
            ThreadPoolExecutor(SENDS_AT_ONCE, "send") as sends,
            ThreadPoolExecutor(SESSIONS_AT_ONCE, "tell") as tells,
        ):

            def tell(place: tuple[str, int]) -> list[int]:
                indexes = sessions[place]
                audience = _Audience(self.realtime, sends, *place)
                return indexes[audience.tell([heard[n].segment for n in indexes]) :]

            return {index for left in tells.map(tell, sessions) for index in left}


@dataclass(slots=True)
class _Audience:
    """Those who listen to one session while some of its segments are told."""

    realtime: Realtime
    sends: Executor
    session: str
    incarnation: int
    connections: dict[str, Connection] = field(default_factory=dict)
    """By id: those that are told of all that comes next."""
    _waiting: dict[bool, list[str]] = field(default_factory=dict)
    """Frames for those that may know instructions, and for those that may not: what comes one
    after the other goes out together."""
    _marked: dict[int, Recorded | None] = field(default_factory=dict)

    def tell(self, segments: Sequence[Segment]) -> int:
        """How many of them it has told, from the first on."""
        count = 0
        try:
            found = self.realtime.connections.of(self.session, self.incarnation, self._now())
            self.connections = {one.id: one for one in found}
            for segment in segments:
                self._go_past(segment)
                count += 1
        except Exception as error:
            failed = {"session": self.session, "segments": len(segments) - count}
            logger.error("Segments come again", extra={**failed, **unexpected(error)})  # noqa: TRY400
        self._flush()
        return count

    def _go_past(self, segment: Segment) -> None:
        for recorded in segment.recorded():
            match recorded.event:
                case Listening() as listening:
                    self._flush()
                    self._listen(recorded, listening, segment.state)
                case SessionDeleted():
                    self._flush()
                    self._end(recorded)
                case _:
                    for whole in {_whole(one) for one in self.connections.values()}:
                        waiting = self._waiting.setdefault(whole, [])
                        waiting += told(self._view(whole), recorded)

    def _flush(self) -> None:
        """Each connection gets its frames in order; all of them at once."""
        waiting, self._waiting = self._waiting, {}
        sends = [
            (one, self.sends.submit(self._send, one, told))
            for one in self.connections.values()
            if (told := waiting.get(_whole(one)))
        ]
        for connection, sent in sends:
            if not sent.result():
                del self.connections[connection.id]

    # --- who comes, and how it ends --------------------------------------------------------------

    def _listen(self, recorded: Recorded, listening: Listening, state: State) -> None:
        """From here on the connection is told of what is stored."""
        if listening.connection.rpartition(".")[0] != self.session:
            return  # this is a fork of the session that it listens to
        connections = self.realtime.connections
        connection = connections.get(listening.connection, self._now())
        if not (connection and connection.gateway and connection.incarnation == self.incarnation):
            return
        first = recorded.offset + 1
        if listening.after is not None:
            first = max(listening.after + 1, recorded.offset - MOST_REPLAYED)
            first = min(first, recorded.offset)
        begin: list[str] = []
        if not connection.told:
            begin = self._marker(connection, recorded, listening, first - 1, state)
        if listening.after is not None:
            begin += self._replay(connection, first, recorded.offset, state)
            truncated = listening.after + 1 < first
            begin.append(frames.resumed(first - 1, recorded.offset, truncated=truncated))
        self.connections.pop(connection.id, None)
        if self._send(connection, begin) and (listens := connections.tell(connection)):
            self.connections[listens.id] = listens

    def _marker(
        self,
        connection: Connection,
        recorded: Recorded,
        listening: Listening,
        offset: int,
        state: State,
    ) -> list[str]:
        """What every connection is told first."""
        log = self.realtime.ports.log
        settings = settings_at(log, self.session, self.incarnation, state.settings)
        marker = frames.session(
            recorded.created_at,
            self.session,
            connection.id,
            offset=offset,
            settings=frames.shown_settings(settings, instructions=_whole(connection)),
            resumed=listening.after is not None,
        )
        return [marker, frames.ready()]

    def _replay(self, connection: Connection, first: int, end: int, state: State) -> list[str]:
        view = self._view(_whole(connection))
        pages = read_pages(self.realtime.ports.log, self.session, self.incarnation, first, end)
        return [
            frame
            for page in pages
            for recorded in page
            for frame in told(view, recorded, removed=state.is_removed(recorded.offset))
        ]

    def _end(self, recorded: Recorded) -> None:
        """The session is gone, and so are its connections."""
        expired = frames.session_expired("deleted", recorded.offset)

        def dismiss(connection: Connection) -> None:
            if self._send(connection, [expired]):
                self._leave(connection)

        leaving, self.connections = self.connections, {}
        for _ in self.sends.map(dismiss, leaving.values()):
            pass

    # --- sending ---------------------------------------------------------------------------------

    def _send(self, connection: Connection, told: Sequence[str]) -> bool:
        """False where the connection is given up: its client comes back, and asks for the rest."""
        clock = self.realtime.ports.clock
        until = clock.monotonic() + PATIENCE
        closes = connection.opened_at + LONGEST_CONNECTION * 1000
        if told and self._now() >= closes - NOTICE * 1000:
            told = [*told, frames.session_closing(closes)]
        try:
            if all(clock.monotonic() <= until and self._sent(connection, one) for one in told):
                return True
        except Exception as error:
            logger.error("A connection was not told", extra=unexpected(error))  # noqa: TRY400
        self._leave(connection)
        return False

    def _sent(self, connection: Connection, frame: str) -> bool:
        realtime, pause, tries = self.realtime, PAUSE, 1
        while (outcome := realtime.sockets.send(connection.gateway, frame)) != "sent":
            young = self._now() < connection.opened_at + YOUNG
            most = TRIES_IF_BUSY if outcome == "busy" else TRIES_IF_GONE if young else 1
            if tries >= most:
                return False
            realtime.ports.clock.sleep(pause)
            tries, pause = tries + 1, 2 * pause
        return True

    def _leave(self, connection: Connection) -> None:
        """Also where it seems to have ended: a young one may be opened yet, and hear nothing."""
        try:
            self.realtime.sockets.close(connection.gateway)
            self.realtime.connections.remove(connection)
        except Exception as error:  # it ends by itself, and then expires
            logger.error("A connection was not removed", extra=unexpected(error))  # noqa: TRY400

    # --- what is known ---------------------------------------------------------------------------

    def _view(self, whole: bool) -> View:
        return View(self.session, self.incarnation, self._event_at, instructions=whole)

    def _event_at(self, offset: int) -> Recorded | None:
        if offset not in self._marked:
            log = self.realtime.ports.log
            self._marked[offset] = event_at(log, self.session, self.incarnation, offset)
        return self._marked[offset]

    def _now(self) -> int:
        return self.realtime.ports.clock.now()


def _whole(connection: Connection) -> bool:
    """It may know what the agent's instructions are."""
    return "settings" in connection.grants
