"""Door 1's creates, on both stores: a lost answer and the client's retry make one thing."""

from typing import Any

import pytest

from cueline.doors.agent_events import agents, sessions
from cueline.doors.agent_events.agent_shapes import to_wire
from cueline.doors.creation import Creation
from cueline.engine.ports import Ports
from cueline.errors import AgentExists, IdempotencyKeyReused, SessionExists, Unavailable
from cueline.log.segment import Session
from tests.contract.backends import Backend, Loss, agent, atomic_calls, in_threads, session

BODIES: dict[str, dict[str, Any]] = {
    "agent": {"name": "A", "tool_configurations": {}, "model": {"name": "m"}},
    "session": {"metadata": {"a": 1}},
}
HOST = "support"
Made = dict[str, Any]


@pytest.fixture(name="backend")
def backend_with_an_agent(backend: Backend) -> Backend:
    backend.ports.agents.create(agent(HOST))
    return backend


@pytest.fixture(params=BODIES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def create(ports: Ports, kind: str, idempotency_key: str | None, /, **fields: Any) -> Made:
    asked = Creation("caller", idempotency_key, {**BODIES[kind], **fields})
    if kind == "agent":
        return agents.create(ports, asked)
    return sessions.create(ports, HOST, asked, "trace")


def made(ports: Ports, kind: str) -> list[Made]:
    if kind == "session":
        keys = [one.session_key for one in ports.sessions.list(HOST, 100, None).items]
        return [sessions.get(ports, HOST, key) for key in keys]
    found = ports.agents.list(100, None).items
    return [to_wire(one) for one in found if one.key != HOST]


@pytest.mark.parametrize(
    ("key", "fields"), [("k1", {}), ("k1", {"key": "x"}), (None, {"key": "x"})]
)
@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_a_lost_answer_and_a_retry_make_one(
    backend: Backend, kind: str, loss: Loss, key: str | None, fields: dict[str, Any]
) -> None:
    ports = backend.ports
    if loss == "cut":
        with pytest.raises(Unavailable):
            lose_the_write(backend, kind, key, fields)
    else:
        backend.losing(loss, lambda: create(ports, kind, key, **fields))
    backend.clock.ms += 3_000
    again = create(ports, kind, key, **fields)
    assert made(ports, kind) == [again]


def lose_the_write(backend: Backend, kind: str, key: str | None, fields: dict[str, Any]) -> None:
    """The answer to the create itself, not to the looks before it."""
    port = backend.ports.agents if kind == "agent" else backend.ports.sessions
    write = port.create
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(port, "create", lambda *a: backend.losing("cut", lambda: write(*a)))
        create(backend.ports, kind, key, **fields)


def test_a_store_keeps_the_mark_through_changes(ports: Ports) -> None:
    ports.agents.create(agent("marked", mark="maker.asked"))
    assert ports.agents.get("marked").mark == "maker.asked"
    ports.sessions.create(session(mark="maker.asked"), over=0)
    assert stored(ports).mark == "maker.asked"
    ports.sessions.replace(session(mark="maker.asked", name="New", version=1))
    assert stored(ports).mark == "maker.asked"
    assert ports.sessions.list(HOST, 1, None).items[0].mark == "maker.asked"


def stored(ports: Ports) -> Session:
    found = ports.log.tail(f"{HOST}.s1").session
    assert found
    return found


def test_what_was_stored_without_a_mark_is_nobody_s(table: Backend) -> None:
    ports, client = table.ports, table.client
    assert client
    ports.agents.create(agent(HOST))
    create(ports, "session", None, key="old")
    key = {"pk": {"S": f"{HOST}.old"}, "sk": {"S": "META"}}
    client.update_item(TableName="cueline", Key=key, UpdateExpression="REMOVE mark")
    with pytest.raises(SessionExists):
        create(ports, "session", None, key="old")
    with pytest.raises(AgentExists):
        create(ports, "agent", None, key=HOST)


def test_of_twenty_at_once_with_one_key_all_get_the_same(
    backend: Backend, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    answers: list[Made] = []
    refused: list[IdempotencyKeyReused] = []

    def ask(n: int) -> None:
        try:
            answers.append(create(backend.ports, kind, "k1", description=f"d{n % 2}"))
        except IdempotencyKeyReused as error:
            refused.append(error)

    in_threads(ask)
    (one,) = made(backend.ports, kind)
    assert answers == [one] * 10
    assert len(refused) == 10
