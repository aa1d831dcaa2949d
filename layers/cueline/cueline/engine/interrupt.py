"""Ending what runs in a session, without saying anything to it."""

from collections.abc import Sequence

from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports
from cueline.engine.wake import GRACE, wake_next
from cueline.errors import SessionNotFound
from cueline.log.events import Event, Recorded, TurnInterrupted
from cueline.log.segment import MAX_EVENTS, Head
from cueline.log.state import State, interruption


def interrupt(
    ports: Ports, writer: Writer, head: Head, key: IdempotencyKey | None
) -> Sequence[Recorded]:
    """Closes the running turns; nothing is returned where none runs. What waits is begun.

    Their hosts see it at their next look, and then append what they had said. With a key, what
    interrupted something ends no later turn when it is repeated. Raises SessionNotFound,
    IdempotencyKeyReused.
    """

    def build(state: State, _: int) -> tuple[Event, ...]:
        if state.deleted:
            raise SessionNotFound(writer.session.partition(".")[2])
        return interruption(state)

    def told(offset: int) -> Sequence[Recorded]:
        events = ports.log.read(writer.session, head.incarnation, offset - 1, MAX_EVENTS)
        return [r for r in events if isinstance(r.event, TurnInterrupted)]

    known = writer.known(head.incarnation, key)
    if known is not None:
        return told(known)
    try:
        after, segment = writer.append(head, build, key)
    except KeyTakenError as taken:
        return told(taken.offset)
    if segment:
        wake_next(ports, writer.session, after, delay=GRACE)
    return segment.recorded() if segment else ()
