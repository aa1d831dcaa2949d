"""The loop around the log's one write: name the head that was read, or read again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cueline.engine.ports import Clock
from cueline.errors import SessionNotFound, Unavailable
from cueline.log.events import Event
from cueline.log.segment import Head, Log, Segment
from cueline.log.state import State, reduce

GIVE_UP_AFTER = 10.0
"""Seconds of conflicts. Twenty writers on one session were measured at 0.2 s at most."""

Build = Callable[[State, int], Sequence[Event]]
"""From the state and the next offset to the events to append; none is «nothing to do any more»."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Appends to one session for one request or turn, and remembers where its head is."""

    log: Log
    clock: Clock
    session: str
    trace_id: str

    def append(
        self, head: Head, build: Build, *, chase: bool = False
    ) -> tuple[Head, Segment | None]:
        """The head afterwards and what was written, or None where `build` gave nothing.

        `build` is asked again after each conflict. A turn that commits goes on at once from the
        segment in its way (`chase`); all others read again after a random pause, so that they
        do not starve it. Raises Unavailable when that lasts too long, and SessionNotFound where
        the session was deleted and made anew meanwhile.
        """
        until = self.clock.monotonic() + GIVE_UP_AFTER
        pause = 0.02
        while events := tuple(build(head.state, head.at)):
            segment = self._segment(head, events)
            found = self.log.append(self.session, head.incarnation, segment)
            if not found:
                return _after(head, segment), segment
            if self.clock.monotonic() > until:
                raise Unavailable("Too many writers on this session at once; try again.")
            if chase:
                head = _after(head, found)
            else:
                self.clock.sleep(pause * self.clock.random())
                pause = min(2 * pause, 0.16)
                incarnation = head.incarnation
                head = self.log.tail(self.session).head
                if head.incarnation != incarnation:
                    raise SessionNotFound(self.session.partition(".")[2])
        return head, None

    def append_once(self, head: Head, *events: Event) -> bool:
        """False after a conflict: what is in the way may be what should have been waited for."""
        return not self.log.append(self.session, head.incarnation, self._segment(head, events))

    def _segment(self, head: Head, events: tuple[Event, ...]) -> Segment:
        return Segment(
            at=head.at,
            events=events,
            state=reduce(head.state, head.at, events),
            attempt=self.clock.id(),
            written_at=self.clock.now(),
            trace_id=self.trace_id,
        )


def _after(head: Head, segment: Segment) -> Head:
    return Head(head.incarnation, segment.end, segment.state, segment.written_at)
