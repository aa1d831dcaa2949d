"""Taking an input in: it is in the log, and somebody will look at it, before it is acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass

from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.takeover import begun
from cueline.engine.wake import GRACE, arm, held_for, soon
from cueline.engine.window import event_at
from cueline.errors import (
    CallNotWaiting,
    ManualMode,
    SessionNotFound,
    TooManyPending,
    TurnRunning,
)
from cueline.log.events import Acknowledged, Event, Input, Posted
from cueline.log.fold import reduce
from cueline.log.segment import Head, Segment, Tail
from cueline.log.state import (
    MAX_PENDING,
    State,
    Waiting,
    due,
    interruption,
    next_batch,
    offsets,
    superseded,
    waiting_asides,
    withdrawal,
)

BUSY_RETRY_AFTER = 5
"""Seconds after which a caller who was refused may ask again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An input, and what its caller wants."""

    input: Input
    queues: bool = True
    """It may come while a turn runs, and does to that what its policy says; else it is refused."""
    alone: bool = False
    """It is refused, too, where something else waits for an answer."""
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

    @property
    def answered_by_people(self) -> bool:
        """It is no input for the agent: the session is in manual mode."""
        return isinstance(self._event, Posted)

    @property
    def silent(self) -> bool:
        """It asks for nothing, and nobody is told to look at it."""
        return isinstance(self._event, Input) and self._event.policy == "silent"

    @property
    def _event(self) -> Event:
        return self.segment.events[self.offset - self.segment.at]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An identical input of the same caller is there already; its answer is the one to wait for."""

    offset: int
    head: Head


def accept(
    ports: Ports, writer: Writer, tail: Tail, arrival: Arrival, lease: int, *, hosts: bool
) -> Accepted | Repeated:
    """Appends the input, and begins a turn with it where its caller `hosts` and nothing else must
    come first. In manual mode what is said is left to people, and only guided triggers speak.

    Raises TurnRunning where another turn is open and the input does not queue, TooManyPending,
    CallNotWaiting, ManualMode, IdempotencyKeyReused, SessionNotFound.
    """
    known = writer.known(tail.head.incarnation, arrival.key)
    if known is not None:
        head = tail.head
        if known >= head.at:  # whoever accepted it was quicker than this look
            head = ports.log.tail(writer.session).head
        return _attach(ports, writer, known, head, lease)
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
        if state.deleted:
            raise SessionNotFound(writer.session.partition(".")[2])
        repeated = _repeated(ports, writer.session, state, arrival, tail)
        if repeated is not None:
            return ()
        new = arrival.input
        if state.mode == "manual" and new.kind in ("message", "plain"):
            if new.trigger or new.source == "user":
                place, began = at, False
                return (_for_people(new),)
            # What the application tells the agent is none of what people answer.
            new = new.model_copy(update={"policy": "silent"})
        now = soon(ports.clock)
        _check_free(state, arrival, now)
        _check_room(state, new, now)
        if new.policy == "decision":
            _check_waiting(state, new.call)
        if new.policy == "aside":
            new = beside(new, state, now)
        stopped: tuple[Event, ...] = ()
        if new.policy == "interrupt":
            stopped = (*interruption(state), *withdrawal(superseded(state)))
        place = at + len(stopped)
        after = reduce(state, at, (*stopped, new))
        batch = next_batch(after, now)
        began = may_begin and not after.open and place in offsets(batch)
        if began:
            return (*stopped, new, begun(turn, batch))
        if hosts:
            new = new.model_copy(update={"attended": True})
        told = (Acknowledged(input=place),) if new.trace and not new.trigger else ()
        return (*stopped, new, *told)

    build(tail.head.state, tail.head.at)  # refuses without a trace
    may_begin = began
    above = tail.head.at + 2
    confirm = arm(ports, writer.session, above, lease) if may_begin and repeated is None else None
    try:
        head, segment = writer.append(tail.head, build, arrival.key)
    except (KeyTakenError, TurnRunning) as refused:
        # What it runs into may be the same event, which somebody else takes in at the same time.
        if isinstance(refused, KeyTakenError):
            known = refused.offset
        elif (known := writer.known(tail.head.incarnation, arrival.key)) is None:
            raise
        return _attach(ports, writer, known, ports.log.tail(writer.session).head, lease)
    if repeated is not None:
        return _attach(ports, writer, repeated, head, lease)
    if not segment:
        raise AssertionError("accept always builds events")
    accepted = Accepted(place, head, segment, turn if began else None)
    if began and confirm:
        confirm(place)
    elif not (accepted.silent or accepted.answered_by_people):
        wake_up, delay = _wake_up(ports, writer.session, place, head.state, lease)
        ports.wake_ups.send(wake_up, delay=max(delay, GRACE) if place > segment.at else delay)
    return accepted


