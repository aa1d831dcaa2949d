"""A session's events from an offset on: what is there, and then what comes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cueline.doors.triggered_responses.event_wire import ListQuery
from cueline.doors.triggered_responses.view import View
from cueline.engine.append import after
from cueline.engine.window import stretch
from cueline.errors import SessionNotFound
from cueline.log.events import Recorded
from cueline.log.segment import Head, Tail

MAX_LIST_BYTES = 5_000_000
"""Of the events in one answer; a caller goes on after the last one that it has."""


@dataclass(slots=True)
class Follower:
    """Goes through a log, and gives what the query wants of it, each event as JSON in ASCII."""

    view: View
    query: ListQuery
    tail: Tail
    _head: Head = field(init=False)

    def __post_init__(self) -> None:
        self._head = self.tail.head

    def stored(self) -> Iterator[list[str]]:
        """Page by page, what was there when the tail was read. Raises Unavailable."""
        ports, session = self.view.ports, self.view.session
        for page in stretch(ports.log, session.id, self.tail, self.query.first, self.tail.head.at):
            yield self._wanted(page)

    def listed(self) -> list[str]:
        """All of it, or as much as fits into one answer; the order is the log's."""
        events: list[str] = []
        size = 0
        for page in self.stored():
            for event in page:
                size += len(event)
                if events and size > MAX_LIST_BYTES:
                    return events
                events.append(event)
        return events

    def look(self) -> list[str]:
        """What has come since. Raises SessionNotFound where the session has ended, Unavailable.

        Where nothing has, it is one read of half a request unit, which may lag.
        """
        log, session = self.view.ports.log, self.view.session
        new: list[str] = []
        while found := log.segment(session.id, session.incarnation, self._head.at, lags=True):
            if found.state.deleted:
                raise SessionNotFound(session.id)
            self._head = after(self._head, found)
            self.view.state = found.state
            new += self._wanted(found.recorded())
        return new

    def _wanted(self, recorded: Iterable[Recorded]) -> list[str]:
        shown = (self.view.listed(one) for one in recorded)
        return [json.dumps(one, allow_nan=False) for one in shown if one and self.query.wants(one)]
