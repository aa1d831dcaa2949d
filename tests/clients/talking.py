"""Users of the Vectara SDK, sync and async, told apart by nothing but what their tests need."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from vectara import AgentModel, AsyncVectara, Vectara
from vectara.agent_events import (
    CreateAgentEventsRequestBody_InputMessage,
    CreateAgentEventsRequestBody_Interrupt,
    CreateAgentEventsStreamRequestBody_InputMessage,
    CreateAgentEventsStreamRequestBody_Interrupt,
)
from vectara.environment import VectaraEnvironment

NO_RETRY = {"max_retries": 0}
PATIENCE = 60.0
"""Seconds that a condition may take on a busy machine."""


@pytest.fixture(params=["whole", "one byte at a time"])
def network(request: pytest.FixtureRequest, url: str) -> str:
    """The server's URL, on a network that delivers as it likes."""
    if request.param == "whole":
        return url
    if not (slow := os.environ.get("CUELINE_ONE_BYTE_URL", "")):
        pytest.skip("CUELINE_ONE_BYTE_URL is not set")
    return slow


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the SDK's clients is used."""
    return str(request.param)


@pytest.fixture
def practice(unique: str) -> "Practice":
    if not (url := os.environ.get("CUELINE_PRACTICE_URL", "")):
        pytest.skip("CUELINE_PRACTICE_URL is not set")
    return Practice(url, unique)


@pytest.fixture
def direct(url: str) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")


@pytest.fixture
def talker(direct: Vectara, unique: str) -> Iterator[str]:
    """An agent whose model is called as the agent is, with a session "s"."""
    direct.agents.create(
        key=unique, name="Talker", tool_configurations={}, model=AgentModel(name=unique)
    )
    direct.agent_sessions.create(unique, key="s")
    yield unique
    direct.agent_sessions.delete(unique, "s")
    direct.agents.delete(unique)


def said(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "content": text}]


def streamed(events: list[Any]) -> str:
    return "".join(e.content for e in events if e.type == "streaming_agent_output")


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Practice:
    """The practice model, as the model of one agent."""

    url: str
    model: str

    def will(self, *faults: dict[str, Any]) -> None:
        """What it does at its next calls, one fault a call."""
        told = {"model": self.model, "faults": faults}
        httpx.post(f"{self.url}/faults", json=told, trust_env=False).raise_for_status()

    def asked(self) -> list[dict[str, Any]]:
        """The bodies of its calls so far."""
        named = {"model": self.model}
        answer = httpx.get(f"{self.url}/requests", params=named, trust_env=False)
        return list(answer.raise_for_status().json()["requests"])


class Person:
    """Somebody with a client of their own, who talks to the session "s" of one agent."""

    def __init__(self, kind: str, url: str, agent: str) -> None:
        where = VectaraEnvironment(default=url, auth=url)
        self.agent = agent
        self.heard: list[Any] = []
        """The events of the last stream, as they come."""
        self.sync = Vectara(environment=where, api_key="k") if kind == "sync" else None
        self.client = AsyncVectara(environment=where, api_key="k")

    async def say(
        self,
        text: str,
        *,
        since: str | None = None,
        behavior: str | None = None,
        key: str | None = None,
        retries: bool = False,
    ) -> list[Any]:
        """The events of the answer in JSON."""
        return await self._create(
            CreateAgentEventsRequestBody_InputMessage(
                messages=said(text), **_given(since, behavior)
            ),
            _options(key, retries),
        )

    async def interrupt(self) -> list[Any]:
        return await self._create(CreateAgentEventsRequestBody_Interrupt(), _options(None, False))

    async def stream(
        self,
        text: str,
        *,
        since: str | None = None,
        behavior: str | None = None,
        key: str | None = None,
        leave: Callable[[Any], bool] = lambda _: False,
    ) -> list[Any]:
        """The events of a stream, which is left after the first for which `leave` is true.

        But for those that say how full the context is.
        """
        body = CreateAgentEventsStreamRequestBody_InputMessage(
            messages=said(text), **_given(since, behavior)
        )
        return await self._hear(body, _options(key, False), leave)

    async def interrupt_on_a_stream(self) -> list[Any]:
        body = CreateAgentEventsStreamRequestBody_Interrupt()
        return await self._hear(body, _options(None, False), lambda _: False)

    async def _create(self, body: Any, options: Any) -> list[Any]:
        asked = {"request": body, "request_options": options}
        if client := self.sync:
            created = await asyncio.to_thread(client.agent_events.create, self.agent, "s", **asked)
        else:
            created = await self.client.agent_events.create(self.agent, "s", **asked)
        assert created.session_key == "s"
        return list(created.events)

    async def _hear(self, body: Any, options: Any, leave: Callable[[Any], bool]) -> list[Any]:
        self.heard = heard = []
        asked = {"request": body, "request_options": options}

        def hear(event: Any) -> None:
            if event.type != "context_consumed":
                heard.append(event)

        def listen() -> None:
            assert self.sync
            stream = self.sync.agent_events.create_stream(self.agent, "s", **asked)
            for event in stream:
                hear(event)
                if leave(event):
                    stream.close()

        if self.sync:
            await asyncio.to_thread(listen)
            return heard
        stream: Any = self.client.agent_events.create_stream(self.agent, "s", **asked)
        async with aclosing(stream):
            async for event in stream:
                hear(event)
                if leave(event):
                    break
        return heard


def _given(since: str | None, behavior: str | None) -> dict[str, str]:
    """What is None is not sent at all, as from a caller who does not know of it."""
    given = {"since": since, "behavior": behavior}
    return {name: value for name, value in given.items() if value is not None}


def _options(key: str | None, retries: bool) -> dict[str, Any]:
    options: dict[str, Any] = {} if retries else dict(NO_RETRY)
    if key:
        options["additional_headers"] = {"Idempotency-Key": key}
    return options


@dataclass
class Transcript:
    """What a client knows who always goes on from the last event id that it has seen."""

    known: list[tuple[str, str, str]] = field(default_factory=list)
    """Type, id and text of each message and answer, as they came."""
    last: str = "start"
    _text: str = ""

    def hear(self, events: list[Any]) -> None:
        """One answer or stream; what was said by half at its end will come again, whole."""
        self._text = ""
        for event in events:
            match event.type:
                case "streaming_agent_output":
                    self._text += event.content
                case "streaming_agent_output_end":
                    if event.event_id:
                        self._know("agent_output", event.event_id, self._text)
                    self._text = ""
                case "input_message":
                    self._know(event.type, event.id, event.messages[0].content)
                case "agent_output":
                    self._know(event.type, event.id, event.content)
                case _:
                    self.last = getattr(event, "id", None) or self.last

    def _know(self, kind: str, event_id: str, text: str) -> None:
        self.known.append((kind, event_id, text))
        self.last = event_id


def listed(client: Vectara, agent: str) -> Transcript:
    """The same of all that is in the log."""
    everything = Transcript()
    everything.hear(list(client.agent_events.list(agent, "s", limit=100)))
    return everything
