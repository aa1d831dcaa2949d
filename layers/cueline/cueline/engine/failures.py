"""What happens to a wake-up that no worker could work off: its session ends waiting, visibly.

A wake-up comes here after five deliveries, which take 25 minutes. Nothing is given up at once:
what kept the workers may be over by now, so the session gets one more wake-up, that carries what
was seen of it. If that one comes here too, and nothing has moved, what waited then has failed.
So a session that nobody can work off is told within two rounds, and no wake-up goes round for
ever: each round either finds that somebody works on the session, or ends what waits in it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from cueline.engine.append import Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.timers import Timer, scheduled_at
from cueline.errors import SessionNotFound
from cueline.log.events import Event, InputsFailed, TurnAbandoned
from cueline.log.fold import reduce
from cueline.log.state import State, Turn, by_trace, ready, waits

logger = logging.getLogger(__name__)

SWEEP_AGAIN = 900
"""Seconds; the longest that a queue holds a message back. A sweep is never given up."""
MESSAGE = (
    "This message could not be worked on: the background worker failed again and again. "
    "Please send it again; if that fails too, the operator finds the cause in the worker's log."
)


@dataclass(frozen=True, slots=True)
class Failures:
    ports: Ports
    lease: int

    def handle(self, wake_up: WakeUp, trace_id: str) -> None:
        """The wake-up may be deleted when this returns; if it raises, it must come again."""
        ports, session = self.ports, wake_up.session
        if wake_up.sweep:
            logger.warning("A sweep failed and is sent again", extra={"session": session})
            ports.wake_ups.send(wake_up, delay=SWEEP_AGAIN)
            return
        tail = ports.log.tail(session)
        if tail.over(ports.clock.now()):
            return  # deleted, or expired with nothing under way
        incarnation = tail.head.incarnation
        writer = Writer(ports.log, ports.clock, session, trace_id)
        try:
            head, given_up = writer.append(
                tail.head, lambda state, at: self._endings(incarnation, state, at, wake_up)
            )
        except SessionNotFound:
            return  # another incarnation, with wake-ups of its own
        if given_up:
            logger.error("Inputs were given up", extra={"session": session, "at": given_up.at})
        # What a timer is for is tried once more, as what waits is.
        timer = None if wake_up.waited else wake_up.triggers
        if timer or _waits(head.state):
            logger.warning("A session gets one more wake-up", extra={"session": session})
            seen = ports.beats.look(session, incarnation, [t.id for t in head.state.turns])
            again = WakeUp(
                session,
                seen,
                waited=(incarnation, head.at),
                guards=wake_up.guards,
                triggers=timer,
            )
            ports.wake_ups.send(again, delay=self.lease)

    def _endings(self, incarnation: int, state: State, at: int, wake_up: WakeUp) -> Sequence[Event]:
        """What ends all that waited at the look; nothing where somebody has worked since."""
        of, waited = wake_up.waited or (0, 0)
        if of != incarnation:
            return ()
        ended = self._waited(incarnation, state, waited, wake_up)
        return (*ended, *self._untold(reduce(state, at, ended), at + len(ended), wake_up))

    def _waited(
        self, incarnation: int, state: State, waited: int, wake_up: WakeUp
    ) -> Sequence[Event]:
        same = {turn.id for turn in state.turns} == set(wake_up.look)
        if not same or not _waits(state):
            return ()
        # The second look: five deliveries lie between it and the first.
        now = self.ports.beats.look(wake_up.session, incarnation, list(wake_up.look))
        if now != wake_up.look:
            return ()
        events: list[Event] = [TurnAbandoned(turn=turn.id) for turn in state.turns]
        late = tuple(i for i in state.unfinished if i.offset < waited)
        for trace, failed in by_trace(state, late).items():
            events.append(
                InputsFailed(inputs=failed, code="not_worked_off", message=MESSAGE, trace=trace)
            )
        return (*events, *ready(Turn("", late)))

    def _untold(self, state: State, at: int, wake_up: WakeUp) -> Sequence[Event]:
        """What ends a scheduled trigger that came in vain; a follow-up just is not said."""
        incarnation, offset = wake_up.triggers or (0, -1)
        if offset not in state.scheduled:
            return ()
        scheduled = scheduled_at(self.ports.log, wake_up.session, incarnation, offset)
        trace = self.ports.clock.id()
        timer = Timer(offset, trace, scheduled, refusal=("not_worked_off", MESSAGE))
        return timer.events(state, at, self.ports.clock.now())


def _waits(state: State) -> bool:
    return bool(state.turns) or waits(state)
