"""A caller who waits on an open response: accepts its input, hosts its turn or follows another."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cueline.engine.accept import Accepted, Repeated, accept
from cueline.engine.append import Writer
from cueline.engine.model import Model
from cueline.engine.ports import Agent, Ports, WakeUp
from cueline.engine.turn import Delta, Emit, Host, Limits
from cueline.engine.window import answer_to, missing, read_from
from cueline.errors import SessionNotFound, TurnRunning, Unavailable
from cueline.log.events import Event, Input, Recorded, TurnHandedOver, TurnOverran
from cueline.log.segment import Session, Tail
from cueline.log.state import State, can_begin

LOOK_EVERY = 0.5
"""Seconds between looks at a turn that somebody else hosts: 2 request units a second."""


@dataclass(slots=True)
class Caller:
    """Who waits for the answer of one accepted input."""

    ports: Ports
    model: Callable[[], Model]
    limits: Limits
    writer: Writer
    agent: Agent
    tail: Tail
    accepted: Accepted | Repeated
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, emit: Emit, *, heard: bool = False) -> list[Recorded]:
        """Blocks until the input has ended; its turn's events, inputs first.

        `heard` says that a person may read what `emit` is told at once.

        `emit` is told everything at once where this process hosts the turn, and the events at
        its end where another does; no event twice. Nothing is returned where the session ended,
        or the caller stopped waiting.
        """
        accepted = self.accepted
        said: list[Recorded] = []

        def tell(what: Delta | Recorded) -> None:
            if isinstance(what, Recorded):
                said.append(what)
            emit(what)

        if isinstance(accepted, Accepted) and accepted.turn:
            events = missing(self.ports.log, self.writer.session, self.tail, accepted.segment)
            for recorded in accepted.segment.recorded():
                tell(recorded)
            host = Host(
                ports=self.ports,
                model=self.model,
                writer=self.writer,
                incarnation=accepted.head.incarnation,
                turn=accepted.turn,
                limits=self.limits,
                deadline=self.ports.clock.monotonic() + self.limits.turn,
                emit=tell,
                heard=heard,
            )
            head = host.run(self.agent, accepted.head, events)
            if can_begin(head.state):
                self.ports.wake_ups.send(WakeUp(self.writer.session))
            if answer := answer_to(said, accepted.offset):
                return answer
        answer = self._follow()
        told = {recorded.offset for recorded in said}
        for recorded in answer:
            if recorded.offset not in told:
                emit(recorded)
        return answer

    def _follow(self) -> list[Recorded]:
        """The answer, from whoever gives it."""
        incarnation, clock = self.tail.head.incarnation, self.ports.clock
        help_at = clock.monotonic() + 2 * self.limits.lease
        while not self.stopped.is_set():
            head = self.ports.log.tail(self.writer.session).head
            if head.incarnation != incarnation or not _waits(head.state, self.accepted.offset):
                offset = self.accepted.offset
                events = read_from(self.ports.log, self.writer.session, incarnation, offset)
                return answer_to(events, offset) or []
            if clock.monotonic() > help_at:  # its wake-ups may have died with their senders
                help_at += 2 * self.limits.lease
                self.ports.wake_ups.send(WakeUp(self.writer.session))
            clock.sleep(LOOK_EVERY)
        return []

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
            handed_over = self.limits.freezes and turn == getattr(self.accepted, "turn", None)
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
        self,
        session: Session,
        agent: Agent,
        tail: Tail,
        new: Input,
        trace_id: str,
        *,
        retries: bool = True,
    ) -> Caller:
        """`retries` says that the client repeats what failed by itself.

        Raises TurnRunning, TooManyPending, TooLarge, SessionNotFound.
        """
        writer = Writer(self.ports.log, self.ports.clock, session.id, trace_id)
        turn = self.ports.clock.id()
        accepted = accept(self.ports, writer, tail, new, turn, self.limits.lease, retries=retries)
        self.ports.sessions.touch(session, self.ports.clock.now())
        return Caller(self.ports, self.model, self.limits, writer, agent, tail, accepted)
