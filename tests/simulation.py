"""Many processes of the real engine on one session, run step by step under one seed.

Each process is a thread that only runs while it holds the turn; every call of a port is a point
where another may run, and where this one may be frozen for leases, or killed. No two clocks agree.
Whatever happens, the stored log alone must show that nothing was lost and nothing doubled.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cueline.adapters.memory import MemorySchedules, memory_ports
from cueline.adapters.wake_ups import wake_up_from_json, wake_up_to_json
from cueline.engine.ports import Ports, WakeUp
from cueline.errors import Unavailable

VISIBILITY = 310
"""Seconds after which a received wake-up that was not deleted comes back."""
LIFETIME = 900
"""Seconds after which the platform ends a process."""


class Killed(BaseException):
    """This process has stopped here."""


class Process:
    """A thread that runs only when it is told to, up to its next step."""

    def __init__(self, world: "World", body: Callable[["Process"], None]) -> None:
        self.world, self.body, self.started = world, body, world.now
        self.frozen_until = self.asleep_until = world.now  # asleep, its timers go on
        self.skew = world.random.uniform(-120, 120)
        self.killed = self.done = False
        self.bug: BaseException | None = None
        self.timers: list[tuple[float, float, Callable[[], None]]] = []
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(body,), daemon=True)
        self._thread.start()

    def _run(self, body: Callable[["Process"], None]) -> None:
        self._go.acquire()
        try:
            if not self.killed:
                body(self)
        except (Killed, Unavailable):
            pass
        except BaseException as error:  # a bug of the engine, which the world reports
            self.bug = error
        self.done = True
        self._back.release()

    def step(self) -> None:
        """Called by the world: runs it up to its next step."""
        self._go.release()
        self._back.acquire()

    def pause(self) -> None:
        """Called by the process at each step."""
        self._back.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Its timers go on meanwhile."""
        self.asleep_until = self.world.now + seconds
        self.pause()

    def runs_here(self) -> bool:
        """Whether it is the process itself that asks, and none of its timers."""
        return threading.current_thread() is self._thread

    def kill(self) -> None:
        self.killed = True
        while not self.done:
            self.step()


