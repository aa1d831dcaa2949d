"""The streaming function on a port: the real ASGI app, memory adapters, a scripted model."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from cueline import bootstrap
from cueline.adapters.clock import SystemClock
from cueline.adapters.memory import memory_ports
from cueline.doors.agent_events.hosting import Hosting
from cueline.engine import sessions
from cueline.engine.agent import Agent
from cueline.engine.inline import Inline
from cueline.engine.ports import Ports
from cueline.engine.turn import Limits
from cueline.log.events import Event
from cueline.log.segment import Session
from functions.agent_events import app as function
from tests.models import ScriptedModel
from tests.serving import serving

PATH = "/v2/agents/a/sessions/s/events"


@dataclass
class Door:
    client: httpx.Client
    ports: Ports
    model: ScriptedModel
    hold: threading.Event = field(default_factory=threading.Event)
    """Set: the model may go on."""

    def post(self, text: str = "hello", *, headers: Any = None, **body: Any) -> httpx.Response:
        return self.client.post(PATH, json={**said(text), **body}, headers=headers)

    def interrupt(self, *, headers: Any = None, **body: Any) -> httpx.Response:
        return self.client.post(PATH, json={"type": "interrupt", **body}, headers=headers)

    def stream(
        self, text: str = "hello", *, headers: Any = None, **body: Any
    ) -> list[dict[str, Any]]:
        body = {**said(text), "stream_response": True, **body}
        return self.streamed(body, headers)

    def streamed(self, body: dict[str, Any], headers: Any = None) -> list[dict[str, Any]]:
        with self.client.stream("POST", PATH, json=body, headers=headers) as response:
            assert response.status_code == 201, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            raw = b"".join(response.iter_raw())
        assert raw.isascii()
        return [
            json.loads(block.partition("\ndata:")[2])
            for block in raw.decode().removesuffix("\n\n").split("\n\n")
            if not block.startswith(":")
        ]

    def log(self) -> list[Event]:
        head = self.ports.log.tail("a.s").head
        return [r.event for r in self.ports.log.read("a.s", head.incarnation, -1, 10_000)]

    def until(self, holds: Callable[[], object]) -> None:
        for _ in range(1000):
            if holds():
                return
            time.sleep(0.01)
        pytest.fail(f"it never came to hold; the log is {self.log()}")


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"type": "text", "content": text}]}


@pytest.fixture
def hosting(monkeypatch: pytest.MonkeyPatch) -> Hosting:
    ports = memory_ports(SystemClock())
    agent = Agent(key="a", name="A", model="m", created_at=0, updated_at=0)
    ports.agents.create(agent)
    sessions.create(ports, Session("a", "s", 0, "S", 0), "trace")
    model = ScriptedModel()
    inline = Inline(ports, lambda: model, Limits())
    made = Hosting(ports, None, inline, wait_seconds=20, stream_seconds=20)
    monkeypatch.setattr(bootstrap, "hosting", lambda: made)
    monkeypatch.setattr(bootstrap, "ports", lambda: ports)
    return made


@pytest.fixture
def door(hosting: Hosting) -> Iterator[Door]:
    model = hosting.inline.model()
    assert isinstance(model, ScriptedModel)
    with serving(function.app) as url, httpx.Client(base_url=url, timeout=20) as client:
        made = Door(client, hosting.ports, model)
        yield made
        made.hold.set()


def changed(hosting: Hosting, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    made = replace(hosting, **how)
    monkeypatch.setattr(bootstrap, "hosting", lambda: made)
