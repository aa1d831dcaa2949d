"""Ending what runs in a session, without saying anything to it."""

from collections.abc import Sequence

from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports
from cueline.engine.wake import GRACE, wake_next
from cueline.errors import IdempotencyKeyReused, SessionNotFound
from cueline.log.events import Event, Recorded, TurnInterrupted
from cueline.log.segment import Head, Keyed
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

    def known(keyed: Keyed) -> Sequence[Recorded]:
        if not key or keyed.body != key.body:
            raise IdempotencyKeyReused
        events = ports.log.read(writer.session, head.incarnation, keyed.offset - 1, 2)
        return [r for r in events if isinstance(r.event, TurnInterrupted)]

    if key and (found := ports.log.keyed(writer.session, head.incarnation, key.key)):
        return known(found)
    try:
        after, segment = writer.append(head, build, key)
    except KeyTakenError as taken:
        return known(taken.keyed)
    if segment:
        wake_next(ports, writer.session, after, delay=GRACE)
    return segment.recorded() if segment else ()
