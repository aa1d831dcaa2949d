"""What turns say, told over WebSockets while they say it; nothing of that is stored.

One thread for each speech sees who is to be told something when; a few threads for all of them wait
for the gateway. Who is slow is told at once all that was said meanwhile, and holds up nobody.
A turn speaks in hundreds of small pieces: that thread is woken only by those it waits for.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

from cueline.doors.client_commands.frames import TalkState, created, deltas, talk_state, units
from cueline.doors.client_commands.leaving import revoked
from cueline.doors.client_commands.realtime import Realtime
from cueline.engine.listeners import Connection, Sent
from cueline.errors import unexpected

logger = logging.getLogger(__name__)

SENDERS, FOR_SLOW = 8, 4
"""The latter for connections of a speech that did not take the last frame: each may take long."""
MOST = 50
"""Connections that hear one speech; all others are told what is stored of it."""
PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two deltas for one connection; the latter where it does not take them."""
STEP = 0.02
"""Seconds at least until who becomes due is told: then all others who are due as well."""
LOOK_EVERY = 1.0
"""Seconds, while something is said, between looks who has come to listen."""
FIRST_LOOK, LOOK_FOR_ANY = 0.25, 2.0
"""The same while nobody is known to listen; doubles, as in most turns nobody has come back."""
LAST_WORDS = 300
"""Milliseconds after a turn's end in which the last that it said is told, to who heard it begin.
Later it is in the way of what was stored; and the process may have slept meanwhile."""
YOUNG = 10_000
"""Milliseconds for which the gateway may not know yet a connection that it is opening."""

NEVER, FOR_EVER = float("-inf"), float("inf")


