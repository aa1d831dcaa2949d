"""Functions on memory adapters: an event in, an answer out."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from cueline import bootstrap
from cueline.adapters.memory import memory_ports
from cueline.doors.cors import Cors
from cueline.engine.ports import Ports
from tests.clock import FakeClock
from tests.gateway import Answer, Context, event

Ask = Callable[..., Answer]


@contextmanager
def logged_by(logger: Logger) -> Iterator[io.StringIO]:
    """What a function logs."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


@pytest.fixture(autouse=True)
def cors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No web page may call, unless a test says so."""
    monkeypatch.setattr(bootstrap, "cors", Cors)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ports(clock: FakeClock) -> Ports:
    return memory_ports(clock)


@pytest.fixture
def ask(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks door 1, which is open."""
    from functions.agents import app

    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, None))

    def send(method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return Answer.of(app.lambda_handler(event(method, path, body, **more), Context()))  # type: ignore[arg-type]

    return send


@pytest.fixture
def ask2(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks door 2, which is open."""
    from functions.triggered_responses import app

    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, None))

    def send(method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return Answer.of(app.lambda_handler(event(method, path, body, **more), Context()))  # type: ignore[arg-type]

    return send
