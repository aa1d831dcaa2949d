"""A caller who waits on an open response: accepts its input, hosts its turn or follows another."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.agent import Agent
from cueline.engine.append import Writer
from cueline.engine.heard import Emit, Heard
from cueline.engine.model import Model
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.reader import LOOK_EVERY, Reader
from cueline.engine.takeover import begun
from cueline.engine.timers import arm_follow_up
from cueline.engine.turn import Host, Limits, run
from cueline.engine.wake import GRACE, arm, come_again, soon, wake_next
from cueline.engine.window import missing, stretch
from cueline.errors import CuelineError, SessionNotFound, TurnRunning, Unavailable, unexpected
from cueline.log.events import (
    Event,
    InputsOverran,
    PartlyAnswered,
    Recorded,
    TurnHandedOver,
    TurnInterrupted,
)
from cueline.log.segment import Segment, Session, Tail
from cueline.log.state import State, Waiting, next_batch, offsets

logger = logging.getLogger(__name__)

LAST_LOOKS = 3
"""At a log in which an interrupted turn's host may still tell what it had said."""


@dataclass(slots=True)
class Caller:
    """Who waits for the answer of one accepted input."""

    ports: Ports
    model: Callable[[], Model]
    limits: Limits
    writer: Writer
    session: Session
    agent: Agent
    tail: Tail
    since: int | None
    accepted: Accepted | Repeated
    stopped: threading.Event = field(default_factory=threading.Event)
    _leaving: bool = False
    """The caller may stop waiting at any moment: begin nothing more here."""
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
        try:
            return self._run(Heard(self.accepted.offset, self.since, emit), heard)
        except Unavailable:
            self.give_up()  # so that a repeat is known for one
            raise

    def _run(self, told: Heard, heard: bool) -> list[Recorded]:
        log, session, head = self.ports.log, self.writer.session, self.accepted.head
        mine = self.accepted.segment if isinstance(self.accepted, Accepted) else None
        first = self.accepted.offset if self.since is None else self.since + 1
        gone = self.tail.head.state.is_removed
        for page in stretch(log, session, self.tail, first, mine.at if mine else head.at):
            told.hear([r for r in page if not gone(r.offset) or r.offset >= self.accepted.offset])
            if told.over:
                return told.answer()
        reader = Reader(log, session, head, told.hear)
        if mine:
            told.hear(mine.recorded())
            if self._hosting:
                self._host(self._hosting, mine, reader, told, heard)
        if not told.ended:
            self._follow(told, reader, heard)
        return told.answer()

    def _follow(self, told: Heard, reader: Reader, heard: bool) -> None:
        """Until the input has ended, whoever answers it: that may become this process."""
        clock = self.ports.clock
        help_at = clock.monotonic() + 2 * self.limits.lease
        looks, patience = LAST_LOOKS, GRACE / LOOK_EVERY
        while not (told.over or reader.state.deleted or self.stopped.is_set()):
            try:
                if patience > 0 and _words_may_come(reader.passed):
                    patience -= 1
                elif began := self._begin(reader):
                    self._host(*began, reader, told, heard)
                    if told.ended:
                        return
                if reader.look():
                    continue
            except Unavailable as error:  # the next look may go through
                logger.warning("A look at the log was lost", extra=unexpected(error))
            looks -= told.ended
            if not looks:
                return
            if clock.monotonic() > help_at:  # its wake-ups may have died with their senders
                help_at += 2 * self.limits.lease
                asked = WakeUp(self.writer.session, guards=self.accepted.offset + 1)
                self.ports.wake_ups.send(asked)
            clock.sleep(LOOK_EVERY)

    def _begin(self, reader: Reader) -> tuple[str, Segment] | None:
        """Begins the turn that takes the input, once that is what comes next."""

        def batch(state: State) -> tuple[Waiting, ...]:
            idle = not (state.open or state.deleted or self._leaving)
            taken = next_batch(state, soon(self.ports.clock)) if idle else ()
            return taken if self.accepted.offset in offsets(taken) else ()

        if not batch(reader.state):
            return None
        turn = self.ports.clock.id()
        confirm = arm(self.ports, self.writer.session, reader.head.at, self.limits.lease)

        def build(state: State, _: int) -> Sequence[Event]:
            taken = batch(state)
            return (begun(turn, taken),) if taken else ()

        self._hosting = turn
        try:
            head, segment = self.writer.append(reader.head, build)
        except SessionNotFound:
            segment = None  # made anew; the reader will find the end of this one
        if not segment:
            self._hosting = None
            return None
        confirm(self.accepted.offset)
        wake_next(self.ports, self.writer.session, head)  # what is to be said beside it
        self._catch_up(reader, segment)
        return turn, segment

    def _catch_up(self, reader: Reader, segment: Segment) -> None:
        while reader.head.at < segment.end and not self.stopped.is_set():
            reader.go_past(segment)
            try:
                reader.look()
            except Unavailable as error:
                logger.warning("A look at the log was lost", extra=unexpected(error))
                self.ports.clock.sleep(LOOK_EVERY)

    def _host(self, turn: str, began: Segment, reader: Reader, told: Heard, heard: bool) -> None:
        session = self.writer.session
        host = Host(
            ports=self.ports,
            model=self.model,
            writer=self.writer,
            reader=reader,
            window=partial(missing, self.ports.log, session, self.tail, began),
            turn=turn,
            session=self.session,
            limits=self.limits,
            deadline=self.ports.clock.monotonic() + self.limits.turn,
            emit=told.emit,
            heard=heard,
        )
        run(host, self.agent)
        self._hosting = None
        wake_next(self.ports, session, reader.head)
        with suppress(CuelineError):  # the turn's own wake-up does that too
            come_again(self.ports, session, reader.state, WakeUp(session, guards=reader.head.at))
            arm_follow_up(self.ports, session, reader.head)

    def give_up(self) -> TurnRunning | None:
        """The caller stops waiting; the turn goes on, and answers a repeat of the input.

        None where the input has ended by now, so that `run` returns its answer. Where this
        process may be stopped once its response has ended, the turn goes on in another.
        """
        waits, turn, handed_over = False, "", False
        self._leaving = True

        def build(state: State, _: int) -> Sequence[Event]:
            nonlocal waits, turn, handed_over
            offset, known = self.accepted.offset, {r.offset for r in state.repeats}
            waits = _waits(state, offset)
            late = [i for i in state.unfinished if i.offset == offset and i.digest]
            running = next((t for t in state.turns if offset in offsets(t.inputs)), None)
            turn = running.id if running else ""
            handed_over = bool(turn) and self.limits.freezes and turn == self._hosting
            events: list[Event] = []
            if late and offset not in known:
                events.append(InputsOverran(inputs=(offset,)))
            if handed_over:
                events.append(TurnHandedOver(turn=turn))
            return events

        try:
            head = self.ports.log.tail(self.writer.session).head
            if head.incarnation == self.accepted.head.incarnation:
                head, _ = self.writer.append(head, build)
            if handed_over:
                wake_next(self.ports, self.writer.session, head)
        except SessionNotFound:
            waits = False
        except Unavailable:
            waits = True  # then a repeat is not known for one, and a wake-up takes the turn over
        if not waits:
            self._leaving = False
            return None
        self.stopped.set()
        return TurnRunning(
            "The answer takes longer than this request may last. The turn goes on, and its answer "
            "will be in the session's events; the same message sent again waits for it.",
            turn=turn,
            retry_after=1,
        )