class LiveListeners:
    """Tells the connections of a session what its turns say."""

    def __init__(self, realtime: Realtime) -> None:
        self.realtime, self.clock = realtime, realtime.ports.clock
        self.senders = ThreadPoolExecutor(SENDERS, "speech-sender")

    def speech(self, session: str, incarnation: int, turn: str) -> "LiveSpeech":
        return LiveSpeech(self, session, incarnation, turn)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the turn has said of its newest message. Those before are stored."""

    part: int = 0
    take: int = 0
    """Counts how often a message has begun, or begun anew."""
    text: str = ""
    at: int = 0
    """When that was looked at."""


@dataclass(frozen=True, slots=True)
class _Told:
    """How much of that somebody knows."""

    state: TalkState | None = None
    part: int | None = None
    """The last message of which they know that it has begun."""
    take: int = 0
    chars: int = 0
    units: int = 0
    """As many, as positions are counted."""

    def knows(self, said: _Said) -> bool:
        if not said.text:
            return self.state is not None
        return (self.part, self.take, self.chars) == (said.part, said.take, len(said.text))


@dataclass(slots=True, eq=False)
class _Listener:
    connection: Connection
    told: _Told = _Told()
    due: float = 0.0
    """Until then, on the monotonic clock, it is left in peace. While it is sent something, a guess,
    never too late."""
    pause: float = PAUSE
    sending: bool = False

    @property
    def slow(self) -> bool:
        return self.pause > PAUSE


class LiveSpeech:
    """What one turn says. Who calls this waits for a lock only, which is never held for long."""

    def __init__(self, to: LiveListeners, session: str, incarnation: int, turn: str) -> None:
        self._to, self._session, self._incarnation, self._turn = to, session, incarnation, turn
        self._changed = threading.Condition()
        """Guards all below."""
        self._listeners: dict[str, _Listener] = {}
        """By the gateway's ids, as are those that have left."""
        self._left: set[str] = set()
        self._part, self._take = 0, 0
        self._texts: list[str] = []
        self._looking, self._looked_at, self._said_since = False, NEVER, True
        self._for_any = FIRST_LOOK / 2
        self._awaits_text = False
        """More text is to wake the thread: somebody can be told it at once, or a look is due."""
        self._wakes_at = NEVER
        self._ended_at: int | None = None
        self._cut = False
        self._frames = lru_cache(2)(_texts)
        """Most listeners know as much as the others."""

    # --- what the turn calls ---------------------------------------------------------------------

    def begins(self) -> None:
        try:
            threading.Thread(target=self._tell, name="speech", daemon=True).start()
        except RuntimeError as error:  # there are too many threads
            logger.error("Nobody is told what a turn says", extra=unexpected(error))  # noqa: TRY400

    def says(self, part: int | None, text: str) -> None:
        with self._changed:
            if part is not None:
                self._part, self._take, self._texts = part, self._take + 1, []
            self._texts.append(text)
            self._said_since = True
            if self._awaits_text:
                self._awaits_text = False
                self._changed.notify()

    def ends(self, *, cut: bool) -> None:
        with self._changed:
            self._cut = self._cut or cut
            if self._ended_at is None:
                self._ended_at = self._to.clock.now()
            self._changed.notify()

    # --- who is told when ------------------------------------------------------------------------

    def _tell(self) -> None:
        try:
            with self._changed:
                while not self._all_told():
                    self._changed.wait(self._begin_what_is_due())
        except Exception as error:
            logger.error("No more is told of what a turn says", extra=unexpected(error))  # noqa: TRY400

    def _all_told(self) -> bool:
        if self._over():
            return True
        said = self._said()
        return self._ended_at is not None and not any(
            one.sending or (one.told.state == "started" and not one.told.knows(said))
            for one in self._listeners.values()
        )

    def _over(self, told: "_Told | None" = None) -> bool:
        """Nothing may be told any more; once the turn has ended, nothing to who knows just that.

        Asked without the lock as well.
        """
        ended = self._ended_at
        if ended is None or self._cut:
            return self._cut
        unheard = told is not None and told.state != "started"
        return unheard or self._to.clock.now() > ended + LAST_WORDS

    def _begin_what_is_due(self) -> float | None:
        """Seconds until there is more to begin; None where that is for others to say."""
        now, said, ended = self._to.clock.monotonic(), self._said(), self._ended_at is not None
        wakes_at = now + LAST_WORDS / 1000 if ended else self._look_where_due(now)
        listeners = self._listeners.values()
        slow = sum(one.sending and one.slow for one in listeners)
        for one in listeners:
            if not ended and one.due > now:
                wakes_at = min(wakes_at, one.due)
            elif one.sending or (one.slow and slow >= FOR_SLOW) or self._over(one.told):
                continue
            elif one.told.knows(said):
                self._awaits_text = True
            else:
                one.sending, one.due = True, now + PAUSE
                wakes_at = min(wakes_at, one.due)
                slow += one.slow
                self._to.senders.submit(self._send, one, said)
        self._wakes_at = wakes_at
        return None if wakes_at == FOR_EVER else max(wakes_at - now, STEP)

    def _look_where_due(self, now: float) -> float:
        """When the next look is due, if this one is not."""
        self._awaits_text = not (self._looking or self._said_since)
        if self._looking or not self._said_since:
            return FOR_EVER
        due = self._looked_at + (LOOK_EVERY if self._listeners else self._for_any)
        if due > now:
            return due
        self._for_any = min(2 * self._for_any, LOOK_FOR_ANY)
        self._looking, self._looked_at, self._said_since = True, now, False
        self._to.senders.submit(self._look)
        return FOR_EVER

    def _said(self) -> _Said:
        self._texts = [text] = ["".join(self._texts)]
        if self._ended_at is None and "\ud800" <= text[-1:] <= "\udbff":
            text = text[:-1]  # half a character; the other half may come
        return _Said(self._part, self._take, text, self._to.clock.now())

    # --- what waits for others -------------------------------------------------------------------

    def _look(self) -> None:
        """Who listens now, and still may. Who has left says so when it is told something."""
        found, lost = list[Connection](), set[str]()
        try:
            real, now = self._to.realtime, self._to.clock.now()
            there = real.connections.of(self._session, self._incarnation, now)
            lost |= revoked(real, there)
            found += there
        except Exception as error:
            logger.warning("Those who have come to listen wait", extra=unexpected(error))
        with self._changed:
            self._looking = False
            for connection in found:
                gateway = connection.gateway
                if connection.caller in lost:
                    self._left.add(gateway)
                    self._listeners.pop(gateway, None)
                elif len(self._listeners) < MOST and gateway not in self._left:
                    self._listeners.setdefault(gateway, _Listener(connection))
            self._changed.notify()

    def _send(self, listener: _Listener, said: _Said) -> None:
        to, connection, told = self._to, listener.connection, listener.told
        begun = to.clock.monotonic()
        outcome: Sent = "sent"
        signs = _signs(self._turn, told, said)
        texts = self._frames(self._turn, signs[-1][1] if signs else told, said)
        try:
            for frame, then in (*signs, *texts):
                if self._over(told):
                    break
                if (outcome := to.realtime.sockets.send(connection.gateway, frame)) != "sent":
                    break
                told = then
        except Exception as error:
            outcome = "busy"
            logger.error("Somebody was not told what a turn says", extra=unexpected(error))  # noqa: TRY400
        gone = outcome == "gone" and said.at >= connection.opened_at + YOUNG
        with self._changed:
            waited_for = listener.slow or self._ended_at is not None
            listener.told, listener.sending = told, False
            if gone or (outcome != "sent" and self._ended_at is not None):
                self._left.add(connection.gateway)
                self._listeners.pop(connection.gateway, None)
            elif outcome == "sent":
                listener.pause, listener.due = PAUSE, begun + PAUSE * len(texts)
            else:
                listener.pause = min(2 * listener.pause, LONGEST_PAUSE)
                listener.due = to.clock.monotonic() + listener.pause
            if waited_for or listener.due < self._wakes_at:
                self._changed.notify()
        if gone:
            self._remove(connection)

    def _remove(self, connection: Connection) -> None:
        try:
            self._to.realtime.connections.remove(connection)
        except Exception as error:  # it will expire
            logger.warning("A connection that is gone was not removed", extra=unexpected(error))


def _signs(turn: str, told: _Told, said: _Said) -> list[tuple[str, _Told]]:
    """The frames before a text, and what somebody knows after each."""
    if not said.text:
        known = replace(told, state="preparing")
        return [] if told.state else [(talk_state("preparing", turn), known)]
    signs = []
    if told.state != "started":
        told = replace(told, state="started")
        signs.append((talk_state("started", turn), told))
    if told.part != said.part:
        signs.append((created(turn, said.part, said.at), _Told("started", said.part)))
    return signs


def _texts(turn: str, told: _Told, said: _Said) -> list[tuple[str, _Told]]:
    """As the signs before. Of several frames only the last counts: told again, all are."""
    if told.take != said.take:
        told = replace(told, take=0, chars=0, units=0)
    more = said.text[told.chars :]
    frames = deltas(turn, said.part, more, told.units, said.at)
    known = _Told("started", said.part, said.take, len(said.text), told.units + units(more))
    return [*((one, told) for one in frames[:-1]), *((one, known) for one in frames[-1:])]
