"""What is put into a session and asks for no answer, and what gets a failure for one at once."""

from collections.abc import Callable, Sequence

from cueline.engine.accept import Arrival
from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports
from cueline.engine.window import event_at
from cueline.errors import EventNotFound, SessionNotFound
from cueline.log.events import (
    Acknowledged,
    Event,
    InputsFailed,
    Posted,
    Recorded,
    TurnReady,
    event_id,
)
from cueline.log.segment import Tail
from cueline.log.state import State


def post(
    ports: Ports, writer: Writer, tail: Tail, posted: Posted, key: IdempotencyKey | None = None
) -> Recorded:
    """Appends it, once under its key. Raises IdempotencyKeyReused, TooLarge, SessionNotFound."""
    return put(ports, writer, tail, lambda _state, _at: (posted,), key)


def refuse(ports: Ports, writer: Writer, tail: Tail, arrival: Arrival, message: str) -> Recorded:
    """The input is in the log, and with it that there is no customer who could be answered.

    Nobody works on it. Raises as `post` does.
    """
    said = arrival.input.model_copy(update={"policy": "silent", "digest": ""})

    def events(_: State, at: int) -> Sequence[Event]:
        failed = InputsFailed(
            inputs=(at,), code="customer_not_found", message=message, trace=said.trace
        )
        if not said.trace:
            return said, failed
        told = () if said.trigger else (Acknowledged(input=at),)  # a trigger is one itself
        return said, *told, failed, TurnReady(trace=said.trace)

    return put(ports, writer, tail, events, arrival.key)


def put(
    ports: Ports,
    writer: Writer,
    tail: Tail,
    events: Callable[[State, int], Sequence[Event]],
    key: IdempotencyKey | None = None,
) -> Recorded:
    """Appends what `events` gives for the state and the next offset, in one segment.

    Returns the first of them in its place; under a key that was used, the one it stands for.
    """

    def build(state: State, at: int) -> Sequence[Event]:
        if state.deleted:
            raise SessionNotFound(writer.session.partition(".")[2])
        return events(state, at)

    head = tail.head
    known = writer.known(head.incarnation, key)
    if known is None:
        try:
            _, segment = writer.append(head, build, key)
        except KeyTakenError as taken:
            known = taken.offset
        else:
            if not segment:
                raise AssertionError("there is always something to put")
            return segment.recorded()[0]
    if found := event_at(ports.log, writer.session, head.incarnation, known):
        return found
    raise EventNotFound(event_id(writer.session, head.incarnation, known))
