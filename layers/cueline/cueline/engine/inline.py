"""A caller who waits on an open response: accepts its input, hosts its turn or follows another."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.append import Writer
from cueline.engine.call import Delta
from cueline.engine.model import Model
from cueline.engine.ports import Agent, Ports, WakeUp
from cueline.engine.reader import LOOK_EVERY, Reader
from cueline.engine.turn import Host, Limits
from cueline.engine.wake import arm, wake_next
from cueline.engine.window import answer_to, ends, missing, stretch
from cueline.errors import SessionNotFound, TurnRunning, Unavailable
from cueline.log.events import (
    Event,
    Input,
    PartlyAnswered,
    Recorded,
    TurnBegan,
    TurnHandedOver,
    TurnInterrupted,
    TurnOverran,
)
from cueline.log.segment import Segment, Session, Tail
from cueline.log.state import State, next_batch, offsets

Emit = Callable[[Delta | Recorded], None]

LAST_LOOKS = 3
"""At a log in which an interrupted turn's host may still tell what it had said."""


@dataclass(slots=True)
class Heard:
    """What the caller has been told of the log: all since an offset, or what became of its input.

    And nothing after the end of its input, which is at `offset`, however much of the log is known:
    so its own answer is the last, and a repeat is told the same.
    """

    offset: int
    since: int | None
    emit: Emit
    events: list[Recorded] = field(default_factory=list)
    ended: bool = False
    over: bool = False
    """Nothing more is told; what an interrupted turn had said still is once it has ended."""
    _turns: set[str] = field(default_factory=set)
    """Those that took the input."""
    _told: set[int] = field(default_factory=set)

    def hear(self, recorded: Sequence[Recorded]) -> None:
        for one in recorded:
            self.over = self.over or (self.ended and isinstance(one.event, TurnBegan))
            if self.over:
                return
            self.events.append(one)
            if ends(one.event, self.offset):
                self.ended, self.over = True, not isinstance(one.event, TurnInterrupted)
            elif isinstance(one.event, PartlyAnswered) and one.event.turn in self._turns:
                self.over = True
            self._tell(one)

    def _tell(self, one: Recorded) -> None:
        turn, inputs = getattr(one.event, "turn", None), getattr(one.event, "inputs", ())
        if self.offset in inputs and turn:
            self._turns.add(turn)
        if self.since is not None:
            self.emit(one)
        elif one.offset == self.offset or turn in self._turns or ends(one.event, self.offset):
            taken = (r for r in self.events if isinstance(r.event, Input) and r.offset in inputs)
            for told in (*taken, one):
                if told.offset not in self._told:
                    self._told.add(told.offset)
                    self.emit(told)

    def answer(self) -> list[Recorded]:
        """Empty where the input has not ended."""
        if self.since is None or not self.ended:
            return answer_to(self.events, self.offset)
        return self.events


