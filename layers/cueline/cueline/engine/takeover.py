"""`plan`: what a wake-up appends to a session that it looks at."""

from collections.abc import Collection, Sequence
from typing import Any

from cueline.log.events import AsideBegan, Event, InputsFailed, TurnAbandoned, TurnBegan
from cueline.log.fold import fold
from cueline.log.state import (
    MAX_TRIES,
    State,
    Turn,
    Waiting,
    given_up,
    next_batch,
    offsets,
    ready,
    trace_of,
    waiting_asides,
)


def plan(
    state: State,
    at: int,
    dead: Collection[str],
    turn: str,
    now: int,
) -> tuple[Event, ...]:
    """Takeovers of the `dead` turns, then the begin of `turn` if one is possible by `now` (ms)."""
    events: list[Event] = []

    def add(event: Event) -> None:
        nonlocal state
        state = fold(state, at + len(events), event)
        events.append(event)

    for found in state.turns:
        if found.id not in dead:
            continue
        add(TurnAbandoned(turn=found.id))
        for waiting in found.inputs:
            if state.tries[waiting.offset] > MAX_TRIES:
                add(InputsFailed(inputs=given_up(state, waiting), trace=waiting.trace))
                for told in ready(Turn(found.id, (waiting,))):
                    add(told)
    if not state.open:
        if batch := next_batch(state, now):
            add(begun(turn, batch))
    elif asides := waiting_asides(state)[:1]:
        add(AsideBegan(turn=turn, inputs=offsets(asides), **_told(asides)))
    return tuple(events)


def begun(turn: str, batch: Sequence[Waiting]) -> TurnBegan:
    """The begin of a turn that takes these."""
    return TurnBegan(turn=turn, inputs=offsets(batch), **_told(batch))


def _told(inputs: Sequence[Waiting]) -> dict[str, Any]:
    """What whoever is told of the turn wants to know of its begin."""
    trace = trace_of(inputs)
    again = any(i.told and i.trace == trace for i in inputs)
    return {"trace": trace, "again": again} if trace else {}
