"""What is left of a log of which parts have been removed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    EventsRemoved,
    Finished,
    InputsFailed,
    InputsTaken,
    InputsWithdrawn,
    Recorded,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
    erased,
)

_BEGINS = (TurnBegan, AsideBegan, InputsTaken)
_COVERING = (*_BEGINS, Answered, Finished, TurnFailed, TurnInterrupted, TurnSuspended)
_LEFT = (TurnInterrupted, TurnAbandoned, TurnHandedOver, TurnPostponed, TurnSuspended)
_OF_TURNS = (*_BEGINS, Finished, *_LEFT)


def remaining(events: Iterable[Recorded]) -> Sequence[Recorded]:
    """Without what has been removed.

    That an input from before was taken, and has ended, stays without a word of what was said; and
    a summary stays, as it was made of what is there still.
    """
    events = tuple(events)
    stretches = [(e.event.first, e.offset) for e in events if isinstance(e.event, EventsRemoved)]
    if not stretches:
        return events

    def removed(offset: int) -> bool:
        return any(first <= offset <= last for first, last in stretches)

    turns = {
        r.event.turn
        for r in events
        if isinstance(r.event, _COVERING) and not all(map(removed, r.event.inputs))
    }
    left: list[Recorded] = []
    for recorded in events:
        event = recorded.event
        if not removed(recorded.offset) or isinstance(event, Compacted):
            left.append(recorded)
        elif isinstance(event, InputsFailed | InputsWithdrawn):
            left += [] if all(map(removed, event.inputs)) else [recorded]
        elif getattr(event, "turn", "") in turns:
            left += _without_words(recorded)
    return left


def _without_words(recorded: Recorded) -> Sequence[Recorded]:
    match event := recorded.event:
        case Answered():
            return [replace(recorded, event=Finished(turn=event.turn, inputs=event.inputs))]
        case TurnFailed():  # its code tells what a provider must not be sent again
            return [replace(recorded, event=erased(event))]
    return [recorded] if isinstance(event, _OF_TURNS) else []