def _words_may_come(passed: Sequence[Recorded]) -> bool:
    """A turn has been interrupted, and its host has not told what it had said."""
    stopped = {r.event.turn for r in passed if isinstance(r.event, TurnInterrupted)}
    return bool(stopped - {r.event.turn for r in passed if isinstance(r.event, PartlyAnswered)})


def _waits(state: State, offset: int) -> bool:
    """A suspended input has ended for who posted it."""
    return any(i.offset == offset for i in state.unfinished)


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
        clock = self.ports.clock
        for _ in range(round(GRACE / LOOK_EVERY)):
            if not _just_interrupted(tail, clock.now()):
                break
            clock.sleep(LOOK_EVERY)
            tail = self.ports.log.tail(session.id, self.limits.window_bytes)
        writer = Writer(self.ports.log, self.ports.clock, session.id, trace_id)
        accepted = accept(self.ports, writer, tail, arrival, self.limits.lease, hosts=True)
        self.ports.sessions.touch(session, self.ports.clock.now())
        return Caller(
            self.ports,
            self.model,
            self.limits,
            writer,
            session,
            agent,
            tail,
            arrival.since,
            accepted,
        )


def _just_interrupted(tail: Tail, now: int) -> bool:
    """Somebody stops a turn and speaks at once: the answer should know what had been said."""
    recent = [r for r in tail.events if now - r.created_at < GRACE * 1000]
    return not tail.head.state.open and _words_may_come(recent)
