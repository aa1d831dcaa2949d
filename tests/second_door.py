"""What people do to a simulated session through a door whose callers do not wait for turns.

They interrupt, have the agent speak, stand beside it or in its place, and take back what was said.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from cueline.engine import sessions
from cueline.engine.accept import Arrival, Repeated, accept
from cueline.engine.agent import Agent
from cueline.engine.append import Writer
from cueline.engine.modes import change_mode
from cueline.engine.ports import Ports
from cueline.engine.posting import post, refuse
from cueline.engine.removal import remove_events
from cueline.engine.timers import schedule
from cueline.errors import Conflict, ManualMode, NotFound
from cueline.log.events import Answered, Event, Input, Posted, TriggerScheduled
from cueline.log.segment import Session, Tail
from cueline.log.state import Mode
from cueline.log.triggers import BuyTime, FollowUp, Guideline, Participant, Trigger
from tests.simulated_work import STILL_AT_WORK
from tests.simulation import Process, World
from tests.trigger_laws import Policies
from tests.witness import LEASE

SESSION = "a.s"
LADDERS = ((30,), (5, 200), (20, 20, 1000))
"""Seconds."""
Body = Callable[[Process], None]


def rungs(*seconds: int) -> tuple[FollowUp, ...]:
    return tuple(FollowUp(after_seconds=one) for one in seconds)


@dataclass
class SecondDoor:
    world: World
    ports: Callable[[Process], Ports]
    later: Callable[[Body], None]
    poison: set[str]
    acknowledged: set[tuple[int, str]]
    """Incarnation and name of inputs, and of what is left to people."""
    scheduled: set[tuple[int, str]] = field(default_factory=set)
    """The same of what is to come at its time."""
    share: float = 0.5
    """Of worlds that have such a door."""
    used: bool = False
    """This one does."""
    follow_ups: tuple[FollowUp, ...] | None = None
    """The session's own."""
    policies: Policies = field(default_factory=Policies)
    repeats: int = 0
    """Triggers that were known for what had been sent before."""

    def plan(self, agent: Agent) -> Agent:
        """What people will do; and the agent as they want it."""
        r = self.world.random
        self.used = r.random() < self.share
        if not self.used:
            return agent
        ladder = rungs(*r.choice([(), (), *LADDERS]))
        if r.random() < 0.2:
            self.follow_ups, ladder = ladder, rungs(*r.choice(LADDERS))
        buy_time = r.choice(
            [None, None, BuyTime(after_seconds=2), BuyTime(after_seconds=1, times=2)]
        )
        if buy_time:
            asked = Guideline(action=STILL_AT_WORK, rationale=r.choice(["buy_time", "unspecified"]))
            buy_time = buy_time.model_copy(update={"guidelines": (asked,)})
        known = len(ladder if self.follow_ups is None else self.follow_ups)
        self.policies = Policies(known, known, buy_time.times if buy_time else 0)
        agent = agent.model_copy(update={"follow_ups": ladder, "buy_time": buy_time})
        for n in range(r.randint(1, 5)):
            self._plan(n)
        if r.random() < 0.3:
            self.later(self.remove)
        return agent

    def _plan(self, n: int) -> None:
        r = self.world.random
        acts = [self.say, self.say, self.trigger, self.trigger, self.schedule, self.post]
        act = r.choice([*acts, self.refuse])
        if act == self.trigger and r.random() < 0.1:
            self.poison.add(f"trigger {n}.")
        self.later(partial(act, n=n))

    # --- what they do ----------------------------------------------------------------------------

    def say(self, me: Process, n: int) -> None:
        r, name = self.world.random, f"said {n}."
        if r.random() < 0.4:  # somebody takes over soon, and mostly gives back
            self.world.start_in(r.uniform(0, 60), partial(self.hand_over, mode="manual"))
            if r.random() < 0.8:
                self.world.start_in(r.uniform(0, 600), partial(self.hand_over, mode="auto"))
        self._accept(me, Input(policy="interrupt", texts=(name,)), name)

    def trigger(self, me: Process, n: int) -> None:
        """Its client may send it again by itself."""
        r, name = self.world.random, f"trigger {n}."
        trigger = self._trigger(name)
        policy = "aside" if trigger.buys_time else "enqueue"
        new = Input(policy=policy, source="system", trigger=trigger, digest=name)
        self._accept(me, new, name)
        while r.random() < 0.5:
            me.sleep(r.uniform(0, 15))
            self._accept(me, new, name)

    def _trigger(self, name: str) -> Trigger:
        rationale = self.world.random.choice(["buy_time", "buy_time", "follow_up", "unspecified"])
        asked = Guideline(action=name, rationale=rationale)
        return Trigger(guidelines=() if rationale == "unspecified" else (asked,))

    def _accept(self, me: Process, new: Input, name: str) -> None:
        try:
            ports, session, tail, writer = self._found(me)
            told = new.model_copy(update={"trace": writer.trace_id})
            accepted = accept(ports, writer, tail, Arrival(told), LEASE, hosts=False)
        except (NotFound, ManualMode):
            return
        self.repeats += isinstance(accepted, Repeated)
        self.acknowledged.add((session.incarnation, name))

    def schedule(self, me: Process, n: int) -> None:
        r, name = self.world.random, f"scheduled {n}."
        seconds = r.choice([0, 30, 300, 2000])
        times = r.choice([1, 1, 2]) if seconds >= 300 else 1
        trigger = self._trigger(name)
        for _ in range(times):
            with suppress(NotFound):
                ports, session, tail, writer = self._found(me)
                due = ports.clock.now() + seconds * 1000
                scheduled = TriggerScheduled(due=due, trigger=trigger, digest=name)
                schedule(ports, writer, tail, scheduled)
                self.scheduled.add((session.incarnation, name))
            me.sleep(r.uniform(0, 5))

    def post(self, me: Process, n: int) -> None:
        r, name = self.world.random, f"posted {n}."
        posted = r.choice(
            [
                Posted(source="person", text=name, participant=Participant(display_name="Bob")),
                Posted(source="on_behalf", text=name),
                Posted(kind="status", source="person", text=name, data={"status": "typing"}),
            ]
        )
        with suppress(NotFound):
            ports, session, tail, writer = self._found(me)
            post(ports, writer, tail, posted)
            self.acknowledged.add((session.incarnation, name))

    def refuse(self, me: Process, n: int) -> None:
        """Whoever would be answered is not there."""
        name = f"refused {n}."
        with suppress(NotFound):
            ports, session, tail, writer = self._found(me)
            said = Input(policy="interrupt", texts=(name,), trace=writer.trace_id)
            refuse(ports, writer, tail, Arrival(said), "There is no such customer.")
            self.acknowledged.add((session.incarnation, name))

    def hand_over(self, me: Process, mode: Mode) -> None:
        with suppress(NotFound):
            ports, session, _, writer = self._found(me)
            change_mode(ports, session, mode, writer.trace_id)

    def remove(self, me: Process) -> None:
        """The newest, and what comes of it."""
        with suppress(NotFound, Conflict):
            ports, session, tail, writer = self._found(me)
            first = max(0, tail.head.at - self.world.random.randint(1, 12))
            me.pause()
            remove_events(ports, session, first, writer.trace_id)

    def note(self, event: Event) -> None:
        """Called with each event that is written."""
        may_end = isinstance(event, Answered) and event.follow_up and self.follow_ups is None
        if may_end and self.world.random.random() < 0.05:
            self.policies = replace(self.policies, last_rungs=0)
            self.world.start_in(0, self.end_ladder)

    def end_ladder(self, _: Process) -> None:
        agents = self.world.store.agents
        agent = agents.get("a")
        new = {"follow_ups": (), "version": agent.version + 1}
        assert agents.replace(agent.model_copy(update=new))

    def _found(self, me: Process) -> tuple[Ports, Session, Tail, Writer]:
        ports = self.ports(me)
        session, tail = sessions.find(ports, "a", "s")
        trace = f"trace {ports.clock.id()}"
        return ports, session, tail, Writer(ports.log, ports.clock, SESSION, trace)
