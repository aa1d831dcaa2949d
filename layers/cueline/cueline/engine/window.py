"""Events around a turn: the window that it answers, and the answer of an input."""

from collections.abc import Sequence

from cueline.log.events import (
    Answered,
    Event,
    Input,
    InputsFailed,
    InputsWithdrawn,
    Recorded,
    SessionDeleted,
    TurnFailed,
    TurnInterrupted,
)
from cueline.log.segment import Log, Segment, Tail

_PAGE = 200


def missing(log: Log, session: str, tail: Tail, written: Segment) -> list[Recorded]:
    """The window up to and with `written`, also where others appended after `tail` was read.

    It goes back to the first input that a running turn took, however far that is.
    """
    incarnation, first = tail.head.incarnation, tail.head.at
    if tail.events:
        first = tail.events[0].offset
    taken = min((i.offset for t in written.state.turns for i in t.inputs), default=first)
    return [
        *_stretch(log, session, incarnation, taken, first),
        *tail.events,
        *_stretch(log, session, incarnation, tail.head.at, written.at),
        *written.recorded(),
    ]


def _stretch(log: Log, session: str, incarnation: int, at: int, end: int) -> list[Recorded]:
    """From `at` on, without `end`."""
    events: list[Recorded] = []
    while at < end:
        found = log.read(session, incarnation, at - 1, end - at)
        if not found:
            break
        events += found
        at = found[-1].offset + 1
    return events


def answer_to(events: Sequence[Recorded], offset: int) -> list[Recorded] | None:
    """The events of the turn that ended the input at `offset`, inputs first; None if none has.

    `events` start at or before the input.
    """
    for place, recorded in enumerate(events):
        if recorded.offset > offset and _ends(recorded.event, offset, events):
            return _of_turn(events[: place + 1], recorded.event, offset)
    return None


def _ends(event: Event, offset: int, events: Sequence[Recorded]) -> bool:
    match event:
        case Answered() | TurnFailed() | InputsFailed() | InputsWithdrawn():
            return offset in event.inputs
        case TurnInterrupted():
            began = (r.event for r in events if getattr(r.event, "turn", "") == event.turn)
            return any(offset in getattr(e, "inputs", ()) for e in began)
        case SessionDeleted():
            return True
    return False


def _of_turn(events: Sequence[Recorded], ending: Event, offset: int) -> list[Recorded]:
    turn = getattr(ending, "turn", None)
    taken = {offset, *getattr(ending, "inputs", ())}
    return [
        r
        for r in events
        if r.event is ending
        or (isinstance(r.event, Input) and r.offset in taken)
        or (turn and getattr(r.event, "turn", None) == turn)
    ]


def read_from(log: Log, session: str, incarnation: int, offset: int) -> list[Recorded]:
    """Everything from `offset` on."""
    events: list[Recorded] = []
    while found := log.read(session, incarnation, offset - 1, _PAGE):
        events += found
        offset = found[-1].offset + 1
        if len(found) < _PAGE:
            break
    return events