@dataclass
class World:
    """The store, the queue, true time; and what is known to have been promised."""

    seed: int
    random: Random = field(init=False)
    now: float = 1_000_000.0
    processes: list[Process] = field(default_factory=list)
    queue: list[list[Any]] = field(default_factory=list)
    """[visible at, body]"""
    later: list[tuple[float, Callable[[Process], None]]] = field(default_factory=list)
    """What people will do, and when."""
    storm: bool = True

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.store = memory_ports(_Clock(self, None))
        schedules = self.store.schedules
        assert isinstance(schedules, MemorySchedules)
        self.schedules = schedules

    def start(self, body: Callable[[Process], None]) -> None:
        self.processes.append(Process(self, body))

    def start_in(self, seconds: float, body: Callable[[Process], None]) -> None:
        self.later.append((self.now + seconds, body))

    def ports(self, me: Process) -> Ports:
        clock = _Clock(self, me)
        stored = {
            name: _Stepped(self, me, getattr(self.store, name))
            for name in (
                *("log", "agents", "sessions", "beats", "sweeper", "keys", "spending"),
                *("customers", "schedules"),
            )
        }
        return Ports(wake_ups=_Queue(self, me), clock=clock, **stored)

    def run(self, work: Callable[[Process, WakeUp], None], storm: int = 1500) -> None:
        """Until nothing is left to do. `work` is what a wake-up does.

        For `storm` steps processes die and stall; then the world must come to rest.
        """
        for step in range(60_000):
            self.storm = step < storm
            self.now += self.random.choice([0, 0, 0.2, 0.2, 1, 1, 40 if self._rarely() else 0])
            for due in [one for one in self.later if one[0] <= self.now]:
                self.later.remove(due)
                self.start(due[1])
            for wake_up in self.schedules.due(round(self.now * 1000)):
                self.queue.append([self.now, wake_up_to_json(wake_up)])
            self._deliver(work)
            for process in [p for p in self.processes if self.now - p.started > LIFETIME]:
                self._end(process, kill=True)
            awake = [p for p in self.processes if p.frozen_until <= self.now]
            for process in awake:
                self._tick(process)
            ready = [p for p in awake if p.asleep_until <= self.now]
            if ready:
                self._step(self.random.choice(ready))
            elif self.processes or self.queue or self.later or self.schedules.waiting:
                self.now = max(self.now, min(self._waits()))
            else:
                return
        raise AssertionError("the session never comes to rest")

    def _rarely(self) -> bool:
        return self.random.random() < 0.02

    def _deliver(self, work: Callable[[Process, WakeUp], None]) -> None:
        visible = [m for m in self.queue if m[0] <= self.now]
        if not visible or len(self.processes) > 12 or self.random.random() > 0.3:
            return
        message = self.random.choice(visible)
        message[0] = self.now + VISIBILITY

        def body(me: Process) -> None:
            work(me, wake_up_from_json(message[1]))
            me.pause()
            self.queue[:] = [m for m in self.queue if m is not message]

        self.start(body)

    def _step(self, process: Process) -> None:
        if self.storm and self.random.random() < 0.01:
            self._end(process, kill=True)
            return
        if self.storm and self.random.random() < 0.01:
            process.frozen_until = self.now + self.random.uniform(1, 150)
            return
        process.step()
        if process.bug:
            raise AssertionError(f"seed {self.seed}: the engine raised") from process.bug
        if process.done:
            self._end(process, kill=False)

    def _tick(self, process: Process) -> None:
        for n, (due, every, do) in enumerate(process.timers):
            if due <= self.now:
                if self.random.random() < 0.95:  # some beats are lost
                    do()
                process.timers[n] = (self.now + every, every, do)

    def _waits(self) -> Iterator[float]:
        for process in self.processes:
            yield max(process.frozen_until, process.asleep_until)
            yield from (max(due, process.frozen_until) for due, _, _ in process.timers)
        yield from (message[0] for message in self.queue)
        yield from (due for due, _ in self.later)
        yield from (when / 1000 for when, _ in self.schedules.waiting.values())

    def _end(self, process: Process, *, kill: bool) -> None:
        if kill:
            process.kill()
        self.processes.remove(process)


class _Stepped:
    """A port, each call of which is a step before and one after; some answers are lost."""

    def __init__(self, world: World, me: Process, port: object) -> None:
        self._world, self._me, self._port = world, me, port

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def stepped(*args: Any, **more: Any) -> Any:
            if not self._me.runs_here():
                return call(*args, **more)  # a timer, beside the process, which is at a step
            self._me.pause()
            result = call(*args, **more)
            chance = self._world.random.random()
            if self._world.storm and name == "append" and chance < 0.1:
                result = call(*args, **more)  # the answer was lost, and the client tried again
            self._me.pause()
            if self._world.storm and chance > 0.99:
                raise Unavailable("The answer was lost for good.")
            return result

        return stepped


class _Queue:
    """Delivers at least once, in any order, some twice."""

    def __init__(self, world: World, me: Process) -> None:
        self._world, self._me = world, me

    def send(self, wake_up: WakeUp, delay: int = 0) -> None:
        self._me.pause()
        for _ in range(1 + (self._world.random.random() < 0.05)):
            self._world.queue.append([self._world.now + delay, wake_up_to_json(wake_up)])
        self._me.pause()


class _Clock:
    """What one process believes the time to be."""

    def __init__(self, world: World, me: Process | None) -> None:
        self._world, self._me = world, me

    @property
    def process(self) -> Process:
        assert self._me
        return self._me

    def now(self) -> int:
        return round((self._world.now + (self._me.skew if self._me else 0)) * 1000)

    def monotonic(self) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        if self._me:
            self._me.sleep(seconds)

    @contextmanager
    def every(self, seconds: float, do: Callable[[], None]) -> Iterator[None]:
        if not self._me:
            yield
            return
        timer = (self._world.now + seconds, seconds, do)
        self._me.timers.append(timer)
        try:
            yield
        finally:
            self._me.timers.clear()

    def random(self) -> float:
        return self._world.random.random()

    def id(self) -> str:
        return f"{self._world.random.getrandbits(60):x}"
