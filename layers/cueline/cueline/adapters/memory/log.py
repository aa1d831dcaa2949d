"""The log, its heartbeats and its sweeper, in memory."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from cueline.adapters.expiry import keyed_until
from cueline.adapters.filling import Filling
from cueline.adapters.marks import annotated
from cueline.adapters.memory.store import Store, Stored, Taken
from cueline.adapters.sizes import check_noted
from cueline.engine.ports import Clock
from cueline.log.events import Mark, Recorded
from cueline.log.segment import Head, Keyed, Segment, Tail
from cueline.log.state import State


class MemoryLog:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

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
        filling = Filling(window, last.at)
        filling.takes(last.at, own[0][1].size(session), own[0][1].state)
        first, parts = last.at, [last.recorded()]
        for at, stored in own[1:]:
            if first <= last.state.needed:
                break
            if at > filling.next:
                continue
            if not filling.takes(at, stored.size(session), stored.state):
                break
            first = at
            parts.append(stored.recorded(at))
        return Tail(meta, head, tuple(chain.from_iterable(reversed(parts))), whole=first == 0)

    def append(
        self, session: str, incarnation: int, segment: Segment, keyed: Keyed | None = None
    ) -> Segment | Keyed | None:
        new, now = Stored.of(segment), self._clock.now()
        with self._store.lock:
            if keyed and (taken := self._taken(session, incarnation, keyed.key)):
                return None if taken.attempt == segment.attempt else taken.keyed
            found = self._store.log(session).setdefault((incarnation, segment.at), new)
            if keyed and found is new:
                keys = self._store.keyed.setdefault(session, {})
                keys[incarnation, keyed.key] = Taken(keyed, segment.attempt, keyed_until(now))
        return None if found.attempt == segment.attempt else found.at(segment.at)

    def keyed(self, session: str, incarnation: int, key: str) -> Keyed | None:
        with self._store.lock:
            taken = self._taken(session, incarnation, key)
        return taken.keyed if taken else None

    def claim(self, session: str, incarnation: int, keyed: Keyed) -> Keyed:
        with self._store.lock:
            if taken := self._taken(session, incarnation, keyed.key):
                return taken.keyed
            keys = self._store.keyed.setdefault(session, {})
            until = keyed_until(self._clock.now())
            keys[incarnation, keyed.key] = Taken(keyed, self._clock.id(), until)
        return keyed

    def _taken(self, session: str, incarnation: int, key: str) -> Taken | None:
        taken = self._store.keyed.get(session, {}).get((incarnation, key))
        return taken if taken and taken.until > self._clock.now() // 1000 else None

    def segment(
        self,
        session: str,
        incarnation: int,
        at: int,
        *,
        lags: bool = False,  # noqa: ARG002
    ) -> Segment | None:
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

    def mark(
        self, session: str, incarnation: int, offset: int, mark: Mark | None
    ) -> Recorded | None:
        with self._store.lock:
            found = self._holder(session, incarnation, offset)
            if not found:
                return None
            new = found.marked(offset, mark)
            self._store.log(session)[incarnation, new.at] = Stored.of(new)
        return new.recorded()[offset - new.at]

    def annotate(
        self,
        session: str,
        incarnation: int,
        offset: int,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Recorded | None:
        with self._store.lock:
            found = self._holder(session, incarnation, offset)
            if not found or found.marks.get(offset) == "erased":
                return None
            new = annotated(found, offset, change)
            if new is not found:
                stored = Stored.of(new)
                check_noted(stored.size(session))
                self._store.log(session)[incarnation, new.at] = stored
        return new.recorded()[offset - new.at]

    def _holder(self, session: str, incarnation: int, offset: int) -> Segment | None:
        """The segment with this event, where there is one and it is not deleted."""
        log = self._store.log(session)
        own = sorted(at for inc, at in log if inc == incarnation)
        before = [at for at in own if at <= offset]
        if not before or log[incarnation, own[-1]].at(own[-1]).state.deleted:
            return None
        found = log[incarnation, before[-1]].at(before[-1])
        return found if offset < found.end else None


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
            for cells in (self._store.beats, self._store.keyed):
                of_session = cells.get(session, {})
                for cell in [cell for cell in of_session if cell[0] <= incarnation]:
                    del of_session[cell]

    def _old(self, session: str, incarnation: int) -> list[tuple[int, int]]:
        """Up to this incarnation, but the newest of all: above it the next incarnation sorts."""
        places = sorted(self._store.log(session))
        return [place for place in places[:-1] if place[0] <= incarnation]
