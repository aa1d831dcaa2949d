"""Events around a turn: the window that it answers, and the answer of an input."""

from collections.abc import Iterator, Sequence
from itertools import chain

from cueline.log.events import (
    Answered,
    Finished,
    Input,
    InputsFailed,
    InputsWithdrawn,
    ModeChanged,
    Posted,
    Recorded,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
)
from cueline.log.segment import Log, Segment, Tail
from cueline.log.state import covered

_PAGE = 200
_ENDINGS = (
    Answered,
    Finished,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
    InputsFailed,
    InputsWithdrawn,
)


def missing(log: Log, session: str, tail: Tail, written: Segment) -> list[Recorded]:
    """The window up to and with `written`, also where others appended after `tail` was read.

    It goes back to the first input that a running turn answers, however far that is.
    """
    first = tail.events[0].offset if tail.events else tail.head.at
    taken = [offset for t in written.state.turns for offset in covered(written.state, t)]
    pages = stretch(log, session, tail, min([first, *taken]), written.at)
    return [*chain.from_iterable(pages), *written.recorded()]


def stretch(
    log: Log, session: str, tail: Tail, first: int, end: int
) -> Iterator[Sequence[Recorded]]:
    """From `first` on, without `end`; what the tail has is not read again."""
    known = tail.events[0].offset if tail.events else tail.head.at
    incarnation = tail.head.incarnation
    yield from read_pages(log, session, incarnation, first, min(known, end))
    yield [r for r in tail.events if first <= r.offset < end]
    yield from read_pages(log, session, incarnation, max(first, tail.head.at), end)


def event_at(log: Log, session: str, incarnation: int, offset: int) -> Recorded | None:
    """The event in this place; None where there is none, or the incarnation is deleted."""
    found = log.read(session, incarnation, offset - 1, 1)
    return next((recorded for recorded in found if recorded.offset == offset), None)


def read_pages(
    log: Log, session: str, incarnation: int, at: int, end: int
) -> Iterator[Sequence[Recorded]]:
    """From `at` on, without `end`."""
    while at < end and (found := log.read(session, incarnation, at - 1, min(_PAGE, end - at))):
        yield found
        at = found[-1].offset + 1


def ends(recorded: Recorded, offset: int) -> bool:
    """Whether the input at `offset` ended with this event, as far as its caller is concerned.

    One that waits for a decision on a tool call has: whoever decides hears the rest. What is left
    to people has an answer of theirs, or none: from the hand-over on, where it waited then.
    """
    event = recorded.event
    if isinstance(event, ModeChanged):
        return event.mode == "manual" and recorded.offset > offset
    if isinstance(event, Posted):
        return recorded.offset == offset
    return isinstance(event, _ENDINGS) and offset in event.inputs


def answer_to(events: Sequence[Recorded], offset: int) -> list[Recorded]:
    """The events of the turn that ended the input at `offset`, inputs first; empty if none has."""
    ending = next((r.event for r in events if ends(r, offset)), None)
    if ending is None:
        return []
    turn = getattr(ending, "turn", None)
    taken = {offset, *getattr(ending, "inputs", ())}
    return [
        r
        for r in events
        if r.event is ending
        or (isinstance(r.event, Input) and r.offset in taken)
        or (turn and getattr(r.event, "turn", None) == turn)
    ]
