"""The Vectara SDK talks: create agent → session → event → stream → list → get → delete."""

from collections.abc import Iterator

import pytest
from vectara import AgentModel, AsyncVectara, Vectara
from vectara.agent_events import (
    CreateAgentEventsRequestBody_InputMessage,
    CreateAgentEventsStreamRequestBody_InputMessage,
)
from vectara.core.api_error import ApiError
from vectara.environment import VectaraEnvironment
from vectara.errors import NotFoundError

from tests.clients.talking import NO_RETRY, network, said, streamed

__all__ = ["network"]

TEXT = "Grüße, 日本語 and 🎈?"


@pytest.fixture
def client(network: str) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=network, auth=network), api_key="k")


@pytest.fixture
async def async_client(network: str) -> AsyncVectara:
    return AsyncVectara(environment=VectaraEnvironment(default=network, auth=network), api_key="k")


@pytest.fixture
def agent(url: str, unique: str) -> Iterator[str]:
    direct = Vectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")
    direct.agents.create(
        key=unique, name="Talker", tool_configurations={}, model=AgentModel(name="practice")
    )
    yield unique
    for session in direct.agent_sessions.list(unique, limit=100):
        direct.agent_sessions.delete(unique, session.key)
    direct.agents.delete(unique)


def streaming(text: str) -> CreateAgentEventsStreamRequestBody_InputMessage:
    return CreateAgentEventsStreamRequestBody_InputMessage(messages=said(text))


def test_the_whole_job(client: Vectara, agent: str) -> None:
    session = client.agent_sessions.create(agent, key="s", name="Talk")
    assert session.enabled

    created = client.agent_events.create(
        agent, "s", request=CreateAgentEventsRequestBody_InputMessage(messages=said(TEXT))
    )
    assert created.session_key == "s"
    assert [e.type for e in created.events] == ["input_message", "agent_output"]
    assert TEXT in created.events[1].content

    body = streaming(f"think: {TEXT}")
    events = list(client.agent_events.create_stream(agent, "s", request=body))
    kinds = [e.type for e in events]
    assert kinds[0] == "input_message"
    assert kinds[-3:] == ["streaming_agent_output_end", "context_consumed", "end"]
    assert kinds.index("streaming_thinking_end") < kinds.index("streaming_agent_output")
    assert TEXT in streamed(events)

    listed = list(client.agent_events.list(agent, "s", limit=2))
    assert [e.type for e in listed] == [
        "input_message",
        "agent_output",
        "input_message",
        "thinking",
        "agent_output",
    ]
    assert listed[-1].id == events[-3].event_id
    assert listed[-1].content == streamed(events)

    assert client.agent_events.get(agent, "s", listed[0].id).messages[0].content == TEXT
    client.agent_sessions.delete(agent, "s")
    with pytest.raises(NotFoundError):
        client.agent_sessions.get(agent, "s")
    with pytest.raises(NotFoundError):
        client.agent_events.create(agent, "s", request={"messages": said("hi")})


async def test_the_whole_job_async(async_client: AsyncVectara, agent: str) -> None:
    client = async_client
    await client.agent_sessions.create(agent, key="s")
    created = await client.agent_events.create(
        agent, "s", request=CreateAgentEventsRequestBody_InputMessage(messages=said(TEXT))
    )
    assert TEXT in created.events[1].content
    body = streaming(f"think: {TEXT}")
    events = [e async for e in client.agent_events.create_stream(agent, "s", request=body)]
    assert events[-1].type == "end"
    assert TEXT in streamed(events)
    pager = await client.agent_events.list(agent, "s", limit=2)
    listed = [e async for e in pager]
    assert len(listed) == 5
    assert (await client.agent_events.get(agent, "s", listed[4].id)).content == streamed(events)
    await client.agent_sessions.delete(agent, "s")
    with pytest.raises(NotFoundError):
        await client.agent_sessions.get(agent, "s")


def test_the_agent_remembers_the_session(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s")
    for text in ("My name is Ada.", "What was my first message?"):
        events = client.agent_events.create(agent, "s", request={"messages": said(text)}).events
    assert "My name is Ada." in events[-1].content


def test_a_stream_that_its_reader_leaves_is_answered_all_the_same(
    client: Vectara, agent: str
) -> None:
    client.agent_sessions.create(agent, key="s")
    stream = client.agent_events.create_stream(agent, "s", request=streaming("Hello"))
    assert next(stream).type == "input_message"
    stream.close()
    # The same message again attaches to the turn that goes on.
    events = client.agent_events.create(agent, "s", request={"messages": said("Hello")}).events
    assert events[-1].type == "agent_output"
    listed = [e.type for e in client.agent_events.list(agent, "s")]
    assert listed == ["input_message", "agent_output"]


def test_a_model_that_fails_is_an_error_in_json_and_an_event_on_a_stream(
    client: Vectara, unique: str
) -> None:
    client.agents.create(
        key=unique,
        name="Broken",
        tool_configurations={},
        model=AgentModel(name="practice-fail-401"),
    )
    client.agent_sessions.create(unique, key="s")
    with pytest.raises(ApiError) as failed:
        client.agent_events.create(
            unique, "s", request={"messages": said("Hello")}, request_options=NO_RETRY
        )
    assert failed.value.status_code == 500
    assert failed.value.body["code"] == "agent_processing_failed"
    assert failed.value.body["cause"] == "model_unauthorized"

    events = list(client.agent_events.create_stream(unique, "s", request=streaming("Again")))
    assert [e.type for e in events] == ["input_message", "error", "end"]
    assert events[1].messages

    # Both failures are in the log, as events that every client can read.
    listed = list(client.agent_events.list(unique, "s"))
    assert [e.type for e in listed] == ["input_message", "agent_output"] * 2
    client.agent_sessions.delete(unique, "s")
    client.agents.delete(unique)


def test_the_clients_own_retries_of_a_failure_leave_one_message(
    client: Vectara, unique: str
) -> None:
    client.agents.create(
        key=unique,
        name="Broken",
        tool_configurations={},
        model=AgentModel(name="practice-fail-401"),
    )
    client.agent_sessions.create(unique, key="s")
    with pytest.raises(ApiError):
        client.agent_events.create(unique, "s", request={"messages": said("Hello")})
    listed = [e.type for e in client.agent_events.list(unique, "s")]
    assert listed == ["input_message", "agent_output"]
    client.agent_sessions.delete(unique, "s")
    client.agents.delete(unique)
