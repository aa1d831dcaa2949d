"""Hiding and erasing: the mark beside an event first, then an event that announces it."""

from collections.abc import Sequence

from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.window import event_at
from cueline.errors import Conflict, EventNotFound, InvalidRequest, SessionNotFound
from cueline.log.events import (
    SAYING,
    Compacted,
    Event,
    EventMarked,
    Input,
    Mark,
    Recorded,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.state import State, offsets

LOOKED_BACK = 16_384
"""Bytes of the log in which an announcement is looked for before it is repeated."""


def mark_event(
    ports: Ports, session: Session, offset: int, mark: Mark | None, trace_id: str
) -> Recorded:
    """Hides or erases an event, or shows it again with None, and announces that: as it is then.

    Whoever dies in between has marked it and told nobody, so a repeat does both; it announces
    again only what was not announced lately. Raises EventNotFound for bookkeeping and for what is
    erased (but erasing may be repeated), InvalidRequest for a summary, Conflict for what a turn
    still works with, SessionNotFound.
    """
    head = ports.log.tail(session.id).head
    if head.incarnation != session.incarnation or head.state.deleted:
        raise SessionNotFound(session.session_key)
    found = _at(ports, session, offset)
    if not isinstance(found.event, SAYING) or (found.mark == "erased" and mark != "erased"):
        raise _missing(session, offset)
    if isinstance(found.event, Compacted):
        why = "is the summary of events that the model does not see any more"
        raise InvalidRequest(f"This event {why}; it stays.", {"event_id": why})
    if in_use(head.state, found):
        raise Conflict("A turn still works with this event. Mark it once the turn has ended.")
    marked = ports.log.mark(session.id, session.incarnation, offset, mark)
    if not marked or marked.mark != mark:
        raise _missing(session, offset)  # somebody has erased it meanwhile
    _announce(ports, session, offset, trace_id)
    ports.sessions.touch(session, ports.clock.now())
    return marked


def in_use(state: State, recorded: Recorded) -> bool:
    """Whether a turn that runs, or will go on, still needs the event as it is."""
    waiting = {o for inputs in state.suspended.values() for o in inputs}
    unfinished = waiting.union(offsets(state.unfinished))
    if isinstance(recorded.event, Input):
        return recorded.offset in unfinished
    if state.running(getattr(recorded.event, "turn", "")):
        return True
    # Small servers number their calls anew in each answer: what is older is of another turn.
    call = getattr(recorded.event, "call", "")
    known = call in state.suspended or call in state.tools
    return bool(call) and known and recorded.offset > min(unfinished, default=recorded.offset)


def _announce(ports: Ports, session: Session, offset: int, trace_id: str) -> None:
    """Each try looks at the mark anew: of two who mark at once, the last one told is the truth."""
    tail = ports.log.tail(session.id, LOOKED_BACK)

    def build(state: State, _: int) -> tuple[Event, ...]:
        if state.deleted:
            raise SessionNotFound(session.session_key)
        now = _at(ports, session, offset).mark or "shown"
        return (EventMarked(offset=offset, mark=now),)

    if build(tail.head.state, tail.head.at) != _newest(tail.events, offset):
        writer = Writer(ports.log, ports.clock, session.id, trace_id)
        writer.append(tail.head, build)


def _newest(events: Sequence[Recorded], offset: int) -> tuple[Event, ...]:
    """The newest announcement for the event at `offset`, if there is one."""
    told = (r.event for r in reversed(events) if isinstance(r.event, EventMarked))
    return tuple(event for event in told if event.offset == offset)[:1]


def _at(ports: Ports, session: Session, offset: int) -> Recorded:
    if found := event_at(ports.log, session.id, session.incarnation, offset):
        return found
    raise _missing(session, offset)


def _missing(session: Session, offset: int) -> EventNotFound:
    return EventNotFound(event_id(session.id, session.incarnation, offset))