def _check_free(state: State, arrival: Arrival, now: int) -> None:
    """What is held back for longer is nothing that it has to wait for.

    Raises TurnRunning.
    """
    if state.open and not arrival.queues:
        raise TurnRunning(
            "This session is answering another message. Send this one again later, or let it "
            "queue.",
            turn=state.open.id,
            retry_after=BUSY_RETRY_AFTER,
        )
    ready = max(now, arrival.input.not_before)
    if arrival.alone and any(i.asks and not i.held(ready) for i in state.pending):
        raise TurnRunning(
            "This session has another event to answer. Send this one again later.",
            turn="",
            retry_after=BUSY_RETRY_AFTER,
        )


def _check_room(state: State, new: Input, now: int) -> None:
    """What asks is never refused for what does not: its turn takes that along. Nor is what is
    ready for what is held back.

    Raises TooManyPending.
    """
    mine = Waiting.of(0, new)
    alike = [i for i in state.pending if (i.asks, i.held(now)) == (mine.asks, mine.held(now))]
    if len(alike) < MAX_PENDING:
        return
    if mine.asks:
        raise TooManyPending(f"{MAX_PENDING} inputs are waiting in this session already.")
    raise TooManyPending(
        f"{MAX_PENDING} messages that want no answer wait for the next one already; send one "
        "that wants an answer first."
    )


def beside(new: Input, state: State, now: int) -> Input:
    """Time is bought for the work of the open turn, or of the one that is about to begin; where
    there is none it is a turn of its own."""
    if state.open:
        return new.beside(state.open.id)
    if any(waiting.asks and waiting.policy != "aside" for waiting in due(state, now)):
        return new
    return new.model_copy(update={"policy": "enqueue"})


def _for_people(said: Input) -> Posted:
    """Raises ManualMode for a trigger: nobody but the agent could follow it."""
    if said.trigger:
        raise ManualMode
    return Posted(
        text="\n\n".join(said.texts), participant=said.participant, metadata=said.metadata
    )


def _check_waiting(state: State, call: str) -> None:
    """A call is decided on once: nobody may run it again, or reject what has run."""
    if call not in state.suspended or any(i.call == call for i in state.unfinished):
        raise CallNotWaiting(call)


def _attach(ports: Ports, writer: Writer, offset: int, head: Head, lease: int) -> Repeated:
    """Whoever accepted it first may have died before its wake-up."""
    if any(i.offset == offset and i.asks for i in head.state.pending):
        ports.wake_ups.send(*_wake_up(ports, writer.session, offset, head.state, lease))
    return Repeated(offset, head)


def _wake_up(
    ports: Ports, session: str, offset: int, state: State, lease: int
) -> tuple[WakeUp, int]:
    """And its delay. Where a turn is open its end comes first, and who ends it wakes somebody."""
    held_until = max(i.not_before for i in state.pending if i.offset == offset)
    if held := held_for(held_until, ports.clock):
        return WakeUp(session, guards=offset + 1), held
    if state.open and not waiting_asides(state):
        return WakeUp(session, guards=offset + 1, in_case=True), lease
    return WakeUp(session, guards=offset + 1), 0


def _repeated(ports: Ports, session: str, state: State, arrival: Arrival, tail: Tail) -> int | None:
    """The input that this one repeats: its answer is on its way, or may be asked for again."""
    digest = arrival.input.digest
    if not digest:
        return None
    for unfinished in state.unfinished:
        if unfinished.asks and unfinished.digest == digest:
            return unfinished.offset
    for known in reversed(state.repeats):
        if known.digest == digest and known.ended is not None:
            age = _age(ports, session, tail, known.ended)
            if known.answers(age, arrival.retries):
                return known.offset
    return None


def _age(ports: Ports, session: str, tail: Tail, offset: int) -> int:
    """Milliseconds since the event at `offset` was written."""
    if offset >= tail.head.at:
        return 0  # what was not there at the first look is new
    seen = next((r for r in tail.events if r.offset == offset), None)
    # A small look has only the newest segment.
    found = seen or event_at(ports.log, session, tail.head.incarnation, offset)
    return ports.clock.now() - (found.created_at if found else 0)
