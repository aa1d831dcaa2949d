"""What people do to one simulated session, and what they were told."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from unittest.mock import patch

from cueline.adapters.memory import MemoryLog
from cueline.engine import sessions, toolcalls
from cueline.engine.accept import Arrival, accept
from cueline.engine.agent import Agent, AgentStep, NextStep, PythonTool, Skill
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.inline import Caller, Inline
from cueline.engine.interrupt import interrupt
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.turn import Limits
from cueline.engine.worker import Worker
from cueline.errors import CallNotWaiting, Conflict, NotFound, TooManyPending, Unavailable
from cueline.log.events import (
    CompactionAsked,
    Decision,
    Input,
    Policy,
    SessionDeleted,
    ToolInput,
    TurnSuspended,
)
from cueline.log.segment import Segment, Session, Tail
from tests.fourth_door import plan_events
from tests.second_door import SecondDoor
from tests.session_laws import Judge, name_of
from tests.simulated_work import SKILL, Model, Toolbox, Workplace, beside, number_in
from tests.simulation import Process, World
from tests.third_door import ThirdDoor
from tests.witness import LEASE, Witness

SESSION = "a.s"
LAST = "the last message"
POLICIES: Sequence[Policy] = (
    *("enqueue", "coalesce", "silent", "interrupt", "steer"),
    *("aside", "aside"),  # those that find no turn are none
)
Body = Callable[[Process], None]


@dataclass
class Story:
    world: World
    acknowledged: set[tuple[int, str]] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    too_late: int = 0
    """Decisions on calls that did not wait any more."""

    def __post_init__(self) -> None:
        self.witness = Witness(self.world, self._note)
        self.work = Workplace(self.world, self.witness.head)
        self.door = SecondDoor(
            self.world, self.ports, self._later, self.work.poison, self.acknowledged
        )
        self.listeners = ThirdDoor(self.world, self.ports, self._later, self.acknowledged)
        self.window = self.world.random.choice([400_000, 400_000, 6_000, 2_000])
        self.decisions = 0

    def tell(self) -> None:
        with patch.object(toolcalls, "run_beside", beside), self.listeners.at_work():
            self._tell()

    def _tell(self) -> None:
        world, r = self.world, self.world.random
        world.store.agents.create(self.door.plan(self._agent()))
        sessions.create(world.store, self._session(), "")
        for n in range(r.randint(0, 3) if self.door.used else r.randint(1, 8)):
            self._plan_input(f"input {n}")
            if r.random() < 0.1:
                self._later(self.interrupt)
        for n in range(r.choice([0, 0, 1, 2])):
            self._plan_compaction(f"compaction {n}")
        for _ in range(r.choice([0, 0, 0, 0, 0, 1, 2])):
            self._later(self.delete)
        self.listeners.plan()
        plan_events(world, self.send)
        world.run(self.handle)
        self.check()
        # Whatever has happened, the next message is answered.
        world.storm = False
        world.start(self.post_last)
        world.run(self.handle, storm=0)
        assert any(name == LAST for _, name in self.acknowledged), "the next message is answered"
        self.listeners.rest(self.handle, self.witness.written)

    def _session(self) -> Session:
        return Session("a", "s", 0, "S", 0, follow_ups=self.door.follow_ups)

    def _agent(self) -> Agent:
        """Of one step, or of two that follow each other."""
        more = self.world.random.random() < 0.2
        first = AgentStep(next_steps=(NextStep(step_name="more"),) if more else ())
        return Agent(
            key="a",
            name="A",
            model="m",
            steps={"main": first, "more": AgentStep(reentry_step="main")},
            tools={"any": PythonTool(tool_id="tol_any", function="any")},
            skills={SKILL: Skill(description="", content="Be kind.")},
            created_at=0,
            updated_at=0,
        )

    def _plan_input(self, name: str) -> None:
        r = self.world.random
        if r.random() < 0.1:
            self.work.poison.add(name)
        key = IdempotencyKey(name, name) if r.random() < 0.3 else None
        skills = (SKILL,) if r.random() < 0.1 else ()
        for _ in range(1 + bool(key and r.random() < 0.5)):  # with a key, it may be repeated
            if r.random() < 0.6:
                queues = r.random() < 0.5
                policy: Policy = "steer" if queues and r.random() < 0.5 else "enqueue"
                digest = "" if key else name
                new = Input(texts=(name,), skills=skills, digest=digest, policy=policy)
                self._later(partial(self.post, new=new, key=key, queues=queues))
            else:
                new = Input(texts=(name,), skills=skills, policy=r.choice(POLICIES))
                self._later(partial(self.send, new=new, key=key))

    def _plan_compaction(self, name: str) -> None:
        r = self.world.random
        up_to = r.choice([None, None, r.randint(0, 40)])
        new = Input(compact=CompactionAsked(up_to=up_to, message=name))
        if r.random() < 0.5:
            self._later(lambda me: self.post(me, new.model_copy(update={"digest": name})))
        else:
            self._later(lambda me: self.send(me, new))

    def _plan_decisions(self, call: str) -> None:
        """Of one person or two, one of whom may say it twice; at once, soon, late, or never."""
        r = self.world.random
        for _ in range(r.choice([0, 1, 1, 1, 2])):
            name, delay = f"decision {self.decisions}", r.choice([0, 0, 5, r.uniform(0, 1200)])
            self.decisions += 1
            if r.random() < 0.1:
                self.work.poison.add(name)
            decide = partial(self.decide, call=call, name=name, keyed=r.random() < 0.5)
            for _ in range(r.choice([1, 1, 1, 2])):
                self.world.start_in(delay, decide)

    def _later(self, body: Body) -> None:
        r = self.world.random
        self.world.start_in(r.choice([0, 0, r.uniform(0, 900)]), body)

    def _note(self, segment: Segment, incarnation: int) -> None:
        """Called with each segment that is written."""
        self.listeners.written(segment, incarnation)
        for event in segment.events:
            self.door.note(event)
            for call in event.calls if isinstance(event, TurnSuspended) else ():
                self._plan_decisions(call)

    # --- what people do --------------------------------------------------------------------------

    def ports(self, me: Process) -> Ports:
        ports = replace(self.world.ports(me), toolbox=Toolbox(self.work, me))
        return self.listeners.heard_by(ports)

    def limits(self) -> Limits:
        r = self.world.random
        return Limits(lease=LEASE, window_bytes=self.window, freezes=r.random() < 0.8)

    def post(
        self, me: Process, new: Input, key: IdempotencyKey | None = None, queues: bool = True
    ) -> None:
        """Door 1: refused while another turn runs or queued behind it, and hosted here."""
        ports, limits = self.ports(me), self.limits()
        inline = Inline(ports, lambda: Model(self.work, me), limits)
        since = -1 if queues and new.texts else None
        while True:
            try:
                session, tail = self._find(ports)
                arrival = Arrival(new, queues=queues, since=since, key=key)
                waiting = inline.accept(session, ports.agents.get("a"), tail, arrival, "")
                break
            except NotFound as error:
                self.too_late += isinstance(error, CallNotWaiting)
                return
            except Conflict:
                ports.clock.sleep(20)
        self.acknowledged.add((session.incarnation, name_of(new)))
        if name_of(new) != LAST and self.world.random.random() < 0.15:
            self.world.start(self.interrupt)
        if name_of(new) != LAST and self.world.random.random() < 0.7:
            self.world.start(lambda other: self.leave(other, me, waiting))
        waiting.run(lambda _: None)

    def _find(self, ports: Ports) -> tuple[Session, Tail]:
        tail = ports.log.tail(SESSION, self.window)
        if session := tail.live(ports.clock.now()):
            return session, tail
        raise sessions.missing(ports, "a", "s")

    def post_last(self, me: Process) -> None:
        with suppress(Conflict):
            sessions.create(self.ports(me), self._session(), "")
        while not any(name == LAST for _, name in self.acknowledged):
            with suppress(Unavailable):  # the others had twenty seconds, and none of them luck
                self.post(me, Input(texts=(LAST,), digest=LAST), queues=False)

    def leave(self, me: Process, host: Process, caller: Caller) -> None:
        """The caller's time is over; then the platform may stop the process that hosts."""
        ports = self.ports(me)
        ports.clock.sleep(self.world.random.uniform(0, 5))
        writer = replace(caller.writer, log=ports.log, clock=ports.clock)
        refused = replace(caller, ports=ports, writer=writer).give_up()
        if refused and caller.limits.freezes:
            host.frozen_until = self.world.now + self.world.random.uniform(0, 600)

    def send(self, me: Process, new: Input, key: IdempotencyKey | None = None) -> None:
        """Another door, whose callers do not host."""
        ports = self.ports(me)
        try:
            session, tail = sessions.find(ports, "a", "s")
            writer = Writer(ports.log, ports.clock, SESSION, "")
            accept(ports, writer, tail, Arrival(new, key=key), LEASE, hosts=False)
        except NotFound as error:
            self.too_late += isinstance(error, CallNotWaiting)
            return  # or made anew meanwhile
        self.acknowledged.add((session.incarnation, name_of(new)))

    def decide(self, me: Process, call: str, name: str, *, keyed: bool) -> None:
        """On a call as the person sees it; it may have been decided on since."""
        r, ports = self.world.random, self.ports(me)
        try:
            session, _ = sessions.find(ports, "a", "s")
        except NotFound:
            return
        events = ports.log.read(SESSION, session.incarnation, -1, 10_000)
        made = [r.event for r in events if isinstance(r.event, ToolInput) and r.event.call == call]
        if not made:
            return  # in another incarnation
        number, more = number_in(made[-1].arguments), r.choice(["by", "by", "bad"])
        arguments = f'{{"n": {number}, "{more}": 1}}'
        decision = r.choice(
            [
                Decision(verdict="approve", note=name),
                Decision(verdict="edit", note=name, arguments=arguments),
                Decision(verdict="reject", note=name),
            ]
        )
        new = Input(policy="decision", call=call, decision=decision)
        if keyed:
            self.send(me, new, IdempotencyKey(name, name))
        else:
            self.post(me, new.model_copy(update={"digest": name}))

    def interrupt(self, me: Process) -> None:
        ports = self.ports(me)
        ports.clock.sleep(self.world.random.uniform(0, 5))
        with suppress(NotFound):
            _, tail = sessions.find(ports, "a", "s")
            interrupt(ports, Writer(ports.log, ports.clock, SESSION, ""), tail.head, None)

    def delete(self, me: Process) -> None:
        ports = self.ports(me)
        try:
            session, _ = sessions.find(ports, "a", "s")
            sessions.delete(ports, "a", "s", "")
            self.deleted.add(session.incarnation)
            if self.world.random.random() < 0.7:
                sessions.create(ports, self._session(), "")
        except (NotFound, Conflict, TooManyPending):
            pass

    def handle(self, me: Process, wake_up: WakeUp) -> None:
        remaining = self.world.random.choice([290, 290, 290, 20])
        worker = Worker(self.ports(me), lambda: Model(self.work, me), self.limits())
        worker.handle(wake_up, remaining, "")

    # --- the laws --------------------------------------------------------------------------------

    def check(self) -> Counter[str]:
        seen = Counter({"decided too late": self.too_late, "repeated": self.door.repeats})
        assert not self.work.refused, self.work.refused[0]
        for incarnation, segments in self.witness.written.items():
            ran = [ran for ran in self.work.ran if ran.incarnation == incarnation]
            judge = Judge(ran, self.door.policies)
            judge.read(segments)
            judge.rest(
                {name for made, name in self.acknowledged if made == incarnation},
                {name for made, name in self.door.scheduled if made == incarnation},
            )
            seen += judge.seen
        self._check_sweeps()
        return seen

    def _check_sweeps(self) -> None:
        log = self.world.store.log
        assert isinstance(log, MemoryLog)
        for (incarnation, at), stored in log._store.segments[SESSION].items():
            if incarnation <= max(self.deleted, default=0):
                left = stored.at(at).events
                assert left == (SessionDeleted(),), "only a bare tombstone is left"
