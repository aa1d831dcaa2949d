"""Users of the Parlant SDK, sync and async, told apart by nothing but the SDK's client."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from parlant.client import AsyncParlantClient, Event, GatewayTimeoutError, ParlantClient

from tests.clients.talking import PATIENCE

CUSTOMER = {"kind": "message", "source": "customer"}
TRIGGER = {"kind": "message", "source": "ai_agent"}
TURN = ["acknowledged", "processing", "typing", "message", "ready"]
"""What is told of a turn that answers, after what it answers to."""


class _Awaited:
    """The sync client, called as the async one is."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return _Awaited(found)

        async def call(*given: Any, **named: Any) -> Any:
            return await asyncio.to_thread(found, *given, **named)

        return call


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, url: str) -> Any:
    """Either of the SDK's clients."""
    if request.param == "sync":
        return _Awaited(ParlantClient(base_url=url))
    return AsyncParlantClient(base_url=url)


@pytest.fixture
def parlant(url: str) -> AsyncParlantClient:
    """One of them, where it does not matter which."""
    return AsyncParlantClient(base_url=url)


@pytest.fixture
async def chat(parlant: AsyncParlantClient) -> AsyncIterator["Chat"]:
    """A guest's session with an agent of its own."""
    agent = await parlant.agents.create(name="Rest Agent")
    session = await parlant.sessions.create(agent_id=agent.id)
    yield Chat(parlant, session.id)
    await parlant.sessions.delete_many(agent_id=agent.id)
    await parlant.agents.delete(agent.id)


@dataclass
class Chat:
    """Somebody in a session who polls, and goes on after the last event that they know."""

    client: Any
    session: str
    heard: list[Event] = field(default_factory=list)

    async def post(self, **event: Any) -> Event:
        created: Event = await self.client.sessions.create_event(self.session, **event)
        assert created.correlation_id == created.trace_id
        return created

    async def say(self, text: str) -> Event:
        return await self.post(**CUSTOMER, message=text)

    async def trigger(self, *guidelines: Any) -> Event:
        """What the agent says to it. The answer has that, but where it takes longer than 20 s."""
        began = time.monotonic()
        answer = await self.post(**TRIGGER, guidelines=guidelines)
        if answer.kind == "status":
            assert time.monotonic() - began > 15, answer
            await self.hear_out(answer.trace_id)
            answer = self.message(answer.trace_id)
        return answer

    async def listed(self, **asked: Any) -> list[Event]:
        events: list[Event] = await self.client.sessions.list_events(
            self.session, wait_for_data=0, **asked
        )
        return events

    async def poll(self) -> None:
        after = self.heard[-1].offset if self.heard else -1
        try:
            events = await self.client.sessions.list_events(
                self.session, min_offset=after + 1, wait_for_data=20
            )
        except GatewayTimeoutError:  # a busy machine takes its time
            return
        assert events
        for event in events:
            assert event.offset > after
            after = event.offset
        self.heard += events

    async def hear(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.heard
            await self.poll()

    async def hear_out(self, trace: str) -> list[str]:
        """All that is told under this trace, once its turn is over."""
        await self.hear(lambda: any(_is_ready(e) for e in self.of(trace)))
        return told(self.of(trace))

    def of(self, trace: str) -> list[Event]:
        return [event for event in self.heard if event.trace_id == trace]

    def message(self, trace: str) -> Event:
        """What the agent says under it."""
        [message] = [e for e in self.of(trace) if (e.kind, e.source) == ("message", "ai_agent")]
        return message


def told(events: list[Event]) -> list[str]:
    """A status by its name, all else by its kind; but for what customers say."""
    return [
        event.data["status"] if event.kind == "status" else event.kind
        for event in events
        if event.source != "customer"
    ]


def _is_ready(event: Event) -> bool:
    return event.kind == "status" and event.data["status"] == "ready"
