"""What clients do to a simulated session that they listen to: they come, speak, set, and go.

All that the door is made of is in it: what a WebSocket's events do, who tells what is written, and
what turns say while they say it. What comes through the table's stream may come again.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

from cueline.adapters.dynamodb.items import heard_segment, segment_to_item
from cueline.adapters.memory import MemoryConnections
from cueline.doors.access import hashed
from cueline.doors.client_commands.broadcast import Broadcast, Heard
from cueline.doors.client_commands.realtime import Realtime, SocketEvent
from cueline.doors.client_commands.socket_events import command, connect, disconnect
from cueline.engine import answering, prompt, sessions
from cueline.engine.listeners import GRANTS, Connection
from cueline.engine.model import ModelRequest
from cueline.engine.ports import Ports, WakeUp
from cueline.errors import NotFound, Unavailable
from cueline.log.segment import Segment
from tests.hearing import Frame, Gateway, Hearer, told_inline
from tests.listening_laws import Asked, judge_listeners
from tests.simulated_speech import Speeches
from tests.simulation import Process, World, _Stepped
from tests.witness import LEASE

SESSION = "a.s"
Body = Callable[[Process], None]
Work = Callable[[Process, WakeUp], None]


@dataclass
class Guest:
    """A client, and what it will do."""

    name: str
    hearer: Hearer = field(default_factory=Hearer)
    visits: int = 1
    incarnation: int = 0
    """Of the session that it has come to; 0 before that."""
    gateway: str = ""
    came: int = 0


@dataclass
class ThirdDoor:
    world: World
    ports: Callable[[Process], Ports]
    later: Callable[[Body], None]
    acknowledged: set[tuple[int, str]]
    share: float = 0.0
    """Of worlds that have such a door."""
    used: bool = False
    guests: list[Guest] = field(default_factory=list)
    gateway: Gateway = field(default_factory=Gateway)
    stream: list[Heard] = field(default_factory=list)
    told: int = 0
    """So much of it."""
    wanted: dict[str, Frame] = field(default_factory=dict)
    """What somebody has asked to set, by the name of the command."""
    asked: dict[str, list[Asked]] = field(default_factory=lambda: defaultdict(list))
    """Turn -> what its models were asked with."""
    opened: int = 0

    def __post_init__(self) -> None:
        self.connections = MemoryConnections(self.world.store.clock)
        self.speeches = Speeches(self.connections, self.gateway, self.world)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        request = prompt.request

        def watched(*given: Any) -> ModelRequest:
            asked = request(*given)
            self.asked[given[-1]].append(Asked(asked.instructions, dict(asked.parameters)))
            return asked

        with told_inline(), patch.object(answering, "request", watched):
            yield

    def plan(self) -> None:
        r = self.world.random
        self.used = self.share > 0 and r.random() < self.share
        if not self.used:
            return
        for n in range(r.randint(1, 3)):
            self.guests.append(Guest(f"guest {n}", visits=r.randint(1, 4)))
            self.later(partial(self.come, guest=self.guests[-1]))
        for n in range(r.randint(3, 9)):
            self.later(partial(self.act, n=n))

    def heard_by(self, ports: Ports) -> Ports:
        return replace(ports, listeners=self.speeches) if self.used else ports

    def realtime(self, me: Process) -> Realtime:
        connections: Any = _Stepped(self.world, me, self.connections)
        return Realtime(self.ports(me), connections, self.gateway, access=None, lease=LEASE)

    # --- what clients do -------------------------------------------------------------------------

    def come(self, me: Process, guest: Guest) -> None:
        """Where that fails it comes again, until its session is there no more."""
        guest.came += 1
        realtime, came = self.realtime(me), False
        try:
            with suppress(NotFound, Unavailable):
                session, _ = sessions.find(realtime.ports, "a", "s")
                if guest.incarnation not in (0, session.incarnation):
                    return
                came = self._opens(realtime, guest, session.incarnation)
        finally:
            if came:
                longest = self.world.random.choice([5, 300, 3000, 3000])
                stays = self.world.random.uniform(0, longest)
                self.world.start_in(stays, partial(self.leave, guest=guest))
            else:
                self.gateway.ends(guest.gateway)
                if guest.came < 12:
                    self.world.start_in(20, partial(self.come, guest=guest))

    def _opens(self, realtime: Realtime, guest: Guest, incarnation: int) -> bool:
        r, now = self.world.random, realtime.ports.clock.now()
        self.opened += 1
        name, gateway = f"{SESSION}.r{self.opened}", f"g{self.opened}"
        opening = "opening." if self.opened == 1 and r.random() < 0.5 else ""
        offered = Connection(
            name, SESSION, incarnation, "", GRANTS, now, now + 10**6, opening=opening
        )
        offered = replace(offered, after=guest.hearer.newest)
        realtime.connections.offer(offered, hashed("secret"))
        guest.incarnation, guest.gateway = incarnation, gateway
        self.gateway.opens(gateway, guest.hearer)
        event = SocketEvent(gateway, f"r{self.opened}", query={"token": f"{name}.secret"})
        return connect(realtime, event) == 200

    def leave(self, me: Process, guest: Guest) -> None:
        """Not everybody says so; and the server may have ended it before."""
        gateway, guest.visits = guest.gateway, guest.visits - 1
        self.gateway.ends(gateway)
        if guest.visits:
            wait = self.world.random.choice([0, 0, 200])
            self.world.start_in(wait, partial(self.come, guest=guest))
        if self.world.random.random() < 0.5:
            disconnect(self.realtime(me), SocketEvent(gateway, "leaves"))

    def act(self, me: Process, n: int) -> None:
        """Whoever is there sends something; once more, perhaps, where it is not answered."""
        r = self.world.random
        for _ in range(20):
            if here := [g for g in self.guests if self.gateway.hearers.get(g.gateway)]:
                break
            me.sleep(r.uniform(1, 60))
        else:
            return
        guest = r.choice(here)
        ways = [*[self._says] * 3, *[self._sets] * 3, self._resumes]
        given = r.choice(ways)(n, guest)
        if given["type"] == "set_settings" and r.random() < 0.7:
            self._wait_for_a_turn(me)
        keyed = r.random() < 0.6
        if keyed:
            given["command_id"] = f"command {n}"
        if r.random() < 0.1:
            self.gateway.left[guest.gateway] = r.randint(0, 10), r.choice(["gone", "busy"])
        for _ in range(1 + (keyed and r.random() < 0.5)):
            before = len(guest.hearer.answers)
            event = SocketEvent(guest.gateway, f"trace {n}", json.dumps(given))
            command(self.realtime(me), event)
            for answer in guest.hearer.answers[before:]:
                self._answered(guest, given, answer)

    def _wait_for_a_turn(self, me: Process) -> None:
        """For a while: what is set in the middle of one is for the next."""
        for _ in range(15):
            if self.world.store.log.tail(SESSION).head.state.turns:
                return
            me.sleep(self.world.random.uniform(1, 60))

    def _says(self, n: int, guest: Guest) -> Frame:
        r = self.world.random
        said = {"role": r.choice(["user", "user", "system"]), "text": f"heard {n}."}
        how = {"trigger_response": r.random() < 0.7, "delay": r.random() < 0.5}
        return {"type": "send_message", "data": {**said, **how}}

    def _sets(self, n: int, guest: Guest) -> Frame:
        r = self.world.random
        changes: list[Frame] = [
            {"instructions": f"instructions {n}"},
            {"temperature": n / 100},
            {"instructions": f"instructions {n}", "temperature": n / 100},
            {"turn_detection": {"threshold": n / 100}},
            {"turn_detection": {"prefix_padding_ms": n}},
        ]
        change = r.choice(changes)
        self.wanted[f"command {n}"] = change
        return {"type": "set_settings", "data": change}

    def _resumes(self, n: int, guest: Guest) -> Frame:
        newest = guest.hearer.newest
        after = -1 if newest is None else self.world.random.choice([newest, newest - 1])
        return {"type": "resume", "data": {"after": max(-1, after)}}

    def _answered(self, guest: Guest, given: Frame, answer: Frame) -> None:
        """Of what was sent without a name nobody can tell whose the answer is."""
        known, text = given.get("command_id"), given["data"].get("text")
        mine = known and answer["data"].get("command_id") == known
        if mine and text and answer["event"] == "command_ack":
            self.acknowledged.add((guest.incarnation, text))

    # --- who tells them --------------------------------------------------------------------------

    def written(self, segment: Segment, incarnation: int) -> None:
        """Called with each segment that is written: the stream has those that are heard."""
        item = segment_to_item(SESSION, incarnation, segment)
        if item.get("heard") == {"N": "1"}:
            self.stream.append(Heard(*heard_segment(item)))
            self._wake()

    def _wake(self, me: Process | None = None) -> None:
        """One at a time, but for `me`, which ends."""
        others = [p for p in self.world.processes if p is not me and p.body == self.tell]
        if not others and not any(body == self.tell for _, body in self.world.later):
            self.world.start_in(self.world.random.uniform(0, 3), self.tell)

    def tell(self, me: Process) -> None:
        """One batch after the other; of one that was not done all comes again."""
        r = self.world.random
        try:
            while batch := self.stream[self.told : self.told + r.choice([1, 3, 100])]:
                failed = Broadcast(self.realtime(me)).tell(batch)
                done = min(failed, default=len(batch))
                again = self.world.storm and r.random() < 0.1
                self.told += r.randint(0, done) if again else done
                me.pause()
        finally:
            if self.told < len(self.stream):
                self._wake(me)

    # --- the laws --------------------------------------------------------------------------------

    def rest(self, work: Work, written: Mapping[int, Sequence[Segment]]) -> None:
        """Nothing fails any more; each comes back and asks for what it has missed."""
        if not self.used:
            return
        self.gateway.left.clear()
        for guest in self.guests:
            if guest.incarnation:
                guest.visits = 1
                self.gateway.ends(guest.gateway)
                self.world.start(partial(self._stay, guest=guest))
        self.world.run(work, storm=0)
        for incarnation, segments in written.items():
            self._judge(incarnation, segments)

    def _stay(self, me: Process, guest: Guest) -> None:
        with suppress(NotFound):
            session, _ = sessions.find(self.ports(me), "a", "s")
            if session.incarnation == guest.incarnation:
                while not self._opens(self.realtime(me), guest, guest.incarnation):
                    me.sleep(20)  # so many write at once

    def _judge(self, incarnation: int, segments: Sequence[Segment]) -> None:
        guests = [g for g in self.guests if g.incarnation == incarnation]
        hearers = [(g.hearer, g.gateway in self.gateway.hearers) for g in guests]
        events = [recorded for segment in segments for recorded in segment.recorded()]
        spoken = self.speeches.of(incarnation)
        judge_listeners(events, hearers, self.asked, self.wanted.values(), spoken)
