"""The protocol's laws where workers are broken for a while, or for good, and wake-ups fail."""

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from cueline.adapters.wake_ups import wake_up_from_json
from cueline.engine.failures import Failures
from cueline.engine.ports import WakeUp
from cueline.log.events import Input, InputsFailed, TriggerScheduled
from cueline.log.segment import Segment
from tests.simulation import VISIBILITY, Process, World
from tests.story import Story
from tests.witness import LEASE

RUNS = int(os.environ.get("PROTOCOL_RUNS", "300")) // 3
DELIVERIES = 5
FAILED_VISIBILITY = 70


@dataclass
class Broken(World):
    """Every worker fails at once until `repaired`; a message that five failed at is moved."""

    repaired: float = 0.0
    moved: int = 0

    def _deliver(self, work: Callable[[Process, WakeUp], None]) -> None:
        visible = [m for m in self.queue if m[0] <= self.now]
        if not visible or len(self.processes) > 12 or self.random.random() > 0.3:
            return
        message = self.random.choice(visible)
        if len(message) == 2:
            message.append(0)
        message[2] += 1  # times received
        failed = message[2] > DELIVERIES
        message[0] = self.now + (FAILED_VISIBILITY if failed else VISIBILITY)
        if failed:
            self.moved += 1
        elif self.now < self.repaired and "sweep" not in message[1]:
            return  # sweeps are never given up: the world would not come to rest

        def body(me: Process) -> None:
            wake_up = wake_up_from_json(message[1])
            if failed:
                Failures(self.ports(me), LEASE).handle(wake_up, "")
            else:
                work(me, wake_up)
            me.pause()
            self.queue[:] = [m for m in self.queue if m is not message]

        self.start(body)


@dataclass
class Unworked(Story):
    """A story in which what is given up must have waited for all the deliveries of one wake-up."""

    born: dict[tuple[int, int], float] = field(default_factory=dict)
    given_up: int = 0

    def _note(self, segment: Segment, incarnation: int) -> None:
        super()._note(segment, incarnation)
        for recorded in segment.recorded():
            if isinstance(recorded.event, Input | TriggerScheduled):
                trigger = recorded.event.trigger
                planned = trigger.scheduled if trigger else None
                born = self.born.get((incarnation, -1 if planned is None else planned))
                self.born[incarnation, recorded.offset] = born or self.world.now
            if isinstance(recorded.event, InputsFailed) and recorded.event.code == "not_worked_off":
                for offset in recorded.event.inputs:
                    self.given_up += 1
                    waited = self.world.now - self.born[incarnation, offset]
                    assert waited > DELIVERIES * VISIBILITY, "nothing is given up at once"

    def check(self) -> Counter[str]:
        """A follow-up just is not said where its timers fail."""
        self.door.policies = replace(self.door.policies, last_rungs=0)
        return super().check()


@pytest.mark.parametrize("block", range(2))
def test_every_law_holds_while_workers_are_broken(block: int) -> None:
    """Whatever is acknowledged is answered or fails, and the session comes to rest."""
    seen: Counter[str] = Counter()
    for seed in range(block * RUNS // 2, (block + 1) * RUNS // 2):
        world = Broken(seed)
        lasts = world.random.choice([0, 1_000, 3_000, 10_000, math.inf])
        world.repaired = world.now + lasts
        story = Unworked(world)
        try:
            story.tell()
            story.check()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
        seen["moved"] += world.moved
        seen["given up"] += story.given_up
        seen["repaired in time"] += bool(world.moved and not story.given_up)
    assert min(seen.values()) > 0, seen
