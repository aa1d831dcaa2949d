"""The host of a turn: what it knows, and how it writes; what it does, `turn.run` says."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from cueline.engine.agent import Agent, Caps
from cueline.engine.append import Writer
from cueline.engine.call import Call, Emit
from cueline.engine.limits import Limits
from cueline.engine.listeners import Speech
from cueline.engine.model import Model, Said
from cueline.engine.ports import Ports
from cueline.engine.reader import Reader
from cueline.engine.room import BYTES_A_TOKEN, Room
from cueline.engine.settings import settings_at, with_settings
from cueline.engine.steps import RunTools, Step, next_step
from cueline.engine.tools import ToolSpec
from cueline.engine.wake import soon
from cueline.engine.work import Work, work
from cueline.errors import Unavailable, unexpected
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    ModelCalled,
    Recorded,
    Spoke,
    TurnFailed,
    TurnHandedOver,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.segment import Session
from cueline.log.state import State

logger = logging.getLogger(__name__)
_OWN_ENDS = (Answered, Finished, TurnFailed, TurnHandedOver, TurnPostponed, TurnSuspended)
"""How a turn is ended by who hosts it; all others are ways to be ended."""

FIRST_PAUSE = 0.5
"""Seconds before a write is tried again that the store did not take; doubles."""
LONGEST_PAUSE = 20.0
SHORTEST_CALL = 30.0
"""Seconds that a further step should have; with less, a fresh process takes it."""
SHORTEST_RUN = 5.0
"""Seconds that a tool should have."""
WATCH_EVERY = 0.25
"""Seconds between looks for somebody who closes the turn, each at half the price of a sure one."""


@dataclass
class Host:
    """Runs one begun turn to its end, or until the log says that it is closed."""

    ports: Ports
    model: Callable[[], Model]
    writer: Writer
    reader: Reader
    """Stands behind the turn's begin, or further on."""
    window: Callable[[], Sequence[Recorded]]
    """Gives the events that the turn answers, up to its begin."""
    turn: str
    session: Session
    limits: Limits
    deadline: float
    """Seconds on the monotonic clock; the turn has ended before."""
    emit: Emit = lambda _: None
    heard: bool = False
    """Somebody hears what is said while it is said, so it cannot be taken back."""
    agent: Agent | None = None
    call: Call | None = None
    """The call of the model that runs, or was the last one."""
    mine: set[str] = field(default_factory=set)
    """Tool calls that this host has put into the log and not begun to run: nobody else does."""
    shrinks: bool = False
    """The model's context is too small, and no summary helps: the oldest turns are left out."""
    later: list[Callable[[], None]] = field(default_factory=list)
    """What is done once the step is stored."""
    failures: int = 0
    """Calls of the model in a row that failed here."""
    misfits: list[Said] = field(default_factory=list)
    """What is said to a model whose answers do not fit their schema."""
    compacts: bool = True
    """False once a compaction has failed here: the turn goes on without."""
    overfull: bool = False
    """As in Room."""
    stood: float = 0.0
    """The longest in seconds that no timer ran here: then others may hold the turn for dead."""
    typed: bool = False
    """It has been told that the turn speaks, or need not be."""
    progress: bool = False
    """Something of this host's is in the log: it would not begin from nothing again."""
    speech: Speech | None = None
    """Tells connections what is said while it is said; none has been made while this is None."""
    told: Call | None = None
    """The call of which connections have been told something."""
    _window: Sequence[Recorded] = ()
    _beaten_at: float = 0.0
    _counted_at: float = 0.0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Beats and watches beside whatever is done inside."""
        clock = self.ports.clock
        self._beaten_at = self._counted_at = clock.monotonic()
        with (
            clock.every(self.limits.lease / 2, self._beat),
            clock.every(WATCH_EVERY, self.watch),
        ):
            yield

    def read_window(self) -> None:
        """And what the session's application has set for this turn. Raises Unavailable."""
        self._window = self.window()
        turn = self.state.running(self.turn)
        if turn and turn.settings is not None and self.agent:
            log, session = self.ports.log, self.writer.session
            incarnation = self.reader.head.incarnation
            settings = settings_at(log, session, incarnation, turn.settings, self._window)
            self.agent = with_settings(self.agent, settings)

    def reach_back(self, earlier: Sequence[Recorded]) -> None:
        """Takes these into the window, before all that is in it."""
        self._window = [*earlier, *self._window]

    # --- what is known ---------------------------------------------------------------------------

    @property
    def events(self) -> Sequence[Recorded]:
        """All that the turn answers, and all that has happened since."""
        last = self._window[-1].offset
        return [*self._window, *(r for r in self.reader.passed if r.offset > last)]

    @property
    def state(self) -> State:
        return self.reader.state

    def runs(self) -> bool:
        """Whether the turn is open still, as far as is known here."""
        return self.state.running(self.turn) is not None

    @property
    def cut_off(self) -> bool:
        """Not this host has ended the turn."""
        ended = (r.event for r in self.reader.passed if isinstance(r.event, _OWN_ENDS))
        return all(event.turn != self.turn for event in ended)

    @property
    def aside(self) -> bool:
        return bool(self.state.aside and self.state.aside.id == self.turn)

    @property
    def part(self) -> int:
        """How many things the turn has said so far."""
        said = (r.event for r in self.events if isinstance(r.event, Spoke))
        return sum(event.turn == self.turn for event in said)

    @property
    def triggered(self) -> bool:
        """Among what the turn answers is something that has the agent speak by itself."""
        turn = self.state.running(self.turn)
        return turn is not None and any(waiting.triggers for waiting in turn.inputs)

    @property
    def caps(self) -> Caps:
        return self.limits.caps.under(self.agent.caps) if self.agent else self.limits.caps

    def work(self) -> Work:
        return work(self.events, self.state, self.turn)

    def seconds(self, done: Work) -> float:
        return done.ms / 1000 + self.ports.clock.monotonic() - self._counted_at

    def lap(self) -> int:
        """Milliseconds since the turn's time was last counted; counts from now on."""
        now = self.ports.clock.monotonic()
        ms, self._counted_at = round((now - self._counted_at) * 1000), now
        return ms

    @cached_property
    def specs(self) -> Sequence[ToolSpec]:
        """Of all the agent's tools, whatever its step allows."""
        if not (self.agent and self.agent.tools):
            return ()
        return self.ports.toolbox.specs(self.agent, self.session)

    @property
    def room(self) -> Room | None:
        """None where nothing is summed up by itself: an aside only speaks."""
        if not self.agent or self.aside or not self.compacts:
            return None
        takes = self.limits.prices.of(self.agent.model).context_window
        room = Room(
            compaction=self.agent.compaction,
            tokens=min(takes, self.limits.window_bytes // BYTES_A_TOKEN),
            events=self.events,
            needed=self.state.needed,
            overfull=self.overfull,
        )
        return room if room.wanted() else None

    def next_step(self) -> Step:
        done, room = self.work(), self.room
        return next_step(
            self.state,
            self.turn,
            done,
            self.caps,
            seconds=self.seconds(done),
            full=bool(room and room.full()),
            compacts=self.compacts,
            now=soon(self.ports.clock),
        )

    def in_a_hurry(self, step: Step) -> bool:
        needs = SHORTEST_CALL
        if isinstance(step, RunTools):
            timeouts = {spec.name: spec.timeout for spec in self.specs}
            needs = max(timeouts.get(call.input.tool, 0.0) for call in step.calls) + SHORTEST_RUN
        return self.ports.clock.monotonic() + needs > self.deadline

    # --- what is written -------------------------------------------------------------------------

    def append(self, build: Callable[[State], Sequence[Event]]) -> bool:
        """Appends at the head, or nothing where `build` gives nothing there; whether it did.

        After a conflict it goes on at once from the segment in its way, where all others pause.
        """
        clock, reader, pause = self.ports.clock, self.reader, FIRST_PAUSE
        tried: tuple[int, tuple[Event, ...]] | None = None
        while True:
            # An answer that was lost for good may have been that it is written.
            if tried and self._stands(*tried):
                self._stored(tried[1])
                return True
            # Read once: a timer may move the reader on while the events are being built.
            head = reader.head
            if not (events := tuple(build(head.state))):
                return False
            try:
                segment, found = self.writer.put(head, events)
                reader.go_past(found or segment)
                if not found:
                    self._stored(events)
                    return True
            except Unavailable:
                # The answer is worth waiting for; past the deadline a wake-up runs the turn anew.
                if clock.monotonic() + pause >= self.deadline:
                    raise
                tried = (head.at, events)
                clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _stored(self, events: Sequence[Event]) -> None:
        self.progress = True
        if self.call and any(isinstance(event, ModelCalled) for event in events):
            self.call.counted = True

    def _stands(self, at: int, events: tuple[Event, ...]) -> bool:
        """Whether these events of the turn's own are at this place: nobody else writes them."""
        places = range(at, at + len(events))
        return tuple(r.event for r in self.reader.passed if r.offset in places) == events

    def append_mine(self, *events: Event) -> bool:
        """The same while the turn is open."""
        return self.append(lambda state: events if state.running(self.turn) else ())

    # --- beside the model ------------------------------------------------------------------------

    def note_time(self) -> None:
        now = self.ports.clock.monotonic()
        self.stood, self._beaten_at = max(self.stood, now - self._beaten_at), now

    def _beat(self) -> None:
        """By a timer, never by what the model says."""
        self.note_time()
        try:
            self.ports.beats.beat(self.writer.session, self.reader.head.incarnation, self.turn)
        except Exception as error:  # the next one may go through
            logger.warning("A heartbeat was lost", extra=unexpected(error))

    def look(self, *, lags: bool = False) -> None:
        """Ends the model call once somebody else has closed the turn."""
        try:
            self.reader.look(lags=lags)
        except Exception as error:  # the next one may go through
            logger.warning("A look at the log was lost", extra=unexpected(error))
        if self.state.running(self.turn):
            return
        if call := self.call:
            call.close()
        if self.speech:
            self.speech.ends(cut=self.cut_off)

    def watch(self) -> None:
        self.look(lags=True)