@dataclass(slots=True)
class Caller:
    """Who waits for the answer of one accepted input."""

    ports: Ports
    model: Callable[[], Model]
    limits: Limits
    writer: Writer
    agent: Agent
    tail: Tail
    since: int | None
    accepted: Accepted | Repeated
    stopped: threading.Event = field(default_factory=threading.Event)
    _hosting: str | None = None
    """The turn that runs in this process."""

    def __post_init__(self) -> None:
        if isinstance(self.accepted, Accepted):
            self._hosting = self.accepted.turn

    def run(self, emit: Emit, *, heard: bool = False) -> list[Recorded]:
        """Blocks until the input has ended; its turn's events, inputs first, or all since.

        `emit` is told each event once, in order, and what a turn says at once where this process
        hosts it. `heard` says that a person may read that at once. Nothing is returned where the
        session ended, or the caller stopped waiting.
        """
        told = Heard(self.accepted.offset, self.since, emit)
        log, session, head = self.ports.log, self.writer.session, self.accepted.head
        mine = self.accepted.segment if isinstance(self.accepted, Accepted) else None
        first = self.accepted.offset if self.since is None else self.since + 1
        for page in stretch(log, session, self.tail, first, mine.at if mine else head.at):
            told.hear(page)
            if told.over:
                return told.answer()
        reader = Reader(log, session, head, told.hear)
        if mine:
            told.hear(mine.recorded())
            if self._hosting:
                self._host(self._hosting, mine, reader, emit, heard)
        if not told.ended:
            self._follow(told, reader, emit, heard)
        return told.answer()

    def _follow(self, told: Heard, reader: Reader, emit: Emit, heard: bool) -> None:
        """Until the input has ended, whoever answers it: that may become this process."""
        clock = self.ports.clock
        help_at = clock.monotonic() + 2 * self.limits.lease
        looks = LAST_LOOKS
        while not (told.over or reader.state.deleted or self.stopped.is_set()):
            if began := self._begin(reader):
                self._host(*began, reader, emit, heard)
                if told.ended:
                    return
            elif not reader.look():
                looks -= told.ended
                if not looks:
                    return
                if clock.monotonic() > help_at:  # its wake-ups may have died with their senders
                    help_at += 2 * self.limits.lease
                    self.ports.wake_ups.send(WakeUp(self.writer.session))
                clock.sleep(LOOK_EVERY)

    def _begin(self, reader: Reader) -> tuple[str, Segment] | None:
        """Begins the turn that takes the input, once that is what comes next."""

        def batch(state: State) -> tuple[int, ...]:
            taken = () if state.open or state.deleted else offsets(next_batch(state))
            return taken if self.accepted.offset in taken else ()

        if not batch(reader.state):
            return None
        turn = self.ports.clock.id()
        confirm = arm(self.ports, self.writer.session, self.limits.lease)

        def build(state: State, _: int) -> Sequence[Event]:
            taken = batch(state)
            return (TurnBegan(turn=turn, inputs=taken),) if taken else ()

        try:
            _, segment = self.writer.append(reader.head, build)
        except SessionNotFound:
            return None  # made anew; the reader will find the end of this one
        if not segment:
            return None
        confirm()
        while reader.head.at < segment.end and reader.look():
            pass
        return turn, segment

    def _host(self, turn: str, began: Segment, reader: Reader, emit: Emit, heard: bool) -> None:
        self._hosting = turn
        Host(
            ports=self.ports,
            model=self.model,
            writer=self.writer,
            reader=reader,
            window=missing(self.ports.log, self.writer.session, self.tail, began),
            turn=turn,
            limits=self.limits,
            deadline=self.ports.clock.monotonic() + self.limits.turn,
            emit=emit,
            heard=heard,
        ).run(self.agent)
        self._hosting = None
        wake_next(self.ports, self.writer.session, reader.state)

    def give_up(self) -> TurnRunning | None:
        """The caller stops waiting; the turn goes on, and answers a repeat of the input.

        None where the input has ended by now, so that `run` returns its answer. Where this
        process may be stopped once its response has ended, the turn goes on in another.
        """
        waits, turn, handed_over = False, "", False

        def build(state: State, _: int) -> Sequence[Event]:
            nonlocal waits, turn, handed_over
            waits = _waits(state, self.accepted.offset)
            running = (t for t in state.turns for i in t.inputs if i.offset == self.accepted.offset)
            if not (found := next(running, None)):
                return ()
            turn = found.id
            handed_over = self.limits.freezes and turn == self._hosting
            known = state.repeatable and state.repeatable.inputs == found.inputs
            events: list[Event] = [] if known else [TurnOverran(turn=turn)]
            return (*events, TurnHandedOver(turn=turn)) if handed_over else events

        try:
            self.writer.append(self.ports.log.tail(self.writer.session).head, build)
            if handed_over:
                self.ports.wake_ups.send(WakeUp(self.writer.session))
        except SessionNotFound:
            waits = False
        except Unavailable:
            # Then only the repeat is not known for one once the turn has ended.
            waits = True
        if not waits:
            return None
        self.stopped.set()
        return TurnRunning(
            "The answer takes longer than this request may last. The turn goes on, and its answer "
            "will be in the session's events; the same message sent again waits for it.",
            turn=turn,
            retry_after=1,
        )


def _waits(state: State, offset: int) -> bool:
    return any(i.offset == offset for i in state.unfinished) or any(
        offset in inputs for inputs in state.suspended.values()
    )


@dataclass(frozen=True, slots=True)
class Inline:
    """Accepts inputs whose callers wait."""

    ports: Ports
    model: Callable[[], Model]
    limits: Limits

    def accept(
        self, session: Session, agent: Agent, tail: Tail, arrival: Arrival, trace_id: str
    ) -> Caller:
        """Raises TurnRunning, TooManyPending, TooLarge, SessionNotFound."""
        writer = Writer(self.ports.log, self.ports.clock, session.id, trace_id)
        accepted = accept(self.ports, writer, tail, arrival, self.limits.lease, hosts=True)
        self.ports.sessions.touch(session, self.ports.clock.now())
        return Caller(
            self.ports, self.model, self.limits, writer, agent, tail, arrival.since, accepted
        )
