"""The Vectara SDK manages agents and sessions, and reads events."""

from collections.abc import Iterator

import pytest
from vectara import AgentModel, AsyncVectara, Vectara
from vectara.core.api_error import ApiError
from vectara.environment import VectaraEnvironment
from vectara.errors import BadRequestError, NotFoundError
from vectara.types import AgentInput_Text, AgentOutputParser_Default, AgentStep, FirstAgentStep
from vectara.types import AgentStepInstruction_Inline as Inline

MODEL = AgentModel(name="practice")
NO_RETRY = {"max_retries": 0}


@pytest.fixture
def client(url: str) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")


@pytest.fixture
def agent(client: Vectara, unique: str) -> Iterator[str]:
    client.agents.create(key=unique, name="Helper", tool_configurations={}, model=MODEL)
    yield unique
    for session in client.agent_sessions.list(unique, limit=100):
        client.agent_sessions.delete(unique, session.key)
    client.agents.delete(unique)


def say(client: Vectara, agent: str, session: str, text: str) -> list:
    request = {"type": "input_message", "messages": [{"type": "text", "content": text}]}
    return client.agent_events.create(agent, session, request=request).events


# --- agents --------------------------------------------------------------------------------------


def test_the_smallest_agent_gets_a_key_from_its_name(client: Vectara) -> None:
    made = client.agents.create(name="Contract Triage", tool_configurations={}, model=MODEL)
    assert made.key.startswith("agt_contract_triage_")
    assert made.first_step.name
    assert made.enabled
    client.agents.delete(made.key)


def test_a_first_step_comes_back_as_given(client: Vectara, unique: str) -> None:
    step = FirstAgentStep(
        name="hello",
        instructions=[Inline(name="tone", template="Be kind. ¿Qué tal? 🎈", enabled=True)],
        output_parser=AgentOutputParser_Default(),
    )
    made = client.agents.create(
        key=unique,
        name="Ägent 🎈",
        description="日本語",
        tool_configurations={},
        model=AgentModel(name="practice", parameters={"temperature": 0.2}),
        first_step=step,
        metadata={"team": {"size": 3, "tags": ["a", None]}},
        enabled=False,
    )
    got = client.agents.get(unique)
    assert got == made
    assert (got.name, got.description, got.enabled) == ("Ägent 🎈", "日本語", False)
    assert got.first_step.name == "hello"
    assert got.first_step.instructions[0].template == "Be kind. ¿Qué tal? 🎈"
    assert got.model.parameters == {"temperature": 0.2}
    assert got.metadata == {"team": {"size": 3, "tags": ["a", None]}}
    client.agents.delete(unique)


def test_steps_with_a_first_step_name_give_a_first_step_too(client: Vectara, unique: str) -> None:
    step = AgentStep(
        instructions=[Inline(name="tone", template="Be kind.")],
        output_parser=AgentOutputParser_Default(),
    )
    made = client.agents.create(
        key=unique,
        name="A",
        tool_configurations={},
        model=MODEL,
        first_step_name="only",
        steps={"only": step},
    )
    assert made.first_step.name == made.first_step_name == "only"
    assert made.first_step.instructions[0].template == "Be kind."
    assert made.steps["only"].instructions[0].template == "Be kind."
    client.agents.delete(unique)


def test_a_list_goes_on_over_its_pages(client: Vectara, unique: str) -> None:
    keys = [f"{unique}-{n}" for n in range(5)]
    for key in keys:
        client.agents.create(
            key=key, name="Lister", description=unique, tool_configurations={}, model=MODEL
        )
    assert [a.key for a in client.agents.list(filter=unique.upper(), limit=2)] == keys
    assert [a.key for a in client.agents.list(filter=unique, enabled=False)] == []
    for key in keys:
        client.agents.delete(key)


def test_an_update_changes_what_it_names(client: Vectara, agent: str) -> None:
    client.agents.update(agent, description="first", metadata={"a": 1})
    changed = client.agents.update(agent, name="Renamed", description=None, enabled=False)
    assert (changed.name, changed.description, changed.enabled) == ("Renamed", None, False)
    assert changed.metadata == {"a": 1}
    assert changed.updated_at >= changed.created_at
    assert client.agents.update(agent, enabled=None).enabled


def test_a_replacement_forgets_what_it_does_not_name(client: Vectara, agent: str) -> None:
    client.agents.update(agent, description="first", metadata={"a": 1})
    new = client.agents.replace(agent, name="New", tool_configurations={}, model=MODEL)
    assert (new.key, new.name, new.description, new.metadata) == (agent, "New", None, {})


def test_a_deleted_agent_is_gone_at_once(client: Vectara, unique: str) -> None:
    client.agents.create(key=unique, name="A", tool_configurations={}, model=MODEL)
    client.agents.delete(unique)
    with pytest.raises(NotFoundError) as caught:
        client.agents.get(unique)
    assert caught.value.body["code"] == "agent_not_found"
    assert caught.value.body["request_id"] == caught.value.headers["x-request-id"]


