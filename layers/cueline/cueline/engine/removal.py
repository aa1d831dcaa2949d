"""Removing all that was said from some place on: one event, which also ends what runs there."""

from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.wake import wake_next
from cueline.errors import Conflict, SessionNotFound
from cueline.log.events import Event, EventsRemoved, InputsWithdrawn
from cueline.log.fold import reduce
from cueline.log.segment import Session
from cueline.log.state import MAX_REMOVED, State, interruption, offsets


def remove_events(ports: Ports, session: Session, first: int, trace_id: str) -> None:
    """Everything from `first` on is as if it had never been said, for people and for the model.

    Writes nothing where there is nothing. Raises Conflict for what has been summed up, which lives
    on in the summary; SessionNotFound.
    """

    def build(state: State, at: int) -> tuple[Event, ...]:
        if state.deleted:
            raise SessionNotFound(session.session_key)
        if first >= at or _gone(state, first, at):
            return ()
        if state.compacted and first <= state.compacted[0]:
            raise Conflict(
                "What was said there has been summed up, and the summary stays. Remove a later "
                "part, or begin a new session."
            )
        if len(state.removed) >= MAX_REMOVED and state.removed[-1][1] + 1 < first:
            raise Conflict("Too many parts of this session have been removed; begin a new one.")
        return (*closing(state, first, at), EventsRemoved(first=first))

    writer = Writer(ports.log, ports.clock, session.id, trace_id)
    head, removed = writer.append(ports.log.tail(session.id).head, build)
    if removed:
        wake_next(ports, session.id, head)


def closing(state: State, first: int, at: int) -> tuple[Event, ...]:
    """What ends every running turn, and withdraws what waits from `first` on."""
    stopped = interruption(state)
    state = reduce(state, at, stopped)
    suspended = {o for inputs in state.suspended.values() for o in inputs}
    waiting = {o for o in {*offsets(state.pending), *suspended} if o >= first}
    return (*stopped, *((InputsWithdrawn(inputs=tuple(sorted(waiting))),) if waiting else ()))


def _gone(state: State, first: int, at: int) -> bool:
    """All of it has been removed already."""
    return any(a <= first and b == at - 1 for a, b in state.removed)
