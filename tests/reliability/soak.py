"""Clients talk for minutes while the processes that serve them are killed and stalled at random.

    make soak SOAK_MINUTES=10

Two stacks' worth of workers share one table and one queue. In the end nothing may be lost, and
nothing be doubled: exit code 1 where a promise is broken, with the logs of those sessions in files.
"""

import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cueline.log.events import Answered, Input
from tests.reliability.client import Client, Reader
from tests.reliability.conditions import Conditions
from tests.reliability.driver import made, prepare, take
from tests.reliability.evidence import Reading, Told, stored
from tests.reliability.laws import broken
from tests.reliability.scenarios import Decide, Interrupt, Say, Step, SumUp, Verdict
from tests.reliability.stack import Stack, base

WORKERS, DOORS = 4, 2
PAIRS = 4
"""Of people who share a session."""
SAYS = 25
"""Messages of one person to one session; then both go on in another."""
PROGRESS = 10.0
CONDITIONS = Conditions("soak", lease=4, throttled=0.03, lost=0.03, skew=120, failing=0.05)
"""The lease is to what callers wait as it is on AWS: who waits sends for help every two leases."""


@dataclass
class Fleet:
    """The processes that serve, and whoever strikes them."""

    stack: Stack
    dice: random.Random
    workers: list[int] = field(default_factory=list)
    doors: dict[int, str] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    peace: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def door(self) -> str:
        """Any; it may be dead or stand still, as those who ask cannot know."""
        return random.choice([*self.doors.values()])

    def keep(self) -> None:
        """Puts others in the places of those who are dead or stand still."""
        while not self.over.is_set():
            status = self.stack.status()
            alive = {int(pid) for pid in status["alive"]} - set(status["stopped"])
            self.workers = [pid for pid in self.workers if pid in alive]
            while len(self.workers) < WORKERS:
                self.workers.append(self.stack.start("worker")[0])
            doors = {pid: url for pid, url in self.doors.items() if pid in alive}
            while len(doors) < DOORS:
                pid, url = self.stack.start("door")
                doors[pid] = url
            self.doors = doors
            self.over.wait(0.2)

    def strike(self) -> None:
        while not self.peace.wait(self.dice.uniform(0.5, 4.0)):
            role = self.dice.choice(["worker", "worker", "door"])
            how = self.dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
            victims = self.workers if role == "worker" else [*self.doors]
            if not victims:
                continue
            self.stack.signal(self.dice.choice(victims), how)
            self.struck[f"{role}s {'killed' if how == signal.SIGKILL else 'stalled'}"] += 1


@dataclass
class Talk:
    """Two people in one session after the other, until the time is over."""

    stack: Stack
    fleet: Fleet
    name: str
    until: float
    people: list[Client]
    told: list[Told] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)

    def go_on(self) -> None:
        try:
            first = prepare(self.stack, self.people[0], self.name, 15, tools=True)
            agent, _, _ = first.partition(".")
            number = 0
            while time.monotonic() < self.until:
                number += 1
                made(self.people[0], f"/v2/agents/{agent}/sessions", {"key": f"s{number}"})
                self._share(f"{agent}.s{number}")
        except BaseException as error:  # told at the end
            self.failed.append(error)

    def _share(self, session: str) -> None:
        reader = Reader(Client("a reader", self.fleet.door), session, limit=10)
        parts = [
            threading.Thread(target=self._speak, args=(person, session), daemon=True)
            for person in self.people
        ]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
        self.readings.append(reader.done())

    def _speak(self, person: Client, session: str) -> None:
        try:
            for number in range(SAYS):
                if time.monotonic() < self.until:
                    take(person, session, step(person.who, number))
        except BaseException as error:  # told at the end
            self.failed.append(error)


