"""The published SDK hides, shows and deletes events, and forks sessions."""

import pytest
from vectara import AgentModel, Vectara
from vectara.agent_events import CreateAgentEventsRequestBody_InputMessage as Message
from vectara.agent_sessions import CreateAgentSessionRequestFromSession as FromSession
from vectara.core.api_error import ApiError
from vectara.environment import VectaraEnvironment
from vectara.errors import BadRequestError, NotFoundError

MODEL = AgentModel(name="practice")


@pytest.fixture
def client(url: str) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=url, auth=url), api_key="any")


@pytest.fixture
def agent(client: Vectara, unique: str) -> str:
    made = client.agents.create(key=unique, name="A", tool_configurations={}, model=MODEL)
    return made.key


@pytest.fixture
def session(client: Vectara, agent: str) -> str:
    """With two answered messages."""
    made = client.agent_sessions.create(agent, key="s")
    for text in ("one", "two"):
        hello = Message(messages=[{"type": "text", "content": text}])
        client.agent_events.create(agent, "s", request=hello)
    return made.key


def ids(client: Vectara, agent: str, session: str, hidden: bool = False) -> list[str]:
    return [e.id for e in client.agent_events.list(agent, session, include_hidden=hidden)]


def test_an_event_is_hidden_and_shown_again(client: Vectara, agent: str, session: str) -> None:
    before = ids(client, agent, session)
    assert len(before) == 4
    hidden = client.agent_events.hide(agent, session, before[1])
    assert (hidden.id, hidden.hide_reason) == (before[1], "manual")
    assert ids(client, agent, session) == [before[0], *before[2:]]
    assert ids(client, agent, session, hidden=True) == before
    assert client.agent_events.get(agent, session, before[1]).hide_reason == "manual"
    shown = client.agent_events.unhide(agent, session, before[1])
    assert not getattr(shown, "hide_reason", None)
    assert ids(client, agent, session) == before


def test_a_deleted_event_is_gone(client: Vectara, agent: str, session: str) -> None:
    before = ids(client, agent, session)
    client.agent_events.delete(agent, session, before[1])
    assert ids(client, agent, session, hidden=True) == [before[0], *before[2:]]
    with pytest.raises(NotFoundError):
        client.agent_events.get(agent, session, before[1])
    with pytest.raises(NotFoundError):
        client.agent_events.hide(agent, session, before[1])
    with pytest.raises(NotFoundError):
        client.agent_events.hide(agent, session, "aev_unknown")


def types(client: Vectara, agent: str, session: str) -> list[str]:
    return [e.type for e in client.agent_events.list(agent, session)]


def test_a_fork_has_the_same_events_and_can_be_talked_to(
    client: Vectara, agent: str, session: str
) -> None:
    made = client.agent_sessions.create(agent, from_session=FromSession(session_key=session))
    assert types(client, agent, made.key) == types(client, agent, session)
    copies = ids(client, agent, made.key)
    assert not set(copies) & set(ids(client, agent, session))
    hello = Message(messages=[{"type": "text", "content": "three"}])
    answered = client.agent_events.create(agent, made.key, request=hello)
    assert [e.type for e in answered.events] == ["input_message", "agent_output"]
    assert len(ids(client, agent, session)) == 4


def test_a_fork_ends_where_it_is_told_to(client: Vectara, agent: str, session: str) -> None:
    last = ids(client, agent, session)[1]
    made = client.agent_sessions.create(
        agent, from_session=FromSession(session_key=session, include_up_to_event_id=last)
    )
    assert types(client, agent, made.key) == ["input_message", "agent_output"]


def test_an_empty_session_has_an_empty_fork(client: Vectara, agent: str) -> None:
    empty = client.agent_sessions.create(agent)
    made = client.agent_sessions.create(agent, from_session=FromSession(session_key=empty.key))
    assert ids(client, agent, made.key) == []


def test_a_fork_can_be_summed_up(client: Vectara, agent: str, session: str) -> None:
    last = ids(client, agent, session)[1]
    made = client.agent_sessions.create(
        agent, from_session=FromSession(session_key=session, compact_up_to_event_id=last)
    )
    assert types(client, agent, made.key) == ["input_message", "agent_output", "compaction"]


def test_a_wrong_source_is_refused(client: Vectara, agent: str, session: str) -> None:
    last = ids(client, agent, session)[-1]
    for wrong in (
        {"include_up_to_event_id": "aev_unknown"},
        {"include_up_to_event_id": last, "compact_up_to_event_id": last},
    ):
        with pytest.raises(BadRequestError):
            client.agent_sessions.create(
                agent, from_session=FromSession(session_key=session, **wrong)
            )
    with pytest.raises(ApiError) as caught:
        client.agent_sessions.create(agent, from_session=FromSession(session_key="unknown"))
    assert caught.value.status_code == 404
