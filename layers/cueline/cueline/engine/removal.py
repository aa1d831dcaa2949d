"""Removing all that was said from some place on: one event, which also ends what runs there."""

from collections.abc import Collection

from cueline.engine.append import Writer, head_of
from cueline.engine.ports import Ports
from cueline.engine.wake import wake_next
from cueline.engine.window import event_at, read_pages
from cueline.errors import Conflict, SessionNotFound
from cueline.log.events import (
    Compacted,
    Event,
    EventsRemoved,
    InputsWithdrawn,
    ToolInput,
    TurnInterrupted,
    TurnReady,
)
from cueline.log.fold import reduce
from cueline.log.segment import MAX_EVENTS, Session
from cueline.log.state import (
    MAX_REMOVED,
    State,
    Turn,
    given_up,
    interruption,
    offsets,
    ready,
)


def remove_events(ports: Ports, session: Session, first: int, trace_id: str) -> None:
    """Everything from `first` on is as if it had never been said, for people and for the model.

    Writes nothing where there is nothing. Raises Conflict for what has been summed up, which lives
    on in the summary; SessionNotFound.
    """

    def stretch(start: int, end: int) -> list[Event]:
        pages = read_pages(ports.log, session.id, session.incarnation, start, end)
        return [recorded.event for page in pages for recorded in page]

    def gone(state: State, at: int) -> bool:
        """All of it has been removed already."""
        start = next((b + 1 for a, b in state.removed if a <= first <= b + 1), first)
        left = stretch(start, at) if at - start < MAX_EVENTS else ()
        return at <= start + len(left) and all(
            isinstance(event, TurnInterrupted | TurnReady) for event in left
        )

    def summed_up(state: State) -> bool:
        """A summary stands for what was said long before it was made, and nothing since."""
        if not state.compacted or first > state.compacted[0]:
            return False
        found = event_at(ports.log, session.id, session.incarnation, state.compacted[0])
        return bool(found and isinstance(found.event, Compacted) and first <= found.event.up_to)

    def build(state: State, at: int) -> tuple[Event, ...]:
        if state.deleted:
            raise SessionNotFound(session.session_key)
        if gone(state, at):
            return ()
        if summed_up(state):
            raise Conflict(
                "What was said there has been summed up, and the summary stays. Remove a later "
                "part, or begin a new session."
            )
        if len(state.removed) >= MAX_REMOVED and state.removed[-1][1] + 1 < first:
            raise Conflict("Too many parts of this session have been removed; begin a new one.")
        made = stretch(first, at) if state.suspended else ()
        calls = {event.call for event in made if isinstance(event, ToolInput)}
        return removal(state, first, at, calls)

    writer = Writer(ports.log, ports.clock, session.id, trace_id)
    head, removed = writer.append(head_of(ports, session), build)
    if removed:
        wake_next(ports, session.id, head)
        ports.sessions.touch(session, ports.clock.now())


def removal(state: State, first: int, at: int, calls: Collection[str]) -> tuple[Event, ...]:
    """Ends what runs, withdraws what waits from `first` on, and removes; `calls` were made since.

    Whoever has heard of a turn's begin hears behind all that is removed that it is over; and how,
    where what it was to answer stays.
    """
    stopped = interruption(state)
    kept = {turn.id for turn in state.turns if max(offsets(turn.inputs)) < first}
    ended: list[Event] = [
        e for e in stopped if isinstance(e, TurnInterrupted) and e.turn not in kept
    ]
    told = [event for event in stopped if event not in ended]
    state = reduce(state, at, stopped)
    waiting = {o for o in offsets(state.pending) if o >= first}
    begun = tuple(i for i in state.pending if i.begun)  # a turn between two hosts runs too
    for one in begun:
        waiting.update(given_up(state, one))
    for call, inputs in state.suspended.items():
        waiting.update(inputs if call in calls or inputs[-1] >= first else ())
    # What waits for one decision together ends together.
    while more := {o for i in state.suspended.values() if waiting & {*i} for o in i} - waiting:
        waiting |= more
    if waiting:
        ended.append(InputsWithdrawn(inputs=tuple(sorted(waiting))))
    return (*ended, EventsRemoved(first=first), *told, *ready(Turn("", begun)))
