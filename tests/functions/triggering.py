"""Door 2 in one process: both of its functions, memory adapters, a worker, a scripted model."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cueline import bootstrap
from cueline.adapters.clock import SystemClock
from cueline.adapters.memory import MemoryWakeUps, memory_ports
from cueline.engine import sessions
from cueline.engine.agent import Agent
from cueline.engine.ports import Customer, Ports
from cueline.engine.turn import Limits
from cueline.engine.worker import Worker
from cueline.log.events import Event, Recorded
from cueline.log.segment import Session
from functions.agent_events import app as streaming
from functions.agents import app as door_1
from functions.triggered_responses import app as rest
from tests.gateway import Answer, Context, event
from tests.models import ScriptedModel
from tests.serving import serving

SESSION = "a.s"
PATH = f"/sessions/{SESSION}/events"
HELLO: dict[str, Any] = {"kind": "message", "source": "customer", "message": "Hello"}
TRIGGER: dict[str, Any] = {"kind": "message", "source": "ai_agent"}
GUIDED: dict[str, Any] = {**TRIGGER, "guidelines": [{"action": "Ask if they are still there."}]}


@dataclass
class Stack:
    ports: Ports
    model: ScriptedModel
    client: httpx.Client
    """Of the streaming function, which has the list."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Set: the model may go on."""

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """The REST function; one request at a time."""
        request = event(method, path, body, **more)
        request["requestContext"]["requestId"] = str(uuid4())
        return Answer.of(rest.lambda_handler(request, Context()))  # type: ignore[arg-type]

    def door_1(self, method: str, path: str = "") -> Answer:
        """The same session's events through door 1."""
        request = event(method, f"/v2/agents/a/sessions/s/events{path}")
        return Answer.of(door_1.lambda_handler(request, Context()))  # type: ignore[arg-type]

    def post(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer = self.ask("POST", PATH, body, **more)
        assert answer.status == 201, answer.text
        return dict(answer.json)

    def get(self, **query: Any) -> httpx.Response:
        return self.client.get(PATH, params={"wait_for_data": 0, **query})

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.get(**query)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def stream(self, **query: Any) -> list[dict[str, Any]]:
        """The whole of it."""
        params = {"sse": "true", **query}
        with self.client.stream("GET", PATH, params=params) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            raw = b"".join(answer.iter_raw())
        assert raw.isascii()
        blocks = raw.decode().split("\n\n")[:-1]
        return [json.loads(one.removeprefix("data: ")) for one in blocks if one[0] != ":"]

    def told(self, trace: str) -> list[str]:
        """What is told under the trace, in short."""
        return [short(one) for one in self.listed(trace_id=trace)]

    def log(self) -> list[Recorded]:
        head = self.ports.log.tail(SESSION).head
        return list(self.ports.log.read(SESSION, head.incarnation, -1, 10_000))

    def events(self, kind: type[Event]) -> list[Any]:
        return [one.event for one in self.log() if isinstance(one.event, kind)]

    def until(self, holds: Callable[[], object]) -> None:
        for _ in range(1000):
            if holds():
                return
            time.sleep(0.01)
        pytest.fail(f"it never came to hold; the log is {self.log()}")

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker takes each wake-up that is due, each in a thread of its own."""
        worker = Worker(self.ports, lambda: self.model, Limits())
        queue = self.ports.wake_ups
        assert isinstance(queue, MemoryWakeUps)
        over, threads = threading.Event(), []

        def work() -> None:
            while not over.wait(0.005):
                for wake_up in queue.drain():
                    one = threading.Thread(target=worker.handle, args=(wake_up, 100, "worker"))
                    one.start()
                    threads.append(one)

        threads.append(threading.Thread(target=work))
        threads[0].start()
        try:
            yield
        finally:
            over.set()
            self.hold.set()
            for one in threads:
                one.join(10)


def short(event: dict[str, Any]) -> str:
    """Its status, or what is said."""
    data = event["data"]
    return str(data.get("status") or data.get("message") or event["kind"])


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    ports = memory_ports(SystemClock())
    agent = Agent(key="a", name="Support", model="m", created_at=0, updated_at=0)
    ports.agents.create(agent)
    ports.customers.create(Customer("c1", "Alice", 0))
    sessions.create(ports, Session("a", "s", 0, "s", 0, customer="c1"), "trace")
    settings = SimpleNamespace(wait_seconds=10.0, stream_seconds=10.0)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, None))
    monkeypatch.setattr(bootstrap, "ports", lambda: ports)
    monkeypatch.setattr(bootstrap, "settings", lambda: settings)
    with serving(streaming.app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield Stack(ports, ScriptedModel(), client)
