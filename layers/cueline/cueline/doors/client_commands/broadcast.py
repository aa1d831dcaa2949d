"""What has been stored is told to whoever listens to its session: in the order of the log."""

import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from cueline.doors.client_commands import frames
from cueline.doors.client_commands.leaving import may_stay
from cueline.doors.client_commands.reaching import Line, Reached
from cueline.doors.client_commands.realtime import Realtime
from cueline.doors.client_commands.told import View, told
from cueline.engine.listeners import Connection
from cueline.engine.settings import settings_at
from cueline.engine.window import event_at, read_pages
from cueline.errors import unexpected
from cueline.log.events import Listening, Recorded, SessionDeleted
from cueline.log.segment import Segment
from cueline.log.state import State

logger = logging.getLogger(__name__)

MOST_LOOKED_AT = 2_000
"""Events among which somebody who comes back is told what it missed: the newest."""
MOST_REPLAYED = 300
"""Frames of these, the newest: as many as a connection takes well within the time that it has."""
SESSIONS_AT_ONCE, SENDS_AT_ONCE = 16, 32
MOST_AT_ONCE = 4_000
"""Frames of a session, to all of its connections, after which what was told need not come again."""
BUDGET = 60.0
"""Seconds for a batch, half of what the function has: what is not told by then comes again."""


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
        deadline = self.realtime.ports.clock.monotonic() + BUDGET
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
                audience = _Audience(self.realtime, sends, deadline, *place)
                return indexes[audience.tell([heard[n].segment for n in indexes]) :]

            return {index for left in tells.map(tell, sessions) for index in left}


@dataclass(slots=True)
class _Begin:
    """From where on somebody listens, who comes, comes back or asks again."""

    at: Recorded
    state: State
    after: int
    """It knows what stands up to here."""
    asked: bool
    """It wants to know what stands behind that."""


@dataclass(slots=True)
class _Listener:
    """A connection, and what it is to be told next."""

    connection: Connection
    before: list[str] = field(default_factory=list)
    begin: _Begin | None = None
    then: list[str] = field(default_factory=list)
    ends: bool = False
    """With that. `then` are its last words."""

    @property
    def trusted(self) -> bool:
        """It may know what the agent's instructions are, and such things."""
        return "settings" in self.connection.grants


