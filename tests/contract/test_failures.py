"""Giving up what nobody could work off, on both backends and with its answers lost."""

from contextlib import suppress

import pytest

from cueline.engine import sessions
from cueline.engine.agent import Agent
from cueline.engine.append import Writer
from cueline.engine.failures import Failures
from cueline.engine.ports import WakeUp
from cueline.errors import Unavailable
from cueline.log.events import Event, Input, InputsFailed, TurnAbandoned, TurnBegan
from cueline.log.segment import Session
from tests.contract.backends import SESSION, Backend, Loss

ONE = Input(texts=("one",))
BEGUN = TurnBegan(turn="t1", inputs=(0,))


@pytest.mark.parametrize("loss", ["none", "repeated", "cut"])
def test_what_waits_is_given_up_once_whatever_is_lost(backend: Backend, loss: Loss) -> None:
    ports = backend.ports
    agent = Agent(key="support", name="S", model="m", created_at=0, updated_at=0)
    ports.agents.create(agent)
    incarnation = sessions.create(ports, Session("support", "s1", 0, "S", 0), "").incarnation
    writer = Writer(ports.log, backend.clock, SESSION, "")
    assert writer.append_once(ports.log.tail(SESSION).head, ONE, BEGUN)
    failed = WakeUp(SESSION, {"t1": 0}, waited=(incarnation, 2))

    with suppress(Unavailable):
        backend.losing(loss, lambda: Failures(ports, 30).handle(failed, "trace"))
    Failures(ports, 30).handle(failed, "trace")  # it comes twice, or again

    events: list[Event] = [r.event for r in ports.log.read(SESSION, incarnation, -1, 99)]
    assert [type(e) for e in events] == [Input, TurnBegan, TurnAbandoned, InputsFailed]
    assert not ports.log.tail(SESSION).head.state.unfinished
    assert backend.received() == []
