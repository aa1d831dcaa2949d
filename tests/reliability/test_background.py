"""Events of a background trigger, while the processes that take them in and answer them are killed.

`make test` sends 75, which take some 15 seconds, nearly all of them in the emulator; for 1,000 say

    BACKGROUND_EVENTS=1000 .venv/bin/pytest tests/reliability/test_background.py
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.background import DynamoRuns
from cueline.adapters.memory import memory_ports
from cueline.engine.runs import progress
from cueline.log.events import Answered, Input
from tests.clock import FakeClock
from tests.reliability.client import BUSY, HANG, MOST_ATTEMPTS, Client
from tests.reliability.conditions import Conditions
from tests.reliability.driver import crew, prepare
from tests.reliability.evidence import Log, stored
from tests.reliability.laws import broken
from tests.reliability.poison import POISON, switch
from tests.reliability.stack import Base, Stack

EVENTS = int(os.environ.get("BACKGROUND_EVENTS", "75"))
SESSIONS = 50
SENDERS = 10
TRIGGERS = "/v1/integration/trigger"
PATIENCE = 120.0 + EVENTS / 4
Fields = dict[str, Any]


@dataclass
class Sender:
    """Sends each event until it is taken in, to a door that nothing happens to.

    Without delivery keys, which are stored in a transaction each: moto copies all that there is for
    every one of them.
    """

    doors: Callable[[], str]
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=HANG))

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Fields:
        for _ in range(MOST_ATTEMPTS):
            try:
                answer = self._http.request(method, self.doors() + path, json=body, **more)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code not in BUSY:
                answer.raise_for_status()
                given: Fields = answer.json()
                return given
            time.sleep(0.1)
        raise AssertionError(f"{method} {path} is never answered")

    def trigger(self, stack: Stack, name: str) -> str:
        """A new one, whose agent always says the same."""
        house = Client("the house", self.doors)
        agent, _, _ = prepare(stack, house, name, 0, brief=True).partition(".")
        house.close()
        given = {"botId": agent, "authenticate": False}
        key = {"idempotency-key": name}
        return str(self.ask("POST", f"{TRIGGERS}/create", given, headers=key)["id"])

    def send(self, trigger: str, session: str, text: str) -> Fields:
        body = {"session": session, "text": text}
        return self.ask("POST", f"{TRIGGERS}/{trigger}/event", body)

    def run(self, trigger: str, run: str) -> Fields:
        return self.ask("GET", f"{TRIGGERS}/{trigger}/execution/{run}/fetch")

    def close(self) -> None:
        self._http.close()


@contextmanager
def struck(stack: Stack) -> Iterator[list[int]]:
    """Workers, one of which is killed now and then, too seldom for one turn to die of it for good.

    Gives those who were.
    """
    killed: list[int] = []
    dice, over = random.Random(stack.given.table), threading.Event()

    def strike() -> None:
        while len(killed) < EVENTS // 5 and not over.wait(dice.uniform(0.2, 0.8)):
            alive = stack.status()["alive"].items()
            workers = [int(pid) for pid, role in alive if role == "worker"]
            mine = sorted({*workers} & {*stack.pids})
            if mine:
                killed.append(dice.choice(mine))
                stack.signal(killed[-1], signal.SIGKILL)

    striker = threading.Thread(target=strike, daemon=True)
    with crew(stack, 3):
        striker.start()
        try:
            yield killed
        finally:
            over.set()
            striker.join()


def said_and_answered(log: Log) -> tuple[list[str], list[str]]:
    """The texts of its inputs, and of those that were answered, each in the log's order."""
    events = log.recorded
    said = {r.offset: r.event.texts[0] for r in events if isinstance(r.event, Input)}
    answers = [r.event for r in events if isinstance(r.event, Answered)]
    return [*said.values()], [said[offset] for answer in answers for offset in answer.inputs]


def came_to(log: Log, offset: int) -> str:
    """The status of the run at this place, in the words of the door."""
    done = memory_ports(FakeClock())
    for segment in log.segments:
        done.log.append(log.session, log.incarnation, segment)
    found = progress(done, log.session, log.incarnation, offset)
    return found.status if found else "deleted"


@pytest.mark.timeout(2 * PATIENCE)
def test_every_event_is_answered_once_and_in_order_though_processes_die(shared: Base) -> None:
    with shared.stack(Conditions("background events", lease=4)) as stack, struck(stack) as killed:
        door = stack.door()
        sender = Sender(lambda: door)
        trigger = sender.trigger(stack, "events")
        wanted = {
            f"session {n}": [f"event {e}" for e in range(n, EVENTS, SESSIONS)]
            for n in range(SESSIONS)
        }

        def deliver(sessions: list[str]) -> dict[str, Fields]:
            """Those of one session one after the other: this is the order that they have."""
            mine = Sender(lambda: door)
            taken = {}
            for turn in range(max(map(len, wanted.values()))):
                for session in sessions:
                    for text in wanted[session][turn : turn + 1]:
                        taken[text] = mine.send(trigger, session, text)
            mine.close()
            return taken

        names = [*wanted]
        with ThreadPoolExecutor(SENDERS) as pool:
            parts = pool.map(deliver, [names[n::SENDERS] for n in range(SENDERS)])
            taken = {text: answer for part in parts for text, answer in part.items()}
        stack.rest(PATIENCE)
        sender.close()
        table = DynamoRuns(stack.dynamodb, stack.given.table, SystemClock())
        runs = {run.id: run for run in table.list(trigger, 2 * EVENTS, None)}
        items = stack.items()
        found = [*broken(items), *stack.errors()]
    assert found == []
    assert killed
    assert {answer["status"] for answer in taken.values()} == {"queued"}
    assert {answer["id"] for answer in taken.values()} == runs.keys(), "one run for each event"
    assert len(runs) == EVENTS
    logs = {log.session: log for log in stored(items)}
    statuses = [came_to(logs[run.session], run.offset) for run in runs.values()]
    assert Counter(statuses) == {"succeeded": EVENTS}
    talks = [said_and_answered(log) for log in logs.values()]
    assert sorted(said for said, _ in talks) == sorted(wanted.values())
    assert [answered for _, answered in talks] == [said for said, _ in talks]


@pytest.mark.timeout(240)
def test_an_event_that_kills_its_workers_ends_dead_and_succeeds_once_it_does_not(
    shared: Base,
) -> None:
    with shared.stack(Conditions("a poison event")) as stack, crew(stack, 2):
        door = stack.door()
        sender = Sender(lambda: door)
        trigger = sender.trigger(stack, POISON)
        switch(stack.given).touch()
        told = [
            sender.send(trigger, session, text)
            for session, text in [
                ("bad", "Before."),
                ("bad", f"This is {POISON}."),
                ("bad", "After."),
                ("good", "Beside."),
            ]
        ]
        stack.rest()
        ended = [sender.run(trigger, run["id"]) for run in told]
        bad = ended[1]
        switch(stack.given).unlink()
        again = sender.ask("POST", f"{TRIGGERS}/{trigger}/execution/{bad['id']}/redrive")
        stack.rest()
        mended = sender.run(trigger, again["id"])
        sender.close()
        found = [*broken(stack.items()), *stack.errors()]
    assert found == []
    assert [run["status"] for run in ended] == ["succeeded", "dead", "succeeded", "succeeded"]
    assert bad["error"]["code"] == "turn_abandoned"
    assert bad["error"]["retryable"]
    assert bad["attempts"] > 1, "several have died of it"
    assert (mended["status"], mended["outcome"]) == ("succeeded", "Well then.")
    assert (mended["id"], mended["redrives"]) == (bad["id"], 1)