def test_an_agent_with_a_session_cannot_be_deleted(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s")
    with pytest.raises(ApiError) as caught:
        client.agents.delete(agent, request_options=NO_RETRY)
    assert (caught.value.status_code, caught.value.body["code"]) == (409, "agent_in_use")


def test_a_bad_agent_is_a_bad_request_that_names_its_fields(client: Vectara) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.agents.create(key="no spaces", name="", tool_configurations={}, model=MODEL)
    assert set(caught.value.body["field_errors"]) == {"key", "name"}


# --- sessions ------------------------------------------------------------------------------------


def test_the_smallest_session_gets_a_key_and_a_name(client: Vectara, agent: str) -> None:
    made = client.agent_sessions.create(agent)
    assert made.key.startswith("ase_")
    assert made.name
    assert made.enabled
    assert client.agent_sessions.get(agent, made.key) == made


def test_a_session_comes_back_as_given(client: Vectara, agent: str) -> None:
    made = client.agent_sessions.create(
        agent,
        key="s_1-a",
        name="Süpport 🎈",
        description="日本語",
        metadata={"user": "é", "n": [1.5, True]},
        tti_minutes=60,
    )
    got = client.agent_sessions.get(agent, "s_1-a")
    assert got == made
    assert (got.agent_key, got.name, got.description) == (agent, "Süpport 🎈", "日本語")
    assert (got.metadata, got.tti_minutes) == ({"user": "é", "n": [1.5, True]}, 60)


def test_sessions_are_listed_over_pages(client: Vectara, agent: str) -> None:
    keys = [f"s{n}" for n in range(5)]
    for key in keys:
        client.agent_sessions.create(agent, key=key, name=f"Talk {key}", tti_minutes=5)
    client.agent_sessions.delete(agent, "s2")
    keys.remove("s2")
    assert [s.key for s in client.agent_sessions.list(agent, limit=2)] == keys
    assert [s.key for s in client.agent_sessions.list(agent, filter="talk.*3")] == ["s3"]


def test_a_filter_finds_what_stands_behind_many_others(client: Vectara, agent: str) -> None:
    for n in range(11):
        client.agent_sessions.create(agent, key=f"s{n}", name="Talk")
    client.agent_sessions.create(agent, key="last", name="Needle")
    assert [s.key for s in client.agent_sessions.list(agent, filter="needle", limit=1)] == ["last"]


def test_a_session_is_updated(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s", name="N", description="d", metadata={"a": 1})
    changed = client.agent_sessions.update(agent, "s", description=None, metadata={"b": 2})
    assert (changed.name, changed.description, changed.metadata) == ("N", None, {"b": 2})
    assert not client.agent_sessions.update(agent, "s", enabled=False).enabled


def test_a_deleted_session_is_gone_and_its_key_is_free(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s", name="first")
    say(client, agent, "s", "hello")
    client.agent_sessions.delete(agent, "s")
    with pytest.raises(NotFoundError) as caught:
        client.agent_sessions.get(agent, "s")
    assert caught.value.body["code"] == "session_not_found"
    client.agent_sessions.create(agent, key="s", name="second")
    assert client.agent_sessions.get(agent, "s").name == "second"
    assert list(client.agent_events.list(agent, "s")) == []


def test_a_session_of_no_agent_is_not_found(client: Vectara, unique: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.agent_sessions.create(unique)
    assert caught.value.body["code"] == "agent_not_found"


def test_a_taken_key_is_a_conflict(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s")
    with pytest.raises(ApiError) as caught:
        client.agent_sessions.create(agent, key="s", name="Other", request_options=NO_RETRY)
    assert (caught.value.status_code, caught.value.body["code"]) == (409, "session_exists")


# --- events --------------------------------------------------------------------------------------


def test_events_are_listed_in_order_over_pages_and_found_by_id(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s")
    said = [event for text in ("one", "two 🎈", "three") for event in say(client, agent, "s", text)]
    listed = list(client.agent_events.list(agent, "s", limit=2))
    assert [e.id for e in listed] == [e.id for e in said]
    assert listed[0].type == "input_message"
    assert listed[0].messages == [AgentInput_Text(content="one")]
    assert listed[-1].type == "agent_output"
    assert list(client.agent_events.list(agent, "s", limit=100, include_hidden=True)) == listed
    for event in listed:
        assert client.agent_events.get(agent, "s", event.id) == event


def test_an_event_of_another_session_is_not_found(client: Vectara, agent: str) -> None:
    client.agent_sessions.create(agent, key="s")
    client.agent_sessions.create(agent, key="other")
    foreign = say(client, agent, "other", "hello")[0]
    with pytest.raises(NotFoundError) as caught:
        client.agent_events.get(agent, "s", foreign.id)
    assert caught.value.body["code"] == "event_not_found"


async def test_the_async_client_does_the_same(url: str, unique: str) -> None:
    client = AsyncVectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")
    await client.agents.create(key=unique, name="Ä", tool_configurations={}, model=MODEL)
    for n in range(3):
        await client.agent_sessions.create(unique, key=f"s{n}")
    pager = await client.agent_sessions.list(unique, limit=2)
    assert [session.key async for session in pager] == ["s0", "s1", "s2"]
    for n in range(3):
        await client.agent_sessions.delete(unique, f"s{n}")
    await client.agents.delete(unique)
    with pytest.raises(NotFoundError):
        await client.agents.get(unique)


# --- client credentials --------------------------------------------------------------------------


def test_client_credentials_take_the_place_of_a_key(url: str, agent: str) -> None:
    environment = VectaraEnvironment(default=url, auth=url)
    client = Vectara(environment=environment, client_id="me", client_secret="hush")
    session = client.agent_sessions.create(agent)
    assert say(client, agent, session.key, "Hello!")[-1].type == "agent_output"


async def test_client_credentials_will_do_for_the_async_client(url: str, agent: str) -> None:
    environment = VectaraEnvironment(default=url, auth=url)
    client = AsyncVectara(environment=environment, client_id="me", client_secret="hush")
    assert (await client.agents.get(agent)).key == agent
