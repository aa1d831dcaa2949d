"""A plain turn on the real adapters: its calls counted, its answers lost."""

from dataclasses import replace

import pytest

from cueline.adapters.cached import CachedAgents
from cueline.engine import sessions
from cueline.engine.accept import Arrival
from cueline.engine.agent import Agent
from cueline.engine.inline import Caller, Inline
from cueline.engine.ports import Ports
from cueline.engine.turn import Limits
from cueline.errors import Unavailable
from cueline.log.events import Answered, Event, Input, ModelCalled, TurnBegan
from cueline.log.segment import Session
from tests.contract.backends import Backend, Loss
from tests.models import ScriptedModel

SESSION = "support.s1"


def made(backend: Backend) -> Ports:
    agent = Agent(key="support", name="S", model="m", created_at=0, updated_at=0)
    backend.ports.agents.create(agent)
    sessions.create(backend.ports, Session("support", "s1", 0, "S", 0), "trace")
    cached = CachedAgents(backend.ports.agents, backend.clock, 60)
    return replace(backend.ports, agents=cached)


def accept(ports: Ports, model: ScriptedModel, text: str) -> Caller:
    limits = Limits()
    tail = ports.log.tail(SESSION, limits.window_bytes)
    session = tail.live(ports.clock.now())
    assert session
    inline = Inline(ports, lambda: model, limits)
    new = Input(texts=(text,), digest=text)
    return inline.accept(
        session, ports.agents.get("support"), tail, Arrival(new, queues=False), "trace"
    )


def events(ports: Ports) -> list[Event]:
    head = ports.log.tail(SESSION).head
    found = (r.event for r in ports.log.read(SESSION, head.incarnation, -1, 10_000))
    return [event for event in found if not isinstance(event, ModelCalled)]


def test_a_turn_is_three_calls_two_of_them_before_the_model(table: Backend) -> None:
    ports, model = made(table), ScriptedModel()
    ports.agents.get("support")  # cached from now on
    before_the_model: list[list[str]] = []
    model.before = lambda: before_the_model.append(list(table.calls))
    table.calls.clear()
    accept(ports, model, "hello").run(lambda _: None)
    assert table.calls == ["Query", "PutItem", "PutItem"]
    assert before_the_model[0] == ["Query", "PutItem"]


def test_a_later_turn_is_as_many(table: Backend) -> None:
    ports, model = made(table), ScriptedModel()
    for n in range(20):
        accept(ports, model, f"message {n}").run(lambda _: None)
    table.calls.clear()
    accept(ports, model, "one more").run(lambda _: None)
    assert table.calls == ["Query", "PutItem", "PutItem"]


@pytest.mark.parametrize("loss", ["none", "repeated", "cut"])
def test_a_lost_answer_of_the_begin_loses_and_doubles_nothing(table: Backend, loss: Loss) -> None:
    ports, model = made(table), ScriptedModel()
    try:
        waiting = table.losing(loss, lambda: accept(ports, model, "hello"))
    except Unavailable:
        # The caller was told nothing; it sends the same again, and gets the turn that is there.
        waiting = accept(ports, model, "hello")
    assert [type(e) for e in events(ports)] == [Input, TurnBegan]
    if loss != "cut":
        waiting.run(lambda _: None)
        assert [type(e) for e in events(ports)] == [Input, TurnBegan, Answered]


@pytest.mark.parametrize("loss", ["none", "repeated", "cut"])
def test_a_lost_answer_of_the_commit_leaves_one_answer(table: Backend, loss: Loss) -> None:
    ports, model = made(table), ScriptedModel()
    waiting = accept(ports, model, "hello")
    answer = table.losing(loss, lambda: waiting.run(lambda _: None))
    assert isinstance(answer[-1].event, Answered)
    assert [type(e) for e in events(ports)] == [Input, TurnBegan, Answered]
