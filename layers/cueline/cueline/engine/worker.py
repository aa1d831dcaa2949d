"""What a wake-up does: takes over the dead, begins what can begin, hosts it to its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cueline.engine.agent import Agent
from cueline.engine.append import LIFETIME, Writer
from cueline.engine.model import Model
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.reader import Reader
from cueline.engine.takeover import plan
from cueline.engine.timers import arm_follow_up, ladder, triggered
from cueline.engine.turn import Host, Limits, run
from cueline.engine.wake import arm, needless, wake_next
from cueline.engine.window import missing
from cueline.errors import AgentNotFound, SessionNotFound
from cueline.log.events import Event, Input, Recorded
from cueline.log.fold import reduce
from cueline.log.segment import Head, Session, Tail
from cueline.log.state import State, can_begin
from cueline.log.triggers import FollowUp


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
        turn, armed = ports.clock.id(), False
        dead = self._dead(tail.head, wake_up)
        timer = self._timer(tail, wake_up)

        def planned(state: State, at: int, dead: Sequence[str]) -> Sequence[Event]:
            said = timer(state)
            state = reduce(state, at, said)
            return (*said, *plan(state, at + len(said), dead, turn))

        if first := planned(tail.head.state, tail.head.at, dead):
            # Brings help a lease after a death; the message itself only after its visibility.
            arm(ports, session, tail.head.at + 1, self.limits.lease)
            armed = True
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
        if segment and tail.session and head.state.running(turn):
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
        if segment or wake_up.in_case:  # whoever hosted the turn may have died before he armed
            arm_follow_up(ports, session, reader.head)
        again = reader.state.turns and not can_begin(reader.state)
        if again and not needless(reader.state, wake_up.guards):
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

    def _timer(self, tail: Tail, wake_up: WakeUp) -> Callable[[State], tuple[Input, ...]]:
        """What the wake-up's timer has the agent say, by the state as it is then."""
        incarnation, offset = wake_up.triggers or (0, -1)
        head, session = tail.head, tail.session
        if not session or incarnation != head.incarnation:
            return lambda _: ()
        rungs: Sequence[FollowUp] = ()
        scheduled: Recorded | None = None
        if offset in head.state.scheduled:
            found = self.ports.log.read(session.id, incarnation, offset - 1, 1)
            scheduled = next((r for r in found if r.offset == offset), None)
        elif head.state.quiet and head.state.quiet.offset == offset:
            rungs = ladder(self._agent(session), session)
        trace = self.ports.clock.id()

        def said(state: State) -> tuple[Input, ...]:
            given = triggered(state, wake_up, scheduled, rungs, trace)
            return (given,) if given else ()

        return said

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
