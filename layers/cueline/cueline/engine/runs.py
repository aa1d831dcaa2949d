"""What has become of an input, as its log tells; taken back, and tried anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cueline.engine.accept import Arrival, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.ports import Ports
from cueline.engine.wake import wake_next
from cueline.engine.window import ends, event_at, read_pages
from cueline.errors import Conflict, EventNotFound
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsFailed,
    InputsTaken,
    InputsWithdrawn,
    ModeChanged,
    ModelCalled,
    Posted,
    Recorded,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
    event_id,
)
from cueline.log.segment import Tail
from cueline.log.state import State, Turn, covered, interruption, offsets, ready, withdrawal

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "dead"]
"""Of a run.

waiting    a tool call of it waits for somebody's approval
cancelled  somebody took it back, or interrupted it
failed     with something that will not pass by itself
dead       with something that may pass, or its processes died, as often as that may be
"""
OVER = ("succeeded", "failed", "cancelled", "dead")
_DIED = ("turn_abandoned", "not_worked_off")
_TAKEN = (TurnBegan, AsideBegan, InputsTaken)
"""A turn begins with its inputs, or takes them along: from then on its calls are for them too."""
_LEFT = (TurnAbandoned, TurnHandedOver, TurnPostponed)
"""Ends of turns after which what they had taken waits again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come. Times are in ms since 1970; 0 is not yet."""

    status: Status
    attempts: int = 0
    queued_at: int = 0
    started_at: int = 0
    ended_at: int = 0
    cost: int = 0
    """Nanodollars of its turns, which may have answered other inputs too."""
    tokens: int = 0
    text: str = ""
    """The answer."""
    code: str = ""
    """Of the failure, or of the last one after which it is tried again."""
    message: str = ""
    retryable: bool = False


def progress(ports: Ports, session: str, incarnation: int, offset: int) -> Progress | None:
    """Of the input at this place; None where there is none any more. Raises Unavailable."""
    head = ports.log.tail(session).head
    if head.incarnation != incarnation or head.state.deleted:
        return None
    seen: list[Recorded] = []
    found: Progress | None = None
    for page in read_pages(ports.log, session, incarnation, offset, head.at):
        seen += page
        if seen[0].offset != offset or not isinstance(seen[0].event, Input | Posted):
            return None
        found = _progress(seen, offset, head.state)
        if found.status in OVER:
            break
    return found


def _progress(seen: Sequence[Recorded], offset: int, now: State) -> Progress:
    turns: dict[str, int] = {}
    status: Status = "queued"
    ended = cost = tokens = 0
    text = code = message = ""
    retryable = False
    for one in seen:
        event = one.event
        if isinstance(event, _TAKEN) and offset in event.inputs:
            turns[event.turn] = one.created_at
            status = "running"
        turn = getattr(event, "turn", "")
        if isinstance(event, ModelCalled) and turn in turns:
            cost, tokens = cost + event.cost, tokens + event.input_tokens + event.output_tokens
        if isinstance(event, _LEFT) and turn in turns:
            status = "queued"
        if isinstance(event, TurnPostponed) and turn in turns:
            code, message, retryable = event.code, event.message, True
        # What waits for a decision does so too where people answer.
        kept = isinstance(event, ModeChanged) and status == "waiting"
        if kept or not ends(one, offset):
            continue
        status, ended = _ended(event), one.created_at
        if isinstance(event, TurnFailed | InputsFailed):
            code, message = event.code, event.message
            retryable = event.retryable or event.code in _DIED
        elif isinstance(event, Answered):
            # Nobody is shown what was hidden, or is as if it had never been said.
            shown = not (one.mark or now.is_removed(one.offset))
            text, code, message, retryable = event.text if shown else "", "", "", False
        if status in OVER:
            break
        ended = 0
    return Progress(
        status=status,
        attempts=len(turns),
        queued_at=seen[0].created_at,
        started_at=min(turns.values(), default=0),
        ended_at=ended,
        cost=cost,
        tokens=tokens,
        text=text,
        code=code,
        message=message,
        retryable=retryable,
    )


def _ended(event: Event) -> Status:
    match event:
        case TurnFailed():
            return "dead" if event.retryable else "failed"
        case InputsFailed():
            return "dead" if event.retryable or event.code in _DIED else "failed"
        case TurnInterrupted() | InputsWithdrawn():
            return "cancelled"
        case TurnSuspended():
            return "waiting"
    return "succeeded"


def cancel(ports: Ports, session: str, incarnation: int, offset: int, trace_id: str) -> bool:
    """Takes back what waits, and ends what runs; False where it is over already.

    Raises EventNotFound, Unavailable.
    """
    head = ports.log.tail(session).head
    if head.incarnation != incarnation or head.state.deleted:
        raise EventNotFound(event_id(session, incarnation, offset))

    def build(state: State, _: int) -> Sequence[Event]:
        waiting = [i for i in state.pending if i.offset == offset]
        if waiting:
            return withdrawal(waiting)
        together = {offset}  # what waits for one decision together ends together
        while more := {o for i in state.suspended.values() if together & {*i} for o in i}:
            if more <= together:
                break
            together |= more
        running = {o for turn in state.turns for o in covered(state, turn)}
        stopped = interruption(state) if running & together else ()
        calls = {call for call, i in state.suspended.items() if together & {*i}}
        deciding = tuple(i for i in state.pending if i.call in calls)
        left = {*together, *offsets(deciding)} - (running if stopped else set()) if calls else ()
        withdrawn = (InputsWithdrawn(inputs=tuple(sorted(left))),) if left else ()
        return (*stopped, *withdrawn, *ready(Turn("", deciding)))

    writer = Writer(ports.log, ports.clock, session, trace_id)
    after, segment = writer.append(head, build)
    if segment:
        wake_next(ports, session, after)
    return segment is not None


def try_anew(
    ports: Ports, tail: Tail, offset: int, lease: int, trace_id: str, key: IdempotencyKey | None
) -> int:
    """Says again what the input at `offset` said, as a new one: the offset of that.

    Raises Conflict where it is not over, EventNotFound, TooManyPending, SessionNotFound.
    """
    session = tail.session.id if tail.session else ""
    found = event_at(ports.log, session, tail.head.incarnation, offset)
    if not found or not isinstance(found.event, Input) or found.mark:
        raise EventNotFound(event_id(session, tail.head.incarnation, offset))
    state = tail.head.state
    if offset in offsets(state.unfinished) or any(offset in i for i in state.suspended.values()):
        raise Conflict("This run is not over; cancel it first.")
    again = found.event.model_copy(update={"digest": "", "not_before": 0, "not_after": 0})
    writer = Writer(ports.log, ports.clock, session, trace_id)
    taken = accept(ports, writer, tail, Arrival(again, key=key), lease, hosts=False)
    if tail.session:
        ports.sessions.touch(tail.session, ports.clock.now())
    return taken.offset
