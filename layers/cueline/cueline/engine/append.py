"""The loop around the log's one write: name the head that was read, or read again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cueline.engine.ports import Clock, Ports
from cueline.errors import IdempotencyKeyReused, SessionNotFound, Unavailable
from cueline.log.events import Event, Input
from cueline.log.fold import reduce
from cueline.log.segment import NOWHERE, Head, Keyed, Log, Segment, Session
from cueline.log.state import State

LIFETIME = 900
"""Seconds. The platform ends every process that is older, so no stale writer is."""
GIVE_UP_AFTER = 20.0
"""Seconds of conflicts. Twenty writers on one session were measured at 0.2 s at most."""

Build = Callable[[State, int], Sequence[Event]]
"""From the state and the next offset to the events to append; none is «nothing to do any more»."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Digests: of the caller and its key, and of the body that came with it."""

    key: str
    body: str


class KeyTakenError(Exception):
    """The idempotency key stands for an earlier input, which is at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Writer:
    """Appends to one session for one request or turn."""

    log: Log
    clock: Clock
    session: str
    trace_id: str

    def known(self, incarnation: int, key: IdempotencyKey | None) -> int | None:
        """The offset that the key stands for, if any; raises IdempotencyKeyReused."""
        keyed = self.log.keyed(self.session, incarnation, key.key) if key else None
        return _offset(keyed, key) if keyed else None

    def decline(self, incarnation: int, key: IdempotencyKey) -> bool:
        """Nothing will ever come of what has this key; False where something has already.

        Who has it is told NOWHERE as its offset. Raises IdempotencyKeyReused.
        """
        nothing = Keyed(key.key, key.body, NOWHERE)
        return _offset(self.log.claim(self.session, incarnation, nothing), key) == NOWHERE

    def append(
        self, head: Head, build: Build, key: IdempotencyKey | None = None
    ) -> tuple[Head, Segment | None]:
        """The head afterwards and what was written, or None where `build` gave nothing.

        `build` is asked again after each conflict, when the log has been read again after a
        random pause: so nobody starves a turn that commits, which goes on at once. Raises
        Unavailable when that lasts too long, and SessionNotFound where the session was deleted
        and made anew meanwhile. With `key`, KeyTakenError or
        IdempotencyKeyReused.
        """
        until = self.clock.monotonic() + GIVE_UP_AFTER
        pause = 0.02
        while events := tuple(build(head.state, head.at)):
            segment, found = self.put(head, events, key)
            if not found:
                return after(head, segment), segment
            if self.clock.monotonic() > until:
                raise Unavailable("Too many writers on this session at once; try again.")
            self.clock.sleep(pause * self.clock.random())
            pause = min(2 * pause, 0.16)
            incarnation = head.incarnation
            head = self.log.tail(self.session).head
            if head.incarnation != incarnation:
                raise SessionNotFound(self.session.partition(".")[2])
        return head, None

    def append_once(self, head: Head, *events: Event) -> bool:
        """False after a conflict: what is in the way may be what should have been waited for."""
        return not self.put(head, events)[1]

    def put(
        self, head: Head, events: tuple[Event, ...], key: IdempotencyKey | None = None
    ) -> tuple[Segment, Segment | None]:
        """The segment, and the one in its way; that is None where it was written."""
        segment = Segment(
            at=head.at,
            events=events,
            state=reduce(head.state, head.at, events),
            attempt=self.clock.id(),
            written_at=self.clock.now(),
            trace_id=self.trace_id,
        )
        found = self.log.append(self.session, head.incarnation, segment, _keyed(segment, key))
        if isinstance(found, Keyed):
            raise KeyTakenError(_offset(found, key))
        return segment, found


def head_of(ports: Ports, session: Session) -> Head:
    """Raises SessionNotFound where that one has ended, though there may be another by now."""
    head = ports.log.tail(session.id).head
    if head.incarnation != session.incarnation or head.state.deleted:
        raise SessionNotFound(session.session_key)
    return head


def _offset(keyed: Keyed, key: IdempotencyKey | None) -> int:
    if not key or keyed.body != key.body:
        raise IdempotencyKeyReused
    return keyed.offset


def _keyed(segment: Segment, key: IdempotencyKey | None) -> Keyed | None:
    if not key:
        return None
    inputs = (r.offset for r in segment.recorded() if isinstance(r.event, Input))
    return Keyed(key.key, key.body, next(inputs, segment.at))


def after(head: Head, segment: Segment) -> Head:
    return Head(head.incarnation, segment.end, segment.state, segment.written_at)
