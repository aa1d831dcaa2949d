"""Sees all that is written to a simulated store, and every beat, at its true time."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from cueline.log.events import AsideBegan, TurnAbandoned, TurnBegan
from cueline.log.segment import Keyed, Segment
from tests.simulation import World

LEASE = 30


class Witness:
    def __init__(self, world: World, tell: Callable[[Segment, int], None]) -> None:
        self._world, self._tell = world, tell
        self.written: dict[int, list[Segment]] = defaultdict(list)
        """Incarnation -> every segment as it was written: a sweep empties the stored ones."""
        self._alive: dict[str, float] = {}
        """Turn -> the time of its begin or last beat."""
        self._silence: dict[str, float] = {}
        """Turn -> the longest that anybody saw it not beating."""
        log, beats = world.store.log, world.store.beats
        self._append, self._beat, self._look = log.append, beats.beat, beats.look
        log.append = self.append  # type: ignore[method-assign]
        beats.beat, beats.look = self.beat, self.look  # type: ignore[method-assign]

    def head(self, incarnation: int) -> int:
        """How many events its log has."""
        written = self.written[incarnation]
        return written[-1].end if written else 0

    def append(
        self, session: str, incarnation: int, segment: Segment, keyed: Keyed | None = None
    ) -> Segment | Keyed | None:
        known = self.written[incarnation]
        found = self._append(session, incarnation, segment, keyed)
        if not found and segment.attempt not in [s.attempt for s in known]:
            known.append(segment)
            self._note(segment)
            self._tell(segment, incarnation)
        return found

    def beat(self, session: str, incarnation: int, turn: str) -> None:
        self._alive[turn] = self._world.now
        self._beat(session, incarnation, turn)

    def look(self, session: str, incarnation: int, turns: Sequence[str]) -> dict[str, int]:
        for turn in turns:
            silent = self._world.now - self._alive[turn]
            self._silence[turn] = max(silent, self._silence.get(turn, 0))
        return self._look(session, incarnation, turns)

    def _note(self, segment: Segment) -> None:
        for event in segment.events:
            if isinstance(event, TurnBegan | AsideBegan):
                self._alive[event.turn] = self._world.now
            if isinstance(event, TurnAbandoned):
                silence = self._silence[event.turn]
                assert silence >= LEASE, "only a turn without a beat for a lease is dead"