def step(who: str, number: int) -> Step:
    """What one might do next. Most use a key, as everybody should whose connection may break."""
    chance = random.random()
    if chance < 0.08:
        return Interrupt(who, after=random.uniform(0, 0.5))
    if chance < 0.16:
        verdicts: list[Verdict] = ["approve", "approve", "reject"]
        return Decide(who, random.choice(verdicts), f"{who} decides {number}.", patience=0.2)
    if chance < 0.18:
        return SumUp(who, f"{who} sums up {number}.")
    work = random.choice(["", "", "pay", "pay and note", "refund", "note, then pay"])
    return Say(
        who,
        f'{who}, please {work} "{who} {number}".' if work else f"{who}, message {number}.",
        key=f"{who}-{number}" if random.random() < 0.85 else "",
        stream=random.random() < 0.4,
        queued=random.choice(["", "follow_up", "follow_up", "steer"]),
    )


def main() -> int:
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    say(f"{minutes:g} minutes, SOAK_SEED={seed}, logs in {folder}")
    random.seed(seed)
    with base(folder) as shared, shared.stack(CONDITIONS) as stack:
        fleet = Fleet(stack, random.Random(seed))
        keeper = start(fleet.keep)
        while len(fleet.doors) < DOORS:
            time.sleep(0.05)
        striker = start(fleet.strike)
        until = time.monotonic() + 60 * minutes
        talks = [
            Talk(stack, fleet, f"talk {n}", until, [Client(who, fleet.door) for who in "ab"])
            for n in range(PAIRS)
        ]
        threads = [start(talk.go_on) for talk in talks]
        found = watch(stack, fleet, talks, threads, until)
        fleet.peace.set()
        striker.join()
        for thread in threads:
            thread.join(180)
            if thread.is_alive():
                found.append("P10 hang: somebody is never answered")
        try:
            stack.rest(180)
        except TimeoutError as error:
            found.append(f"P1 rest: {error}")
        fleet.over.set()
        keeper.join()
        found += judged(stack, talks, folder)
    say(f"struck: {dict(fleet.struck)}")
    for line in found[:50]:
        say(f"BROKEN {line}")
    say("broken" if found else "nothing was lost, nothing was doubled")
    return 1 if found else 0


def watch(
    stack: Stack, fleet: Fleet, talks: list[Talk], threads: list[threading.Thread], until: float
) -> list[str]:
    """Tells how it goes until all have stopped talking."""
    begun = time.monotonic()
    last = begun
    while any(thread.is_alive() for thread in threads) and time.monotonic() < until + 120:
        time.sleep(0.5)
        if time.monotonic() >= until:
            fleet.peace.set()
        if time.monotonic() - last >= PROGRESS:
            last = time.monotonic()
            told = sum(len(person.told) for talk in talks for person in talk.people)
            tallied = {what: counted(stack, what) for what in ("takeovers", "throttles")}
            say(
                f"{last - begun:4.0f} s: {told} turns asked for, {dict(fleet.struck)}, {tallied}, "
                f"{stack.messages()} wake-ups"
            )
    return [f"{type(error).__name__}: {error}" for talk in talks for error in talk.failed]


def counted(stack: Stack, what: str) -> int:
    file = Path(stack.given.folder) / what
    return file.stat().st_size if file.exists() else 0


def judged(stack: Stack, talks: list[Talk], folder: Path) -> list[str]:
    items = stack.items()
    told = [one for talk in talks for person in talk.people for one in person.told]
    readings = [reading for talk in talks for reading in talk.readings]
    found = [*broken(items, told, readings, stack.ledger()), *stack.errors()]
    events = [r.event for log in stored(items) for r in log.recorded]
    say(f"stored: {dict(Counter(event.type for event in events))}")
    say(f"inputs: {sum(isinstance(e, Input) for e in events)} in {len(stored(items))} sessions,")
    say(f"answers: {sum(isinstance(e, Answered) for e in events)}")
    say(f"runs of tools: {dict(Counter(line.split()[0] for line in stack.ledger()))}")
    say(f"told: {dict(Counter(f'{one.status} {one.code}'.strip() for one in told))}")
    for session in {s for line in found for s in re.findall(r"\[([\w-]+\.[\w-]+)", line)}:
        kept: list[Any] = [item for item in items if item["pk"]["S"] == session]
        kept += [repr(one) for one in told if one.session == session]
        (folder / f"{session}.json").write_text(json.dumps(kept, indent=1))
        say(f"the log of {session} is in {folder / session}.json")
    return found


def start(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
