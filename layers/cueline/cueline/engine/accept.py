"""Taking an input in: it is in the log, and somebody will look at it, before it is acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass

from cueline.engine.append import Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.errors import SessionNotFound, TooManyPending, TurnRunning
from cueline.log.events import Event, Input, TurnBegan
from cueline.log.segment import Head, Segment, Tail
from cueline.log.state import MAX_PENDING, State, next_batch, offsets, reduce

BUSY_RETRY_AFTER = 5
"""Seconds after which a caller who was refused may ask again."""


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


def accept(
    ports: Ports,
    writer: Writer,
    tail: Tail,
    new: Input,
    turn: str,
    lease: int,
    *,
    retries: bool,
) -> Accepted | Repeated:
    """Appends `new` and begins `turn` with it, unless that must wait for older inputs.

    `retries` says that the client repeats what failed by itself.
    Raises TurnRunning where another turn is open, TooManyPending, SessionNotFound.
    """
    quiet_for = ports.clock.now() - tail.head.written_at
    if tail.head.state.turns and quiet_for > 2_000 * lease:
        # Its host may have died after the begin, before the late wake-up that this function sends
        # below. Nobody was told that the input is in, but the next caller must not find it stuck.
        ports.wake_ups.send(WakeUp(writer.session))
    repeated: Repeated | None = None
    began = False

    def build(state: State, at: int) -> Sequence[Event]:
        nonlocal repeated, began
        began = False
        # A state that was not there at the first look is new.
        quiet = quiet_for if state is tail.head.state else 0
        if state.deleted:
            raise SessionNotFound(writer.session.partition(".")[2])
        if repeated := _repeats(state, new.digest, quiet, retries):
            return ()
        if state.open:
            raise TurnRunning(
                "This session is answering another message; send this one again later.",
                turn=state.open.id,
                retry_after=BUSY_RETRY_AFTER,
            )
        if len(state.pending) >= MAX_PENDING:
            raise TooManyPending(f"{MAX_PENDING} inputs are waiting in this session already.")
        batch = next_batch(reduce(state, at, (new,)))
        began = at in offsets(batch)
        return (new, TurnBegan(turn=turn, inputs=offsets(batch))) if began else (new,)

    build(tail.head.state, tail.head.at)  # refuses without a trace
    armed_at = ports.clock.monotonic()
    if not repeated:
        # The dead man's switch comes first: whatever begins has a wake-up on its way already.
        ports.wake_ups.send(WakeUp(writer.session), delay=lease)
    head, segment = writer.append(tail.head, build)
    if repeated:
        return repeated
    if not segment:
        raise AssertionError("accept always builds events")
    if not began:
        ports.wake_ups.send(WakeUp(writer.session))
    elif ports.clock.monotonic() - armed_at >= lease:
        # The first wake-up may have come, and found the session idle, before the begin was there.
        ports.wake_ups.send(WakeUp(writer.session), delay=lease)
    return Accepted(segment.at, head, segment, turn if began else None)


def _repeats(state: State, digest: str, quiet_for: int, retries: bool) -> Repeated | None:
    """The input that `digest` repeats: it has not ended, or its turn may be asked for again."""
    if not digest:
        return None
    known = state.unfinished
    if state.repeatable and state.repeatable.answers(quiet_for, retries):
        known += state.repeatable.inputs
    return next((Repeated(i.offset) for i in known if i.digest == digest), None)
