"""Segments, the unit that is written; sessions; and the port of the log that stores them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from cueline.log.events import Event, Mark, Recorded, erased
from cueline.log.state import State, waits
from cueline.log.triggers import BuyTime, FollowUp

MAX_EVENTS = 16
"""Events in a segment. A reader after offset n queries from n - 15 and misses nothing."""
MAX_BYTES = 390_000
"""UTF-8 bytes of a segment's events and state together; DynamoDB's item limit is 409,600."""


GUEST = "guest"
"""The customer whom nobody has to make."""
LARGEST_PACK = 300_000
"""Bytes of events for whoever divides them among segments; the state has its room beside them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """1 to 16 events and the state after them. `at` is the offset of the first."""

    at: int
    events: tuple[Event, ...]
    state: State
    attempt: str
    """Tells a writer whose answer was lost that the segment in its way is its own."""
    written_at: int
    """Milliseconds since 1970, UTC, on the writer's clock."""
    trace_id: str = ""
    marks: Mapping[int, Mark] = field(default_factory=dict)
    """By offset: what has become of its events since it was written."""
    notes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """By offset: what an event's metadata has become since."""

    @property
    def end(self) -> int:
        """The offset that comes next."""
        return self.at + len(self.events)

    def recorded(self) -> tuple[Recorded, ...]:
        return record(self.at, self.written_at, self.trace_id, self.events, self.marks, self.notes)

    def marked(self, offset: int, mark: Mark | None) -> "Segment":
        """With this mark at `offset`; unchanged where it has it already, or is erased for good."""
        before = self.marks.get(offset)
        if before in (mark, "erased"):
            return self
        others = {o: m for o, m in self.marks.items() if o != offset}
        if mark is None:
            return replace(self, marks=others)
        events = list(self.events)
        notes = self.notes
        if mark == "erased":
            events[offset - self.at] = erased(events[offset - self.at])
            notes = {o: n for o, n in notes.items() if o != offset}
        return replace(self, events=tuple(events), marks={**others, offset: mark}, notes=notes)

    def annotated(
        self, offset: int, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> "Segment":
        """With what `change` makes of the metadata at `offset`; unchanged where that is the same,
        or what was said there is erased."""
        if self.marks.get(offset) == "erased":
            return self
        own = getattr(self.events[offset - self.at], "metadata", {})
        before = self.notes.get(offset, own)
        after = change(dict(before))
        return self if after == before else replace(self, notes={**self.notes, offset: after})


def record(
    at: int,
    written_at: int,
    trace_id: str,
    events: Sequence[Event],
    marks: Mapping[int, Mark] | None = None,
    notes: Mapping[int, Mapping[str, Any]] | None = None,
) -> tuple[Recorded, ...]:
    """The events of a segment in their places."""
    if not (marks or notes):
        return tuple(Recorded(at + n, written_at, trace_id, e) for n, e in enumerate(events))
    marks, notes = marks or {}, notes or {}
    return tuple(
        Recorded(at + n, written_at, trace_id, e, marks.get(at + n), notes.get(at + n))
        for n, e in enumerate(events)
    )


NOWHERE = -1
"""The offset of a key whose input is not taken in, and never will be."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """What an idempotency key stands for in one session, for a day at least."""

    key: str
    """A digest of the caller and the key as given."""
    body: str
    """A digest of the body: the same key with another one is refused."""
    offset: int
    """Of the input, or NOWHERE."""


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation with one agent, as configured; what happened in it is in its log."""

    agent_key: str
    session_key: str
    incarnation: int
    """Milliseconds since 1970 when it was made, and above every incarnation before it."""
    name: str
    created_at: int
    """Milliseconds since 1970, UTC."""
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    tti_minutes: int = 0
    """It expires this long after its newest segment; 0 is never."""
    version: int = 0
    """Counts the updates; an update names the one that it read."""
    mark: str = ""
    """Of the request that made it: tells a repeat of that from another one."""
    customer: str = GUEST
    """The id of who talks with the agent."""
    labels: tuple[str, ...] = ()
    consumed: Mapping[str, int] = field(default_factory=dict)
    """How far each kind of reader says that it has read: for its own use."""
    answers: str = ""
    """The key of the agent that answers, where it is not the session's own."""
    mode: Literal["auto", "manual"] = "auto"
    """For lists only, which look into no log: there it may lag. The log's state decides."""
    follow_ups: tuple[FollowUp, ...] | None = None
    """Stand for the agent's own."""
    buy_time: BuyTime | None = None
    """Stands for the agent's own."""
    building: bool = False
    """Its log is still being written, by who makes it: for everybody else it is not there."""
    collect_at: int = field(default=0, compare=False)
    """The store's own hint, in seconds since 1970: when it may drop META; 0 is never."""

    @property
    def id(self) -> str:
        """The global session id; `.` cannot occur in a key."""
        return f"{self.agent_key}.{self.session_key}"

    @property
    def place(self) -> tuple[int, str]:
        """In a list of all; `#` sorts below all that a key has."""
        return self.created_at, f"{self.session_key}#{self.agent_key}"

    @property
    def answering_agent(self) -> str:
        return self.answers or self.agent_key

    def expired(self, newest: int, now: int) -> bool:
        """Whether `newest`, the time of its newest segment, is too long before `now` (both ms)."""
        return 0 < self.tti_minutes * 60_000 <= now - max(newest, self.created_at)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a writer appends, and the state there."""

    incarnation: int
    at: int
    state: State
    written_at: int = 0
    """Of the newest segment; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Tail:
    """One look at a session: its META, its head, and its newest segments' events, in order."""

    session: Session | None
    """Its META item as stored, not yet judged: see `live`."""
    head: Head
    """Of the newest incarnation that any of its items has; incarnation 0 where there are none."""
    events: tuple[Recorded, ...] = ()
    whole: bool = True
    """The events reach back to offset 0."""

    def live(self, now: int) -> Session | None:
        """The session, unless it was never made, is being built, is deleted, or is expired at
        `now` (ms)."""
        found = self.session
        if not found or found.building or found.incarnation != self.head.incarnation:
            return None
        if self.head.state.deleted:
            return None
        # Where something is still to be answered, or to come at its time, nobody is idle.
        state = self.head.state
        idle = not (state.turns or state.scheduled or waits(state))
        return None if idle and found.expired(self.head.written_at, now) else found

    def over(self, now: int) -> bool:
        """Whether nothing in it has to be looked at: it is not live, and nobody is at work there.

        One that is being built has turns of the session that it is copied from.
        """
        building = self.session is not None and self.session.building
        return building or not (self.live(now) or self.head.state.turns)


class Log(Protocol):
    """The store of all sessions' logs. Reads are strongly consistent.

    Raises Unavailable where the store does not answer within its retries.
    """

    def tail(self, session: str, window: int = 0) -> Tail:
        """META, head, and the events of the newest segments: of one, of more where all fit.

        `window` is in bytes as stored, since those are what a read costs. All of a segment's item
        counts, names and values: events, the state after them, attempt, trace and keys. META
        does not. Of segments in a row by which nobody says anything (settings, who listens) only
        the newest 4 KB and the first are there, and count: a client that connects again and again
        pushes out nothing that was said.

        One query, as a rule; of a long log with a large window two, and one for each long row of
        such segments. Segments of older
        incarnations are left out, and what the newest compaction has made needless. Where the
        newest incarnation has only its META, the head is at 0 with an empty state.
        """

    def append(
        self, session: str, incarnation: int, segment: Segment, keyed: Keyed | None = None
    ) -> Segment | Keyed | None:
        """Writes the segment unless one is there; None is success, else the one in its way.

        With `keyed`, both are written or none: where its key is taken, whatever is in the
        segment's place, the answer is what that key stands for. The same attempt in the way is
        success too. Raises TooLarge before writing anything.
        """

    def keyed(self, session: str, incarnation: int, key: str) -> Keyed | None:
        """What the key stands for; None where it is free, or has expired. One item is read."""

    def claim(self, session: str, incarnation: int, keyed: Keyed) -> Keyed:
        """What the key stands for: where it is free that is `keyed`, which is written by itself.

        Of all who claim it, or append under it, at once one succeeds, and the others hear of that.
        """

    def segment(
        self, session: str, incarnation: int, at: int, *, lags: bool = False
    ) -> Segment | None:
        """The segment that starts at `at`; None where nothing has been appended there.

        One item is read: who follows a log asks for the place that comes next. A blanked segment
        has no events, and a state that says `deleted`. With `lags` what has just been written may
        be missed, for half the price: for who asks again anyway.
        """

    def read(self, session: str, incarnation: int, after: int, limit: int) -> Sequence[Recorded]:
        """Up to `limit` events with an offset above `after`, in order; fewer only at the end.

        Nothing of a deleted incarnation is returned. Each event has its mark, here and in tails
        and segments.
        """

    def mark(
        self, session: str, incarnation: int, offset: int, mark: Mark | None
    ) -> Recorded | None:
        """Sets the mark of the event at `offset`, or takes it away: the event as it is then.

        `erased` is for good, and removes what was said from the store (see `events.erased`).
        None where there is no such event, or nothing of this incarnation is left. May be repeated.
        """

    def annotate(
        self,
        session: str,
        incarnation: int,
        offset: int,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Recorded | None:
        """Sets the metadata of the event at `offset` to what `change` makes of it.

        `change` is given what its metadata is now (its own, or what it has become) and may be
        called again where somebody else changes it at the same time. None as for `mark`, and for
        what is erased. Raises TooLarge.
        """
