"""Taking an input in: it is in the log, and somebody will look at it, before it is acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass

from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.wake import GRACE, arm
from cueline.errors import IdempotencyKeyReused, SessionNotFound, TooManyPending, TurnRunning
from cueline.log.events import Event, Input, TurnBegan
from cueline.log.segment import Head, Keyed, Segment, Tail
from cueline.log.state import (
    MAX_PENDING,
    State,
    interruption,
    next_batch,
    offsets,
    reduce,
    waiting_asides,
)

BUSY_RETRY_AFTER = 5
"""Seconds after which a caller who was refused may ask again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An input, and what its caller wants."""

    input: Input
    queues: bool = True
    """It may come while a turn runs, and does to that what its policy says; else it is refused."""
    retries: bool = True
    """The client repeats what failed by itself."""
    since: int | None = None
    """The caller wants every event after this offset; with None those of its own turn."""
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The input is in the log. Where `turn` is given, the caller of `accept` must host it."""

    offset: int
    head: Head
    segment: Segment
    turn: str | None


@dataclass(frozen=True, slots=True)
class Repeated:
    """An identical input of the same caller is there already; its answer is the one to wait for."""

    offset: int
    head: Head


def accept(
    ports: Ports, writer: Writer, tail: Tail, arrival: Arrival, lease: int, *, hosts: bool
) -> Accepted | Repeated:
    """Appends the input, and begins a turn with it where its caller `hosts` and nothing else must
    come first.

    Raises TurnRunning where another turn is open and the input does not queue, TooManyPending,
    IdempotencyKeyReused, SessionNotFound.
    """
    if arrival.key and (
        known := ports.log.keyed(writer.session, tail.head.incarnation, arrival.key.key)
    ):
        return _known(known, arrival.key, tail.head)
    quiet_for = ports.clock.now() - tail.head.written_at
    if tail.head.state.turns and quiet_for > 2_000 * lease:
        # Its host may have died after the begin, before the late wake-up that `arm` sends. Nobody
        # was told that the input is in, but the next caller must not find it stuck.
        ports.wake_ups.send(WakeUp(writer.session))
    turn = ports.clock.id()
    repeated: int | None = None
    began = may_begin = hosts
    place = 0

    def build(state: State, at: int) -> Sequence[Event]:
        nonlocal repeated, began, place
        # A state that was not there at the first look is new.
        quiet = quiet_for if state is tail.head.state else 0
        if state.deleted:
            raise SessionNotFound(writer.session.partition(".")[2])
        repeated = _repeated(state, arrival.input.digest, quiet, arrival.retries)
        if repeated is not None:
            return ()
        if state.open and not arrival.queues:
            raise TurnRunning(
                "This session is answering another message. Send this one again later, or let it "
                "queue.",
                turn=state.open.id,
                retry_after=BUSY_RETRY_AFTER,
            )
        if len(state.pending) >= MAX_PENDING:
            raise TooManyPending(f"{MAX_PENDING} inputs are waiting in this session already.")
        new = arrival.input
        if new.policy == "aside" and not state.open:
            new = new.model_copy(update={"policy": "enqueue"})
        stopped = interruption(state) if new.policy == "interrupt" else ()
        place = at + len(stopped)
        after = reduce(state, at, (*stopped, new))
        batch = offsets(next_batch(after))
        began = may_begin and not after.open and place in batch
        if began:
            return (*stopped, new, TurnBegan(turn=turn, inputs=batch))
        return (*stopped, new.model_copy(update={"attended": True}) if hosts else new)

    build(tail.head.state, tail.head.at)  # refuses without a trace
    may_begin = began
    confirm = arm(ports, writer.session, lease) if may_begin and repeated is None else None
    try:
        head, segment = writer.append(tail.head, build, arrival.key)
    except KeyTakenError as taken:
        head = ports.log.tail(writer.session).head
        return _known(taken.keyed, arrival.key, head)
    if repeated is not None:
        return Repeated(repeated, head)
    if not segment:
        raise AssertionError("accept always builds events")
    if began and confirm:
        confirm()
    elif arrival.input.policy != "silent":
        ports.wake_ups.send(*_wake_up(writer.session, segment, lease))
    return Accepted(place, head, segment, turn if began else None)


def _known(keyed: Keyed, key: IdempotencyKey | None, head: Head) -> Repeated:
    if not key or keyed.body != key.body:
        raise IdempotencyKeyReused
    return Repeated(keyed.offset, head)


def _wake_up(session: str, segment: Segment, lease: int) -> tuple[WakeUp, int]:
    """And its delay. Where a turn is open its end comes first, and who ends it wakes somebody."""
    if segment.state.open and not waiting_asides(segment.state):
        return WakeUp(session, in_case=True), lease
    return WakeUp(session), GRACE if len(segment.events) > 1 else 0


def _repeated(state: State, digest: str, quiet_for: int, retries: bool) -> int | None:
    """The input that `digest` repeats: it has not ended, or its turn may be asked for again."""
    if not digest:
        return None
    known = state.unfinished
    if state.repeatable and state.repeatable.answers(quiet_for, retries):
        known += state.repeatable.inputs
    return next((i.offset for i in known if i.digest == digest), None)
