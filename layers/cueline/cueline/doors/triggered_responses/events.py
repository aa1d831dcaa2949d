"""One event of a session: read, and its metadata changed. And all events from one on, removed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cueline.doors.triggered_responses.calls import Call
from cueline.doors.triggered_responses.event_wire import EventEdit, EventQuery, RemovalQuery
from cueline.doors.triggered_responses.posted import check_metadata
from cueline.doors.triggered_responses.sessions import find
from cueline.doors.triggered_responses.shown import Fields
from cueline.doors.triggered_responses.view import View
from cueline.doors.triggered_responses.wire import parse, parse_query
from cueline.engine.removal import remove_events
from cueline.engine.window import event_at
from cueline.errors import EventNotFound, InvalidRequest
from cueline.log.events import Recorded, offset_in
from cueline.log.segment import Session, Tail

LOOKED_BACK = 1_000
"""Events before a removal among which the beginning of a trace is looked for."""
_PAGE = 200


@dataclass(frozen=True, slots=True)
class EventStream:
    """A whole answer as `text/event-stream`."""

    text: str


def get(call: Call) -> Fields | EventStream:
    """What is deleted is there still, without what was said. Raises EventNotFound."""
    query = parse_query(EventQuery, call.query)
    session, tail = find(call.ports, *call.session)
    _, shown = _found(call, session, tail)
    return EventStream(f"data: {json.dumps(shown, allow_nan=False)}\n\n") if query.sse else shown


def edit(call: Call) -> Fields:
    """Changes its metadata. Raises EventNotFound, also for what is deleted."""
    change = parse(EventEdit, call.json).metadata
    session, tail = find(call.ports, *call.session)
    recorded, shown = _found(call, session, tail)
    if shown["deleted"]:
        raise EventNotFound(call.event)
    if not change:
        return shown

    def changed(old: Mapping[str, Any]) -> Mapping[str, Any]:
        new = change.of(old)
        check_metadata(new)
        return new

    place = (session.id, session.incarnation, recorded.offset)
    noted = call.ports.log.annotate(*place, changed)
    wired = View(call.ports, session, tail.head.state).shown(noted) if noted else None
    if not wired or wired["deleted"]:
        raise EventNotFound(call.event)
    return wired


def _found(call: Call, session: Session, tail: Tail) -> tuple[Recorded, Fields]:
    """Raises EventNotFound for ids of other sessions, and of what this door does not show."""
    offset = offset_in(call.event, session.id, session.incarnation)
    if offset is not None:
        view = View(call.ports, session, tail.head.state)
        recorded = event_at(call.ports.log, session.id, session.incarnation, offset)
        if recorded and (shown := view.shown(recorded)):
            return recorded, shown
    raise EventNotFound(call.event)


# --- removal -------------------------------------------------------------------------------------


def remove(call: Call) -> None:
    """Removes all from an offset on, which must be where a trace begins; nothing is no error.

    Raises InvalidRequest, and Conflict for what has been summed up.
    """
    first = max(0, parse_query(RemovalQuery, call.query).min_offset)
    session, tail = find(call.ports, *call.session)
    view = View(call.ports, session, tail.head.state)
    if not (found := _first_shown(view, first)):
        return
    if found["trace_id"] in _traces(view, found["offset"]):
        raise InvalidRequest(
            f"The event at {found['offset']} is not the first of its trace "
            f"{found['trace_id']!r}; remove from where that begins, or from where another does."
        )
    remove_events(call.ports, session, found["offset"], call.trace_id)


def _first_shown(view: View, first: int) -> Fields | None:
    """The first event from there on that a list would have."""
    log, session = view.ports.log, view.session
    after = first - 1
    while found := log.read(session.id, session.incarnation, after, _PAGE):
        for recorded in found:
            if shown := view.listed(recorded):
                return shown
        after = found[-1].offset
    return None


def _traces(view: View, end: int) -> set[str]:
    """Of what a list would have just before `end`."""
    session, count = view.session, min(end, LOOKED_BACK)
    before = view.ports.log.read(session.id, session.incarnation, end - count - 1, count)
    return {shown["trace_id"] for recorded in before if (shown := view.listed(recorded))}
