"""What a wake-up does: takes over the dead, begins what can begin, hosts it to its end."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cueline.engine.agent import Agent
from cueline.engine.append import LIFETIME, Writer
from cueline.engine.model import Model
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.postponing import given_up
from cueline.engine.reader import Reader
from cueline.engine.takeover import plan
from cueline.engine.timers import arm_follow_up, timer_of
from cueline.engine.turn import Host, Limits, run
from cueline.engine.wake import arm, come_again, needless, soon, wake_next
from cueline.engine.window import missing
from cueline.errors import AgentNotFound, SessionNotFound, Unavailable, unexpected
from cueline.log.events import Event
from cueline.log.fold import reduce
from cueline.log.segment import Head, Session
from cueline.log.state import State, can_begin

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    ports: Ports
    model: Callable[[], Model]
    limits: Limits

    def handle(self, wake_up: WakeUp, remaining: float, trace_id: str) -> None:
        """The wake-up may be deleted when this returns; if it raises, it must come again.

        `remaining` is the time in seconds that a turn may take.
        """
        if wake_up.sweep:
            self._sweep(wake_up.session, *wake_up.sweep)
            return
        ports, session = self.ports, wake_up.session
        # Most wake-ups find nothing to do, and the window is what costs.
        hasty = wake_up.in_case or wake_up.triggers is not None
        tail = ports.log.tail(session, 0 if hasty else self.limits.window_bytes)
        if tail.over(ports.clock.now()):
            return  # deleted, or expired with nothing under way
        turn = ports.clock.id()
        armed: Callable[[int], None] | None = None
        dead = self._dead(tail.head, wake_up)
        timer = timer_of(ports, tail, wake_up) if wake_up.triggers else None

        def planned(state: State, at: int, dead: Sequence[str]) -> Sequence[Event]:
            now = ports.clock.now()
            said = (*given_up(state, now), *(timer.events(state, at, now) if timer else ()))
            state = reduce(state, at, said)
            return (*said, *plan(state, at + len(said), dead, turn, soon(ports.clock)))

        if first := planned(tail.head.state, tail.head.at, dead):
            # Brings help a lease after a death; the message itself only after its visibility.
            armed = arm(ports, session, tail.head.at + 1, self.limits.lease)
            if hasty:
                tail = ports.log.tail(session, self.limits.window_bytes)

        def build(state: State, at: int) -> Sequence[Event]:
            if not armed:
                return ()
            # Looked at again where there is something to take over: arming took its time.
            here = replace(tail.head, state=state)
            return planned(state, at, self._dead(here, wake_up) if dead else ())

        trace = next((t for e in first if (t := getattr(e, "trace", ""))), trace_id)
        writer = Writer(ports.log, ports.clock, session, trace)
        try:
            head, segment = writer.append(tail.head, build)
        except SessionNotFound:
            return  # another incarnation, with wake-ups of its own
        reader = Reader(ports.log, session, head)
        mine = head.state.running(turn)
        if segment and armed and mine:
            armed(mine.inputs[-1].offset)
            wake_next(ports, session, head)  # what is to be said beside it
        if segment and tail.session and mine:
            deadline = ports.clock.monotonic() + min(remaining, self.limits.turn)
            host = Host(
                ports=ports,
                model=self.model,
                writer=writer,
                reader=reader,
                window=partial(missing, ports.log, session, tail, segment),
                turn=turn,
                session=tail.session,
                limits=self.limits,
                deadline=deadline,
            )
            run(host, self._agent(tail.session))
            reader.look()
        wake_next(ports, session, reader.head)
        comes = come_again(ports, session, reader.state, wake_up)
        if segment or wake_up.in_case:  # whoever hosted the turn may have died before he armed
            self._arm(session, reader.head, wake_up)
        now = soon(ports.clock)
        again = reader.state.turns and not (can_begin(reader.state, now) or comes)
        if again and not needless(reader.state, wake_up.guards, now):
            # Somebody is at it. Another look, a lease from now, will see if it still beats.
            turns = [t.id for t in reader.state.turns]
            seen = ports.beats.look(session, head.incarnation, turns)
            later = WakeUp(session, seen, guards=wake_up.guards, in_case=True)
            ports.wake_ups.send(later, delay=self.limits.lease)

    def _dead(self, head: Head, wake_up: WakeUp) -> list[str]:
        """The second look. The queue's delay, not a clock, put a lease between it and the first."""
        seen = [t.id for t in head.state.turns if t.id in wake_up.look]
        if not seen:
            return []
        now = self.ports.beats.look(wake_up.session, head.incarnation, seen)
        return [turn for turn in seen if now[turn] == wake_up.look[turn]]

    def _arm(self, session: str, head: Head, wake_up: WakeUp) -> None:
        try:
            arm_follow_up(self.ports, session, head)
        except Unavailable as error:
            if wake_up.in_case:
                raise  # nobody comes after this one
            logger.warning("A follow-up is armed later", extra=unexpected(error))

    def _agent(self, session: Session) -> Agent | None:
        try:
            return self.ports.agents.get(session.answering_agent)
        except AgentNotFound:
            return None

    def _sweep(self, session: str, incarnation: int, sweep_round: int) -> None:
        if sweep_round == 1:
            self.ports.sweeper.blank(session, incarnation)
            self.ports.wake_ups.send(WakeUp(session, sweep=(incarnation, 2)), delay=LIFETIME)
        else:
            self.ports.sweeper.clear(session, incarnation)
