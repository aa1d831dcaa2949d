"""What the memory adapters share. Segments are kept as JSON, as a table would keep them."""

import threading
from dataclasses import dataclass, field, replace

from cueline.adapters.marks import (
    marks_from_json,
    marks_to_json,
    notes_from_json,
    notes_to_json,
)
from cueline.adapters.sizes import flags_of, segment_size, segment_to_json
from cueline.engine.agent import Agent
from cueline.engine.ports import Customer, Key, Spend
from cueline.log.events import Recorded, events_from_json
from cueline.log.segment import Keyed, Segment, Session, record
from cueline.log.state import State, state_from_json, state_to_json

Place = tuple[int, int]
"""Incarnation and offset; the larger is the newer."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A segment without its place."""

    events: str
    state: str
    attempt: str
    written_at: int
    trace_id: str
    marks: str = ""
    notes: str = ""
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, segment: Segment) -> "Stored":
        events, state = segment_to_json(segment)
        return cls(
            events,
            state,
            segment.attempt,
            segment.written_at,
            segment.trace_id,
            marks_to_json(segment.marks),
            notes_to_json(segment.notes),
            flags_of(segment),
        )

    def at(self, at: int) -> Segment:
        events, state = events_from_json(self.events), state_from_json(self.state)
        marks, notes = marks_from_json(self.marks), notes_from_json(self.notes)
        return Segment(
            at, events, state, self.attempt, self.written_at, self.trace_id, marks, notes
        )

    def size(self, session: str) -> int:
        return segment_size(
            session,
            self.events,
            self.state,
            self.attempt,
            self.trace_id,
            self.marks,
            self.notes,
            flags=self.flags,
        )

    def recorded(self, at: int) -> tuple[Recorded, ...]:
        marks, notes = marks_from_json(self.marks), notes_from_json(self.notes)
        events = events_from_json(self.events)
        return record(at, self.written_at, self.trace_id, events, marks, notes)

    def blank(self) -> "Stored":
        state = state_to_json(State(deleted=True))
        return replace(self, events="[]", state=state, marks="", notes="")


@dataclass(frozen=True, slots=True)
class Taken:
    """An idempotency key, by which attempt, and until when, in seconds since 1970."""

    keyed: Keyed
    attempt: str
    until: int


@dataclass(slots=True)
class Store:
    """What belongs to a session is under its global id. Hold `lock` to touch any."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    segments: dict[str, dict[Place, Stored]] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    beats: dict[str, dict[tuple[int, str], int]] = field(default_factory=dict)
    keyed: dict[str, dict[tuple[int, str], Taken]] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    spent: dict[tuple[str, str], Spend] = field(default_factory=dict)
    """By account and day."""

    def log(self, session: str) -> dict[Place, Stored]:
        return self.segments.setdefault(session, {})
