"""Walks of sessions to which clients listen, who come and go in the middle of everything.

What is written is told by the real broadcast, some of it twice; WebSockets end at any frame.
"""

from collections.abc import Callable, Sequence
from unittest.mock import patch

from cueline.adapters.dynamodb.items import heard_segment, segment_to_item
from cueline.adapters.memory import MemoryConnections, memory_ports
from cueline.doors.client_commands import frames
from cueline.doors.client_commands.broadcast import Broadcast, Heard
from cueline.doors.client_commands.realtime import Realtime
from cueline.engine.listeners import GRANTS, LONGEST_CONNECTION, Connection
from cueline.log.events import (
    Answered,
    Event,
    EventMarked,
    Listening,
    PartlyAnswered,
    Spoke,
    TurnFailed,
)
from cueline.log.segment import Segment
from tests.clock import FakeClock
from tests.hearing import Gateway, Hearer, judge_what_is_heard, removal_in, told_inline
from tests.speaking_walks import SpeakingWalk

SESSION, INCARNATION = "a.s", 7
MOST_HEARERS = 3
SMALL_FRAMES = 2_600
LONG = "\N{SLIGHTLY SMILING FACE}é" * 700
"""More than one of these."""


class ListeningWalk(SpeakingWalk):
    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(numbers)
        self.clock = FakeClock()
        self.ports = memory_ports(self.clock)
        self.connections, self.gateway = MemoryConnections(self.clock), Gateway()
        realtime = Realtime(self.ports, self.connections, self.gateway, access=None)
        self.broadcast = Broadcast(realtime)
        self.hearers: list[Hearer] = []
        self.stream: list[Heard] = []
        self.told = 0
        """So much of it."""
        self.opened = 0

    def possible(self) -> list[Callable[[], None]]:
        found = super().possible()
        found += [*[self.tell] * 4, self.join]
        found += [self.go_on] * 12 if self.state.turns else [self.begin] * 4
        if self.gateway.hearers:
            found += [self.lose, self.resume]
        return found

    def add(self, *events: Event) -> None:
        if not events:
            return
        at = len(self.events)
        super().add(*(self.numbered(event) for event in events))
        new = tuple(self.events[at:])
        segment = Segment(at, new, self.state, f"attempt {at}", self.clock.now(), "")
        assert self.ports.log.append(SESSION, INCARNATION, segment) is None
        item = segment_to_item(SESSION, INCARNATION, segment)
        if "heard" in item:
            self.stream.append(Heard(*heard_segment(item)))

    def numbered(self, event: Event) -> Event:
        """As hosts count what a turn says."""
        if not isinstance(event, Spoke | Answered | PartlyAnswered | TurnFailed):
            return event
        said = [e for e in self.events if isinstance(e, Spoke) and e.turn == event.turn]
        return event.model_copy(update={"part": len(said)})

    def word(self, kind: str) -> str:
        """Some are long, but for instructions: of those only the beginning is told."""
        more = LONG if kind != "be" and not self.choose(range(12)) else ""
        return super().word(kind) + more

    def mark(self) -> None:
        """And whoever listens is told."""
        offset = self.choose(range(len(self.events)))
        if offset in self.marks:
            return
        wanted = self.choose(["hidden", "hidden", "erased"])
        self.marks[offset] = wanted
        self.ports.log.mark(SESSION, INCARNATION, offset, wanted)
        self.add(EventMarked(offset=offset, mark=wanted))

    # --- who listens -----------------------------------------------------------------------------

    def join(self) -> None:
        """For the first time, perhaps with an offset from elsewhere; or again."""
        away = [one for one in self.hearers if not self.gateway.of(one)]
        if len(self.hearers) < MOST_HEARERS:
            after = self.choose([None, None, -1, len(self.events) - 1])
            away.append(Hearer(newest=after, since=-1 if after is None else after))
        if not away:
            return
        hearer = self.choose(away)
        if not any(one is hearer for one in self.hearers):
            self.hearers.append(hearer)
        self.let_in(hearer)

    def let_in(self, hearer: Hearer) -> None:
        self.opened += 1
        gateway, now = f"g{self.opened}", self.clock.now()
        name, until = f"{SESSION}.r{self.opened}", now + 1000 * LONGEST_CONNECTION
        offered = Connection(name, SESSION, INCARNATION, "", GRANTS, now, until)
        self.connections.offer(offered, "ticket")
        assert self.connections.open(name, "ticket", gateway, now, until)
        self.gateway.opens(gateway, hearer)
        if hearer.newest is not None:
            missed = range(hearer.newest + 1, len(self.events))
            hearer.removed.update(filter(removal_in(self.log()), missed))
        self.listen(name, hearer.newest)

    def listen(self, connection: str = "", after: int | None = None) -> None:
        until = self.clock.now() + 1000 * LONGEST_CONNECTION
        self.add(Listening(connection=connection or f"{SESSION}.gone", after=after, until=until))

    def resume(self) -> None:
        """Asks for what it knows already, or for nothing."""
        gateway = self.choose(sorted(self.gateway.hearers))
        connection = self.connections.at(gateway, self.clock.now())
        newest = self.gateway.hearers[gateway].newest
        if connection and newest is not None:
            self.listen(connection.id, self.choose([newest, newest, -1]))

    def lose(self) -> None:
        """After some more frames, or in the middle of what comes next."""
        gateway = self.choose(sorted(self.gateway.hearers))
        self.gateway.left[gateway] = self.choose(range(12)), self.choose(["gone", "gone", "busy"])

    # --- what they are told ----------------------------------------------------------------------

    def tell(self) -> None:
        """A batch; perhaps all of it, or some, comes again."""
        batch = self.stream[self.told : self.told + self.choose([1, 2, 5, 20])]
        with told_inline(), patch.object(frames, "MAX_BYTES", SMALL_FRAMES):
            assert not self.broadcast.tell(batch)
        self.told += self.choose([len(batch), len(batch), len(batch) // 2, 0])

    def rest(self) -> None:
        """All come back, and are told all."""
        self.tape = iter(())
        self.gateway.left.clear()
        for hearer in self.hearers:
            if not self.gateway.of(hearer):
                self.let_in(hearer)
        with told_inline(), patch.object(frames, "MAX_BYTES", SMALL_FRAMES):
            assert not self.broadcast.tell(self.stream[self.told :])

    def judge(self) -> None:
        log = self.log()
        for hearer in self.hearers:
            judge_what_is_heard(hearer, log, [turn.id for turn in self.state.turns])
