"""The protocol's laws, on the real engine under hostile schedules, from the stored log alone."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from cueline.adapters.memory import MemoryLog
from cueline.engine import sessions
from cueline.engine.accept import Arrival, accept
from cueline.engine.agent import Agent
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.inline import Caller, Inline
from cueline.engine.interrupt import interrupt
from cueline.engine.ports import WakeUp
from cueline.engine.turn import Limits
from cueline.engine.worker import Worker
from cueline.errors import Conflict, NotFound, TooManyPending
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsFailed,
    InputsTaken,
    PartlyAnswered,
    Policy,
    SessionDeleted,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
)
from cueline.log.segment import Keyed, Segment, Session
from cueline.log.state import State, Turn, covered, fold, offsets, steering, waiting_asides
from tests.simulation import Model, Process, World

RUNS = int(os.environ.get("PROTOCOL_RUNS", "400"))
BLOCKS = 4
SESSION = "a.s"
LEASE = 30
LAST = "the last message"
ENDINGS = Answered | TurnFailed | TurnInterrupted | InputsFailed
POLICIES: Sequence[Policy] = ("enqueue", "coalesce", "silent", "interrupt", "steer", "aside")


@dataclass
class Story:
    """What people do to one session, and what they were told."""

    world: World
    acknowledged: set[tuple[int, str]] = field(default_factory=set)
    written: dict[int, list[Segment]] = field(default_factory=lambda: defaultdict(list))
    deleted: set[int] = field(default_factory=set)
    alive: dict[str, float] = field(default_factory=dict)
    """Turn -> the true time of its begin or last beat."""
    silence: dict[str, float] = field(default_factory=dict)
    """Turn -> the longest that anybody saw it not beating."""

    def tell(self) -> None:
        world, r = self.world, self.world.random
        world.store.agents.create(Agent(key="a", name="A", model="m", created_at=0, updated_at=0))
        sessions.create(world.store, Session("a", "s", 0, "S", 0), "")
        self._keep_history()
        for n in range(r.randint(1, 8)):
            name = f"input {n}"
            if r.random() < 0.1:
                world.poison.add(name)
            key = IdempotencyKey(name, name) if r.random() < 0.3 else None
            for _ in range(1 + bool(key and r.random() < 0.5)):  # with a key, it may be repeated
                if r.random() < 0.6:
                    queues = r.random() < 0.5
                    self._later(
                        lambda me, name=name, key=key, queues=queues: self.post(
                            me, name, key, queues=queues
                        )
                    )
                else:
                    policy = r.choice(POLICIES)
                    self._later(
                        lambda me, name=name, policy=policy, key=key: self.send(
                            me, name, policy, key
                        )
                    )
            if r.random() < 0.1:
                self._later(self.interrupt)
        for _ in range(r.choice([0, 0, 0, 0, 1, 2])):
            self._later(self.delete)
        world.run(self.work)
        self.check()
        # Whatever has happened, the next message is answered.
        world.storm = False
        world.start(self.post_last)
        world.run(self.work, storm=0)
        assert any(name == LAST for _, name in self.acknowledged), "the next message is answered"

    def post_last(self, me: Process) -> None:
        with suppress(Conflict):
            sessions.create(self.world.ports(me), Session("a", "s", 0, "S", 0), "")
        self.post(me, LAST)

    def _later(self, body: object) -> None:
        def waits(me: Process) -> None:
            me.asleep_until = me.world.now + me.world.random.choice(
                [0, 0, me.world.random.uniform(0, 900)]
            )
            me.pause()
            body(me)  # type: ignore[operator]

        self.world.start(waits)

    def _keep_history(self) -> None:
        """Every segment as it was written: a sweep empties the stored ones."""
        log = self.world.store.log
        append = log.append

        def remembered(
            session: str, incarnation: int, segment: Segment, keyed: Keyed | None = None
        ) -> Segment | Keyed | None:
            known = self.written[incarnation]
            found = append(session, incarnation, segment, keyed)
            if not found and segment.attempt not in [s.attempt for s in known]:
                known.append(segment)
                for event in segment.events:
                    if isinstance(event, TurnBegan | AsideBegan):
                        self.alive[event.turn] = self.world.now
                    if isinstance(event, TurnAbandoned):
                        silence = self.silence[event.turn]
                        assert silence >= LEASE, "only a turn without a beat for a lease is dead"
            return found

        log.append = remembered  # type: ignore[method-assign]
        beats = self.world.store.beats
        beat = beats.beat

        def beaten(session: str, incarnation: int, turn: str) -> None:
            self.alive[turn] = self.world.now
            beat(session, incarnation, turn)

        look = beats.look

        def looked(session: str, incarnation: int, turns: Sequence[str]) -> dict[str, int]:
            for turn in turns:
                silent = self.world.now - self.alive[turn]
                self.silence[turn] = max(silent, self.silence.get(turn, 0))
            return look(session, incarnation, turns)

        beats.beat, beats.look = beaten, looked  # type: ignore[method-assign]

    def post(
        self, me: Process, name: str, key: IdempotencyKey | None = None, *, queues: bool = False
    ) -> None:
        """Door 1: refused while another turn runs or queued behind it, and hosted here."""
        ports = self.world.ports(me)
        limits = Limits(lease=LEASE, freezes=self.world.random.random() < 0.8)
        inline = Inline(ports, lambda: Model(self.world, me), limits)
        while True:
            try:
                session, tail = sessions.find(ports, "a", "s")
                policy: Policy = "steer" if queues and len(name) % 2 else "enqueue"
                new = Input(texts=(name,), digest="" if key else name, policy=policy)
                arrival = Arrival(new, queues=queues, since=-1 if queues else None, key=key)
                waiting = inline.accept(session, ports.agents.get("a"), tail, arrival, "")
                break
            except NotFound:
                return
            except Conflict:
                ports.clock.sleep(20)
        self.acknowledged.add((session.incarnation, name))
        if name != LAST and self.world.random.random() < 0.15:
            self.world.start(self.interrupt)
        if name != LAST and self.world.random.random() < 0.7:
            self.world.start(lambda other: self.leave(other, me, waiting))
        waiting.run(lambda _: None)

    def leave(self, me: Process, host: Process, caller: Caller) -> None:
        """The caller's time is over; then the platform may stop the process that hosts."""
        ports = self.world.ports(me)
        ports.clock.sleep(self.world.random.uniform(0, 5))
        writer = replace(caller.writer, log=ports.log, clock=ports.clock)
        refused = replace(caller, ports=ports, writer=writer).give_up()
        if refused and caller.limits.freezes:
            host.frozen_until = self.world.now + self.world.random.uniform(0, 600)

    def send(
        self, me: Process, name: str, policy: Policy, key: IdempotencyKey | None = None
    ) -> None:
        """Another door, whose callers do not host."""
        ports = self.world.ports(me)
        try:
            session, tail = sessions.find(ports, "a", "s")
            writer = Writer(ports.log, ports.clock, SESSION, "")
            arrival = Arrival(Input(texts=(name,), policy=policy), key=key)
            accept(ports, writer, tail, arrival, LEASE, hosts=False)
        except NotFound:
            return  # or made anew meanwhile
        self.acknowledged.add((session.incarnation, name))

    def interrupt(self, me: Process) -> None:
        ports = self.world.ports(me)
        ports.clock.sleep(self.world.random.uniform(0, 5))
        with suppress(NotFound):
            _, tail = sessions.find(ports, "a", "s")
            interrupt(ports, Writer(ports.log, ports.clock, SESSION, ""), tail.head, None)

    def delete(self, me: Process) -> None:
        ports = self.world.ports(me)
        try:
            session, _ = sessions.find(ports, "a", "s")
            sessions.delete(ports, "a", "s", "")
            self.deleted.add(session.incarnation)
            if self.world.random.random() < 0.7:
                sessions.create(ports, Session("a", "s", 0, "S", 0), "")
        except (NotFound, Conflict, TooManyPending):
            pass

    def work(self, me: Process, wake_up: WakeUp) -> None:
        ports = self.world.ports(me)
        Worker(ports, lambda: Model(self.world, me), Limits(lease=LEASE)).handle(wake_up, 290, "")

    # --- the laws --------------------------------------------------------------------------------

    def check(self) -> Counter[str]:
        seen: Counter[str] = Counter()
        for incarnation, segments in self.written.items():
            state, at = State(), 0
            taken_over: Turn | None = None
            names: dict[str, int] = {}
            ends: dict[int, list[str]] = defaultdict(list)
            interrupted: Counter[str] = Counter()
            for segment in segments:
                assert segment.at == at, "the log is dense"
                assert not state.deleted, "nothing is written to a deleted incarnation"
                for event in segment.events:
                    seen[event.type] += 1
                    before, state = state, fold(state, at, event)
                    self._check(before, event, state)
                    if isinstance(event, TurnAbandoned):
                        taken_over = before.running(event.turn)
                    if isinstance(event, InputsFailed) and event.code == "turn_abandoned":
                        assert taken_over, "only a takeover gives an input up"
                        asking = [i for i in taken_over.inputs if i.asks]
                        assert len(asking) == 1, "an error takes no neighbour with it"
                    if isinstance(event, Input):
                        assert event.texts[0] not in names, "no input is doubled"
                        names[event.texts[0]] = at
                    if isinstance(event, PartlyAnswered):
                        assert interrupted[event.turn] == 1, "told once, of an interrupted turn"
                        interrupted[event.turn] += 1
                    if isinstance(event, TurnInterrupted):
                        interrupted[event.turn] += 1
                    if isinstance(event, ENDINGS):
                        for offset in event.inputs:
                            ends[offset].append(event.type)
                    at += 1
                assert state == segment.state, "carried state equals the reduce of all events"
            assert all(len(how) == 1 for how in ends.values()), "an input ends once"
            silent = {i.offset for i in state.pending if not i.asks}
            for made, name in self.acknowledged:
                if made != incarnation or state.deleted:
                    continue
                assert name in names, "an acknowledged input is in the log"
                assert ends[names[name]] or names[name] in silent, "an input is not lost"
        self._check_sweeps()
        return seen

    def _check(self, before: State, event: Event, after: State) -> None:
        waiting = offsets(before.pending)
        turn = getattr(event, "turn", None)
        if before.open and after.open != before.open and not after.deleted:
            assert turn == before.open.id, "only its own events change the main turn"
        match event:
            case TurnBegan():
                assert before.open is None, "one turn at a time"
                assert set(event.inputs) <= set(waiting), "only waiting inputs are taken"
                asking = [i.offset for i in before.pending if i.asks]
                taken = [o for o in asking if o in event.inputs]
                assert taken, "a silent input asks for nothing"
                assert taken == asking[: len(taken)], "turns take in the order of acceptance"
                if not any(map(before.suspect, before.pending)):
                    left = [i for i in before.pending if i.offset not in event.inputs]
                    assert all(i.offset > taken[-1] for i in left), "silent ones are absorbed"
                    assert not any(i.policy == "interrupt" for i in left), "all that interrupted"
            case AsideBegan():
                assert before.open, "an aside is beside an open turn"
                assert not before.aside, "one at a time"
                assert set(event.inputs) <= {i.offset for i in waiting_asides(before)}
            case InputsTaken():
                assert before.running(event.turn), "no closed turn takes anything"
                assert event.inputs == offsets(steering(before, event.turn)), "only what steers"
            case TurnInterrupted():
                running = before.running(event.turn)
                assert running, "only a running turn is interrupted"
                assert event.inputs == covered(before, running)
            case Answered() | TurnFailed() | TurnAbandoned() | TurnHandedOver():
                assert before.running(event.turn), "no closed turn says anything"
            case InputsFailed():
                assert set(event.inputs) <= set(waiting)

    def _check_sweeps(self) -> None:
        log = self.world.store.log
        assert isinstance(log, MemoryLog)
        for (incarnation, at), stored in log._store.segments[SESSION].items():
            if incarnation <= max(self.deleted, default=0):
                left = stored.at(at).events
                assert left == (SessionDeleted(),), "only a bare tombstone is left"


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_law_holds_under_any_schedule(block: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(block * RUNS // BLOCKS, (block + 1) * RUNS // BLOCKS):
        story = Story(World(seed))
        try:
            story.tell()
            seen += story.check()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
    assert seen["answered"]
    assert seen["turn_handed_over"]
    assert seen["turn_abandoned"], "the schedules are hostile"
    assert seen["inputs_taken"]
    assert seen["aside_began"]
    assert seen["turn_interrupted"]
    assert seen["partly_answered"]
