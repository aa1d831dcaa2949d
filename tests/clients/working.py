"""Users of the Vectara SDK whose agents have more to do than to talk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from vectara import AgentModel, Vectara
from vectara.agent_events import (
    CreateAgentEventsRequestBody_InputMessage,
    CreateAgentEventsStreamRequestBody_InputMessage,
)
from vectara.types import AgentSession
from vectara.types import AgentToolConfiguration_DynamicVectara as DynamicVectara

from tests.clients.talking import NO_RETRY, said

CLOCK = DynamicVectara(tool_id="tol_current_time")
BERLIN = {"timezone": "Europe/Berlin"}

Hire = Callable[..., "Desk"]


@dataclass(frozen=True)
class Desk:
    """An agent whose model is called as the agent is, with a session "s"."""

    client: Vectara
    agent: str

    def say(self, *messages: Any, session: str = "s") -> list[Any]:
        """The events of the answer in JSON; a text stands for a message of it."""
        body = CreateAgentEventsRequestBody_InputMessage(messages=_messages(messages))
        return self.post(body, session)

    def post(self, request: Any, session: str = "s") -> list[Any]:
        answer = self.client.agent_events.create(
            self.agent, session, request=request, request_options=NO_RETRY
        )
        assert answer.session_key == session
        return list(answer.events)

    def stream(self, *messages: Any) -> list[Any]:
        body = CreateAgentEventsStreamRequestBody_InputMessage(messages=_messages(messages))
        return self.hear(body)

    def hear(self, request: Any) -> list[Any]:
        return list(self.client.agent_events.create_stream(self.agent, "s", request=request))

    def decide(self, call: str, decision: str, **more: Any) -> list[Any]:
        """Of the API's own: the SDK has no type for it, and passes on what it is given."""
        body = {"type": "tool_decision", "tool_call_id": call, "decision": decision}
        return self.post({**body, **more})

    def listed(self, session: str = "s", **more: Any) -> list[Any]:
        return list(self.client.agent_events.list(self.agent, session, limit=100, **more))

    def session(self) -> AgentSession:
        return self.client.agent_sessions.get(self.agent, "s")


@pytest.fixture
def hire(direct: Vectara, unique: str, caplog: pytest.LogCaptureFixture) -> Iterator[Hire]:
    """Makes the agent as it is told to. Whatever is streamed to it must be known to the SDK."""

    def make(*, tool_configurations: Any = None, **configuration: Any) -> Desk:
        direct.agents.create(
            key=unique,
            name="Desk",
            tool_configurations=tool_configurations or {},
            model=AgentModel(name=unique),
            **configuration,
        )
        direct.agent_sessions.create(unique, key="s")
        return Desk(direct, unique)

    yield make
    for session in direct.agent_sessions.list(unique, limit=100):
        direct.agent_sessions.delete(unique, session.key)
    direct.agents.delete(unique)
    # It skips an event of a stream that it cannot parse, and logs a warning.
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def types(events: list[Any]) -> list[str]:
    """Of a stream, what is said at a time as one."""
    kinds = [event.type for event in events]
    return [one for n, one in enumerate(kinds) if n == 0 or kinds[n - 1] != one]


def calls(tool: str, arguments: dict[str, Any], text: str = "") -> dict[str, Any]:
    """An answer of the practice model that calls this tool."""
    return {
        "kind": "script",
        "text": text,
        "calls": [{"name": tool, "arguments": arguments}],
    }


def says(text: str) -> dict[str, Any]:
    return {"kind": "script", "text": text}


def _messages(given: tuple[Any, ...]) -> list[Any]:
    return [one for each in given for one in (said(each) if isinstance(each, str) else [each])]
