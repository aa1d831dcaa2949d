"""A fork: a new session whose log begins as that of another one did, with all of that closed.

The new session is there for nobody before its log is whole. What a dead process leaves behind half
built goes with its META, which expires within the hour, or with the next session of its key.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cueline.engine import sessions
from cueline.engine.append import after
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.reader import LOOK_EVERY, Reader
from cueline.engine.window import ends
from cueline.errors import InvalidRequest, SessionNotFound, Unavailable
from cueline.log.events import (
    SAYING,
    Acknowledged,
    Answered,
    Compacted,
    CompactionAsked,
    Event,
    Input,
    InputsWithdrawn,
    Listening,
    Recorded,
    TriggerScheduled,
    TurnBegan,
    erased,
    size_of,
)
from cueline.log.fold import reduce
from cueline.log.segment import LARGEST_PACK, MAX_EVENTS, Head, Segment, Session
from cueline.log.state import State, interruption, offsets

MOST_EVENTS = 20_000
"""Some 1,250 writes, one after the other, while the caller waits."""
WAIT_SECONDS = 20.0
"""From the start: the gateway ends a request after 29."""
IN_CASE_SECONDS = 60
"""After which somebody looks, where the maker of a fork died before it could send a wake-up."""
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Source:
    """What is copied: the session's events below `end`. With `compact` they are summed up then."""

    session: Session
    end: int
    compact: CompactionAsked | None = None
    payer: str = ""
    """The id of the API key that pays for that."""


def fork(ports: Ports, new: Session, source: Source, trace_id: str) -> Session:
    """Makes `new` with copies of the source's events, at their offsets and with their marks.

    Waits for the summary for a while, where one is asked for; it comes in any case. Raises
    SessionExists, AgentNotFound, InvalidRequest, and SessionNotFound where the source goes away.
    """
    if source.end > MOST_EVENTS:
        raise InvalidRequest(
            f"The session has more than {MOST_EVENTS:,} events; fork an earlier place of it.",
            {"from_session": "too long"},
        )
    until = ports.clock.monotonic() + WAIT_SECONDS
    # What has been removed from it by now is in no copy, wherever that ends.
    state = ports.log.tail(source.session.id).head.state
    # Its end is no update: who made it knows it as it was made.
    building = replace(new, building=True, version=-1, mode=state.mode)
    made = sessions.create(ports, building, trace_id)
    head = _copy(ports, made, source, state, trace_id)
    asked_at = head.at
    if source.compact:
        asked = Input(compact=source.compact, caller=source.payer)
        head = _append(ports, made, head, [asked], trace_id)
        in_case = WakeUp(made.id, guards=head.at, in_case=True)
        ports.wake_ups.send(in_case, delay=IN_CASE_SECONDS)
    finished = replace(made, building=False, version=0)
    if not ports.sessions.replace(finished):
        raise _in_the_way()
    if source.compact:
        ports.wake_ups.send(WakeUp(made.id, guards=head.at))
        _await(ports, finished, head, asked_at, until)
    return finished


def copied(recorded: Recorded) -> Event:
    """Without what knows a repeat of it: whoever says it in the fork says it anew.

    And without what was to come by itself, or to whom: it comes in the session that it was meant
    for.
    """
    match event := recorded.event:
        case Input() if event.digest:
            return event.model_copy(update={"digest": ""})
        case Answered() if event.follow_up:
            return event.model_copy(update={"follow_up": 0})
        case TriggerScheduled() | Listening():
            return Acknowledged(input=recorded.offset)
    return event


def closing(state: State, at: int, turn: str) -> tuple[Event, ...]:
    """What ends all that runs, waits, or is suspended in `state`; `at` is the next offset.

    A suspended call ends with a turn that takes a decision on it, and is interrupted at once;
    `turn` is its id.
    """
    events: list[Event] = [*interruption(state)]
    state = reduce(state, at, events)
    if state.pending:
        events.append(InputsWithdrawn(inputs=offsets(state.pending)))
    if state.suspended:
        first = at + len(events)
        decisions = [Input(policy="decision", call=call) for call in state.suspended]
        began = TurnBegan(turn=turn, inputs=tuple(range(first, first + len(decisions))))
        events += [*decisions, began]
        events += interruption(reduce(State(suspended=state.suspended), first, [*decisions, began]))
    return tuple(events)


def packs(events: Iterable[Recorded]) -> Iterator[Sequence[Recorded]]:
    """As few segments as hold them."""
    pack: list[Recorded] = []
    size = 0
    for recorded in events:
        more = size_of([recorded.event]) + len(json.dumps(recorded.metadata or {}).encode())
        if pack and (len(pack) == MAX_EVENTS or size + more > LARGEST_PACK):
            yield pack
            pack, size = [], 0
        pack.append(recorded)
        size += more
    if pack:
        yield pack


def _copy(ports: Ports, made: Session, source: Source, newest: State, trace_id: str) -> Head:
    """A segment has one time: that of the newest event that is copied into it."""
    head = Head(made.incarnation, 0, State())
    for pack in packs(_read(ports, source)):
        pack = [_left(r, newest) for r in pack]
        marks = {r.offset: r.mark for r in pack if r.mark}
        notes = {r.offset: r.metadata for r in pack if r.metadata is not None}
        events = [copied(r) for r in pack]
        new = replace(_segment(ports, head, events, trace_id), marks=marks, notes=notes)
        head = _put(ports, made, head, replace(new, written_at=pack[-1].created_at))
    rest = closing(head.state, head.at, ports.clock.id())
    for start in range(0, len(rest), MAX_EVENTS):
        head = _append(ports, made, head, rest[start : start + MAX_EVENTS], trace_id)
    return head


def _left(recorded: Recorded, state: State) -> Recorded:
    """Without a word of what was removed, also where its removal came later than the place; a
    summary stays, as it was made of what is there still."""
    says = isinstance(recorded.event, SAYING) and not isinstance(recorded.event, Compacted)
    if not (says and state.is_removed(recorded.offset)):
        return recorded
    return replace(recorded, event=erased(recorded.event), mark="erased", metadata=None)


def _read(ports: Ports, source: Source) -> Iterator[Recorded]:
    session, at = source.session, 0
    while at < source.end:
        count = min(_PAGE, source.end - at)
        found = ports.log.read(session.id, session.incarnation, at - 1, count)
        if not found:
            raise SessionNotFound(session.session_key)
        yield from found
        at = found[-1].offset + 1


def _append(
    ports: Ports, made: Session, head: Head, events: Sequence[Event], trace_id: str
) -> Head:
    return _put(ports, made, head, _segment(ports, head, events, trace_id))


def _segment(ports: Ports, head: Head, events: Sequence[Event], trace_id: str) -> Segment:
    state = reduce(head.state, head.at, events)
    attempt, now = ports.clock.id(), ports.clock.now()
    return Segment(head.at, tuple(events), state, attempt, now, trace_id)


def _put(ports: Ports, made: Session, head: Head, segment: Segment) -> Head:
    if ports.log.append(made.id, made.incarnation, segment):
        raise _in_the_way()
    return after(head, segment)


def _in_the_way() -> Unavailable:
    return Unavailable("Another request makes a session under this key; try again.")


def _await(ports: Ports, made: Session, head: Head, asked_at: int, until: float) -> None:
    """Looks until the summary is there, or has failed, or the time is up."""
    reader = Reader(ports.log, made.id, head)
    while ports.clock.monotonic() < until:
        reader.look()
        if reader.state.deleted or any(ends(r, asked_at) for r in reader.passed):
            return
        ports.clock.sleep(LOOK_EVERY)
