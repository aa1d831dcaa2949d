"""The log, its heartbeats and its sweeper, in memory."""

from collections.abc import Sequence
from itertools import chain

from cueline.adapters.memory.store import Store, Stored
from cueline.log.events import Recorded
from cueline.log.segment import Head, Segment, Tail
from cueline.log.state import State


class MemoryLog:
    def __init__(self, store: Store) -> None:
        self._store = store

    def tail(self, session: str, window: int = 0) -> Tail:
        with self._store.lock:
            meta, log = self._store.sessions.get(session), self._store.log(session)
            newest = max([meta.incarnation if meta else 0, *(place[0] for place in log)])
            own = sorted(((at, s) for (inc, at), s in log.items() if inc == newest), reverse=True)
        if not own:
            return Tail(meta, Head(newest, 0, State()))
        last = own[0][1].at(own[0][0])
        head = Head(newest, last.end, last.state, last.written_at)
        if last.state.deleted:
            return Tail(meta, head)
        first, room = last.at, window - own[0][1].size(session)
        parts = [last.recorded()]
        for at, stored in own[1:]:
            room -= stored.size(session)
            if room < 0:
                break
            first = at
            parts.append(stored.recorded(at))
        return Tail(meta, head, tuple(chain.from_iterable(reversed(parts))), whole=first == 0)

    def append(self, session: str, incarnation: int, segment: Segment) -> Segment | None:
        new = Stored.of(segment)
        with self._store.lock:
            found = self._store.log(session).setdefault((incarnation, segment.at), new)
        return None if found.attempt == segment.attempt else found.at(segment.at)

    def segment(self, session: str, incarnation: int, at: int) -> Segment | None:
        with self._store.lock:
            found = self._store.log(session).get((incarnation, at))
        return found.at(at) if found else None

    def read(self, session: str, incarnation: int, after: int, limit: int) -> Sequence[Recorded]:
        if limit < 1:
            return ()
        with self._store.lock:
            log = self._store.log(session)
            own = sorted((at, s) for (inc, at), s in log.items() if inc == incarnation)
        segments = [stored.at(at) for at, stored in own]
        if not segments or segments[-1].state.deleted:
            return ()
        events = (e for segment in segments for e in segment.recorded() if e.offset > after)
        return tuple(events)[:limit]


class MemoryBeats:
    def __init__(self, store: Store) -> None:
        self._store = store

    def beat(self, session: str, incarnation: int, turn: str) -> None:
        with self._store.lock:
            beats = self._store.beats.setdefault(session, {})
            beats[incarnation, turn] = beats.get((incarnation, turn), 0) + 1

    def look(self, session: str, incarnation: int, turns: Sequence[str]) -> dict[str, int]:
        with self._store.lock:
            beats = self._store.beats.get(session, {})
            return {turn: beats.get((incarnation, turn), 0) for turn in turns}


class MemorySweeper:
    def __init__(self, store: Store) -> None:
        self._store = store

    def blank(self, session: str, incarnation: int) -> None:
        with self._store.lock:
            log = self._store.log(session)
            for place in self._old(session, incarnation):
                log[place] = log[place].blank()

    def clear(self, session: str, incarnation: int) -> None:
        with self._store.lock:
            for place in self._old(session, incarnation):
                del self._store.log(session)[place]
            beats = self._store.beats.get(session, {})
            for cell in [cell for cell in beats if cell[0] <= incarnation]:
                del beats[cell]

    def _old(self, session: str, incarnation: int) -> list[tuple[int, int]]:
        """Up to this incarnation, but the newest of all: above it the next incarnation sorts."""
        places = sorted(self._store.log(session))
        return [place for place in places[:-1] if place[0] <= incarnation]
