"""`plan`: what a wake-up appends to a session that it looks at."""

from collections.abc import Collection

from cueline.log.events import AsideBegan, Event, InputsFailed, TurnAbandoned, TurnBegan
from cueline.log.fold import fold
from cueline.log.state import MAX_TRIES, State, given_up, next_batch, offsets, waiting_asides


def plan(state: State, at: int, dead: Collection[str], turn: str) -> tuple[Event, ...]:
    """Takeovers of the `dead` turns, then the begin of `turn` if one is possible."""
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
                add(InputsFailed(inputs=given_up(state, waiting)))
    if not state.open:
        if batch := next_batch(state):
            add(TurnBegan(turn=turn, inputs=offsets(batch)))
    elif asides := waiting_asides(state):
        add(AsideBegan(turn=turn, inputs=offsets(asides[:1])))
    return tuple(events)
