"""A session's events on the wire: listed, read, hidden, shown again, and deleted."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cueline.doors.agent_events import lists
from cueline.doors.agent_events.events import to_wire
from cueline.doors.shared import MAX_PAGE_BYTES
from cueline.engine.marks import mark_event
from cueline.engine.ports import Ports
from cueline.engine.sessions import find
from cueline.engine.window import event_at
from cueline.errors import EventNotFound, InvalidPageKey
from cueline.log.events import Compacted, Mark, Recorded, event_id, offset_in
from cueline.log.segment import Session, Tail

MOST_READS = 20
"""Reads of the log for one page; then it ends early, and says where the list goes on."""


@dataclass(frozen=True, slots=True)
class _View:
    """What a session shows; `compacted` is the summary that stands for older events."""

    session: Session
    compacted: Compacted | None
    is_removed: Callable[[int], bool]
    """Whether another door has removed what is at an offset."""

    @classmethod
    def of(cls, ports: Ports, session: Session, tail: Tail) -> "_View":
        """A summary that is hidden or erased stands for nothing."""
        place = tail.head.state.compacted
        found = ports.log.read(session.id, session.incarnation, place[0] - 1, 1) if place else ()
        events = [r.event for r in found if isinstance(r.event, Compacted) and not r.mark]
        return cls(session, events[0] if events else None, tail.head.state.is_removed)

    def wired(self, recorded: Recorded) -> dict[str, Any] | None:
        wired = None if self.is_removed(recorded.offset) else to_wire(self.session, recorded)
        covered = self.compacted and self.compacted.covers(recorded.offset)
        if wired and covered:
            return {**wired, "hide_reason": wired.get("hide_reason", "compaction")}
        return wired

    @property
    def first(self) -> int:
        """Nothing that stands before it is shown to who wants nothing hidden."""
        return self.compacted.first if self.compacted else 0


def page(ports: Ports, agent_key: str, session_key: str, query: lists.ListQuery) -> dict[str, Any]:
    """Shown events, oldest first; with `include_hidden` the hidden ones too, but none erased."""
    session, tail = find(ports, agent_key, session_key)
    view = _View.of(ports, session, tail)
    after = _after(session, query.page_key)
    if not query.include_hidden:
        after = max(after, view.first - 1)
    shown, last = _read(ports, view, after, query)
    more = None if last is None else event_id(session.id, session.incarnation, last)
    return {"events": shown, "metadata": lists.page_metadata(more)}


def get(ports: Ports, agent_key: str, session_key: str, event: str) -> dict[str, Any]:
    """Raises EventNotFound also for ids of other sessions, and of what is not shown."""
    session, tail = find(ports, agent_key, session_key)
    offset = _offset(session, event)
    view = _View.of(ports, session, tail)
    found = event_at(ports.log, session.id, session.incarnation, offset)
    if found and (wired := view.wired(found)):
        return wired
    raise EventNotFound(event)


def hide(
    ports: Ports, agent_key: str, session_key: str, event: str, trace_id: str
) -> dict[str, Any]:
    return _marked(ports, agent_key, session_key, event, "hidden", trace_id)


def unhide(
    ports: Ports, agent_key: str, session_key: str, event: str, trace_id: str
) -> dict[str, Any]:
    """What a summary stands for is hidden by that still."""
    return _marked(ports, agent_key, session_key, event, None, trace_id)


def delete(ports: Ports, agent_key: str, session_key: str, event: str, trace_id: str) -> None:
    """Removes what it said for good. May be repeated."""
    session, tail = find(ports, agent_key, session_key)
    _mark(ports, _View.of(ports, session, tail), event, "erased", trace_id)


def _marked(
    ports: Ports, agent_key: str, session_key: str, event: str, mark: Mark | None, trace_id: str
) -> dict[str, Any]:
    view = _View.of(ports, *find(ports, agent_key, session_key))
    wired = view.wired(_mark(ports, view, event, mark, trace_id))
    if not wired:
        raise EventNotFound(event)
    return wired


def _mark(ports: Ports, view: _View, event: str, mark: Mark | None, trace_id: str) -> Recorded:
    """Raises EventNotFound for what this door does not show."""
    session = view.session
    offset = _offset(session, event)
    for found in ports.log.read(session.id, session.incarnation, offset - 1, 1):
        if view.is_removed(offset) or not (found.mark or to_wire(session, found)):
            raise EventNotFound(event)
    return mark_event(ports, session, offset, mark, trace_id)


def _offset(session: Session, event: str) -> int:
    offset = offset_in(event, session.id, session.incarnation)
    if offset is None:
        raise EventNotFound(event)
    return offset


# --- paging --------------------------------------------------------------------------------------


def _after(session: Session, page_key: str | None) -> int:
    """A page key is the id of the last event that was looked at."""
    if page_key is None:
        return -1
    offset = offset_in(page_key, session.id, session.incarnation)
    if offset is None:
        raise InvalidPageKey
    return offset


def _read(
    ports: Ports, view: _View, after: int, query: lists.ListQuery
) -> tuple[list[dict[str, Any]], int | None]:
    """What is shown after offset `after`, and where more may follow; None at the end."""
    shown: list[dict[str, Any]] = []
    size, session = 0, view.session
    for _ in range(MOST_READS):
        # A plain turn has about as many events that are not shown as are.
        count = 2 * (query.limit - len(shown)) + 1
        for recorded in (found := ports.log.read(session.id, session.incarnation, after, count)):
            wired = view.wired(recorded)
            if wired and (query.include_hidden or "hide_reason" not in wired):
                size += len(json.dumps(wired))
                if len(shown) == query.limit or (shown and size > MAX_PAGE_BYTES):
                    return shown, after
                shown.append(wired)
            after = recorded.offset
        if len(found) < count:
            return shown, None
    return shown, after