@dataclass(slots=True)
class _Audience:
    """Those who listen to one session while some of its segments are told."""

    realtime: Realtime
    sends: Executor
    deadline: float
    session: str
    incarnation: int
    listeners: dict[str, _Listener] = field(default_factory=dict)
    """By the ids of their connections."""
    _waiting: int = 0
    """Frames that are to be sent, about."""
    _marked: dict[int, Recorded | None] = field(default_factory=dict)

    def tell(self, segments: Sequence[Segment]) -> int:
        """How many of them it has told, from the first on."""
        count = passed = 0
        try:
            if self._is_late():
                return 0
            connections = self.realtime.connections
            for one in connections.of(self.session, self.incarnation, self._now(), closing=True):
                self._add(one)
            for segment in segments:
                self._go_past(segment)
                passed += 1
                if self._waiting >= MOST_AT_ONCE:
                    if not self._flush():
                        return count
                    count = passed
        except Exception as error:
            failed = {"session": self.session, "segments": len(segments) - passed}
            logger.error("Segments come again", extra={**failed, **unexpected(error)})  # noqa: TRY400
        return passed if self._flush() else count

    def _add(self, connection: Connection) -> _Listener:
        """Also who may not listen any more: that is said to it."""
        listener = self.listeners[connection.id] = _Listener(connection)
        if connection.closing:
            listener.ends = True
        elif not may_stay(self.realtime, connection):
            listener.ends = True
            listener.then = [frames.session_closing(self._now(), "unauthorized")]
        return listener

    # --- what is to be told ----------------------------------------------------------------------

    def _go_past(self, segment: Segment) -> None:
        for recorded in segment.recorded():
            match recorded.event:
                case Listening() as listening:
                    self._listen(recorded, listening, segment.state)
                case SessionDeleted():
                    self._say({whole: [_expired(recorded)] for whole in (False, True)})
                    for listener in self.listeners.values():
                        listener.ends = True
                case _:
                    kinds = {one.trusted for one in self.listeners.values()}
                    self._say({kind: told(self._view(kind), recorded) for kind in kinds})

    def _say(self, said: dict[bool, list[str]]) -> None:
        for listener in self.listeners.values():
            if not listener.ends:
                listener.then += said[listener.trusted]
                self._waiting += len(said[listener.trusted])

    def _listen(self, recorded: Recorded, listening: Listening, state: State) -> None:
        """From here on the connection is told of what is stored.

        Who asks several times is told once: behind the last time, all that it has asked for.
        """
        if listening.connection.rpartition(".")[0] != self.session:
            return  # this is a fork of the session that it listens to
        listener = self.listeners.get(listening.connection) or self._come(listening.connection)
        if not listener or listener.ends:
            return
        known, asked = recorded.offset, False
        if listening.after is not None:
            known, asked = min(listening.after, recorded.offset - 1), True
        if listener.begin:
            known, asked = min(known, listener.begin.after), asked or listener.begin.asked
        else:
            listener.before, self._waiting = listener.then, self._waiting + MOST_REPLAYED
        listener.begin, listener.then = _Begin(recorded, state, known, asked), []

    def _come(self, name: str) -> _Listener | None:
        found = self.realtime.connections.get(name, self._now())
        if not (found and found.gateway and found.incarnation == self.incarnation):
            return None
        return self._add(found)

    # --- telling it ------------------------------------------------------------------------------

    def _flush(self) -> bool:
        """Each connection gets its frames in order; all of them at once. False: it comes again."""
        waiting, self._waiting = [*self.listeners.values()], 0
        self.listeners, done = {}, True
        for listener, sent in [(one, self.sends.submit(self._reach, one)) for one in waiting]:
            reached = sent.result()
            done = done and reached != "not_told"
            if reached == "told":
                self.listeners[listener.connection.id] = _Listener(listener.connection)
        return done

    def _reach(self, listener: _Listener) -> Reached:
        try:
            return self._told(listener)
        except Exception as error:
            failed = {"session": self.session, **unexpected(error)}
            logger.error("Somebody is to be told again", extra=failed)  # noqa: TRY400
            return "not_told"

    def _told(self, listener: _Listener) -> Reached:
        line = Line(self.realtime, listener.connection, self.deadline)
        reached = line.send(listener.before)
        if reached == "told" and listener.begin:
            if self._is_late():
                return "not_told"
            reached = line.send(self._beginning(listener, listener.begin))
            if reached == "told":
                listens = self.realtime.connections.tell(listener.connection)
                if not listens:
                    return "left"
                listener.connection = listens
        if reached != "told":
            return reached
        if listener.ends:
            return line.end(listener.then)
        reached = line.send(listener.then)
        anything = listener.before or listener.begin or listener.then
        return line.warn() if reached == "told" and anything else reached

    def _beginning(self, listener: _Listener, begin: _Begin) -> list[str]:
        """What a connection is told first, and what it has missed."""
        replayed, known = self._replay(listener.trusted, begin)
        if not listener.connection.told:
            replayed = [*self._marker(listener, begin, known), *replayed]
        if not begin.asked:
            return replayed
        end, cut = begin.at.offset, known > begin.after
        return [*replayed, frames.resumed(known, end, truncated=cut)]

    def _replay(self, trusted: bool, begin: _Begin) -> tuple[list[str], int]:
        """The newest frames of what was missed, and the offset behind which that is all."""
        known = max(begin.after, begin.at.offset - 1 - MOST_LOOKED_AT)
        view, newest, count = self._view(trusted), deque[tuple[int, list[str]]](), 0
        log = self.realtime.ports.log
        for page in read_pages(log, self.session, self.incarnation, known + 1, begin.at.offset):
            for recorded in page:
                removed = begin.state.is_removed(recorded.offset)
                newest.append((recorded.offset, told(view, recorded, removed=removed)))
                count += len(newest[-1][1])
                while count > MOST_REPLAYED and len(newest) > 1:
                    known, dropped = newest.popleft()
                    count -= len(dropped)
        return [frame for _, told in newest for frame in told], known

    def _marker(self, listener: _Listener, begin: _Begin, known: int) -> list[str]:
        log = self.realtime.ports.log
        settings = settings_at(log, self.session, self.incarnation, begin.state.settings)
        session = log.tail(self.session).session
        marker = frames.session(
            begin.at.created_at,
            self.session,
            listener.connection.id,
            session.answering_agent if session else self.session.partition(".")[0],
            offset=known,
            settings=frames.shown_settings(settings, instructions=listener.trusted),
            resumed=begin.asked,
        )
        return [marker, frames.ready()]

    # --- what is known ---------------------------------------------------------------------------

    def _view(self, trusted: bool) -> View:
        return View(self.session, self.incarnation, self._event_at, trusted=trusted)

    def _event_at(self, offset: int) -> Recorded | None:
        if offset not in self._marked:
            log = self.realtime.ports.log
            self._marked[offset] = event_at(log, self.session, self.incarnation, offset)
        return self._marked[offset]

    def _is_late(self) -> bool:
        return self.realtime.ports.clock.monotonic() > self.deadline

    def _now(self) -> int:
        return self.realtime.ports.clock.now()


def _expired(recorded: Recorded) -> str:
    return frames.session_expired("deleted", recorded.offset)
