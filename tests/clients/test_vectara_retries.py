"""The Vectara SDK repeats by itself what was lost on its way; one thing comes of it."""

from collections.abc import Iterator

import pytest
from vectara import AgentModel, Vectara
from vectara.core.api_error import ApiError
from vectara.environment import VectaraEnvironment
from vectara.errors import NotFoundError

from tests.clients.lossy import Lossy, losing_answers

MODEL = AgentModel(name="practice")


@pytest.fixture
def lossy(url: str) -> Iterator[Lossy]:
    with losing_answers(url) as network:
        yield network


@pytest.fixture
def client(lossy: Lossy) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=lossy.url, auth=lossy.url), api_key="k")


@pytest.fixture
def agent(client: Vectara, unique: str) -> Iterator[str]:
    client.agents.create(key=unique, name="Talker", tool_configurations={}, model=MODEL)
    yield unique
    for session in client.agent_sessions.list(unique):
        client.agent_sessions.delete(unique, session.key)
    client.agents.delete(unique)


def test_creates_with_keys_of_their_own_and_deletes(
    client: Vectara, lossy: Lossy, unique: str
) -> None:
    lossy.lose = 2
    made = client.agents.create(key=unique, name="A", tool_configurations={}, model=MODEL)
    assert lossy.lost == [201, 201]
    assert client.agents.get(unique) == made

    lossy.lose = 1
    session = client.agent_sessions.create(unique, key="s", metadata={"a": 1})
    assert [found.key for found in client.agent_sessions.list(unique)] == ["s"]
    assert client.agent_sessions.get(unique, "s") == session
    assert lossy.lost == [201, 201, 201]

    lossy.lose = 1
    client.agent_sessions.delete(unique, "s")
    assert lossy.lost == [201, 201, 201, 204]
    with pytest.raises(NotFoundError):
        client.agent_sessions.get(unique, "s")
    client.agents.delete(unique)


def test_creates_under_an_idempotency_key(client: Vectara, lossy: Lossy, agent: str) -> None:
    under_a_key = {"additional_headers": {"Idempotency-Key": agent}}
    lossy.lose = 1
    made = client.agent_sessions.create(agent, name="Talk", request_options=under_a_key)
    assert lossy.lost == [201]
    # So does the application itself, hours later.
    assert client.agent_sessions.create(agent, name="Talk", request_options=under_a_key) == made
    assert [found.key for found in client.agent_sessions.list(agent)] == [made.key]
    with pytest.raises(ApiError) as caught:
        client.agent_sessions.create(agent, name="Other", request_options=under_a_key)
    assert (caught.value.status_code, caught.value.body["code"]) == (422, "idempotency_key_reused")

    lossy.lose = 1
    one = client.agents.create(
        name=f"{agent}-2",
        tool_configurations={},
        model=MODEL,
        request_options=under_a_key,
    )
    assert lossy.lost == [201, 201]
    assert [found.key for found in client.agents.list(filter=f"{agent}-2", limit=100)] == [one.key]
    client.agents.delete(one.key)
