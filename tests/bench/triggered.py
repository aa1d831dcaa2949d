"""Door 2 as the bench talks with it: who takes posts, who answers them, who lists events."""

import random
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cueline.engine.agent import Guideline
from tests.bench.histories import EVENTS_A_TURN, create_session, turns_of
from tests.bench.model import QUESTION
from tests.bench.queues import working
from tests.bench.servers import Server, Servers
from tests.bench.turns import EVENTS_OF_20_MESSAGES

GUIDED = "guided"
"""The key of an agent that has guidelines."""
GUIDELINES = tuple(
    Guideline(id=uuid.uuid4().hex[:10], condition=condition, action=action)
    for condition, action in (
        ("they ask about trains", "name the platform"),
        ("they have a dog", "say where dogs may ride"),
        ("they are in a hurry", "keep it short"),
    )
)
MESSAGE = {"kind": "message", "source": "customer", "message": QUESTION}
TRIGGER = {
    "kind": "message",
    "source": "ai_agent",
    "guidelines": [
        {"action": "Ask whether they are still there.", "rationale": "follow_up"},
    ],
}
UNTIL_IT_WAITS = 0.1
"""Seconds after which a list that was asked for waits for events."""
BETWEEN_LOOKS = 0.25
"""Seconds at most that an event waits until a list is looked at: it may come at any time."""


@dataclass(frozen=True)
class Heard:
    """An answer to a list of events, and when it was there."""

    events: Sequence[dict[str, Any]]
    at: float


@dataclass(frozen=True)
class Door:
    servers: Servers
    rest: Server
    streaming: Server
    worker: Server
    chance: random.Random = field(default_factory=lambda: random.Random(20))

    def session(self, model: str, agent: str = "") -> str:
        """The id of a new session with 20 messages behind it."""
        past = turns_of(EVENTS_OF_20_MESSAGES)
        key = create_session(self.servers.dynamodb, model, past, agent=agent)
        return f"{agent or model}.{key}"

    def post(self, session: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.rest.http.post(f"/sessions/{session}/events", json=body)
        if response.status_code != 201:
            raise RuntimeError(f"{self.rest.name}: {response.status_code} {response.text[-500:]}")
        return dict(response.json())

    def wait(self, session: str, first: int, **query: Any) -> Heard:
        """The events from `first` on, once there are some; none where there are none in time."""
        asked = {"min_offset": first, "wait_for_data": 30, **query}
        response = self.streaming.http.get(f"/sessions/{session}/events", params=asked)
        at = time.perf_counter()
        if response.status_code not in {200, 504}:
            raise RuntimeError(f"{self.streaming.name}: {response.status_code} {response.text}")
        return Heard(response.json() if response.status_code == 200 else (), at)

    def some_time(self) -> None:
        """Until a list waits, and then as long as an event may take that comes at any time."""
        time.sleep(UNTIL_IT_WAITS + BETWEEN_LOOKS * self.chance.random())

    @contextmanager
    def working(self) -> Iterator[list[float]]:
        """Nothing of what was sent before; see `queues.working`."""
        self.servers.sqs.purge_queue(QueueUrl=self.servers.queue)
        with working(self.servers, self.worker) as used:
            yield used


FIRST_NEW = turns_of(EVENTS_OF_20_MESSAGES) * EVENTS_A_TURN
"""The offset of the first event that comes to a session of 20 messages."""


@dataclass(frozen=True)
class Exchange:
    """A customer's message and the agent's, as both sides see them. Seconds."""

    posting: float
    """Until the post was answered."""
    answering: float
    """From then until the agent's message was heard."""


def exchange(door: Door, session: str, pool: ThreadPoolExecutor) -> Exchange:
    """While a worker works: somebody waits for the agent's message, and a customer posts one."""
    wanted = {"source": "ai_agent", "kinds": "message"}
    waiting = pool.submit(door.wait, session, FIRST_NEW, **wanted)
    door.some_time()
    began = time.perf_counter()
    door.post(session, MESSAGE)
    posted = time.perf_counter()
    heard = waiting.result()
    if not heard.events:
        raise RuntimeError(f"nothing was answered in {session}")
    return Exchange(posted - began, heard.at - posted)
