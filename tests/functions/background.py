"""Door 4 on memory adapters: what its tests share.

A test module imports the fixtures that it needs by name, `__all__` has them.
"""

from itertools import count
from typing import Any

import pytest

from cueline import bootstrap
from cueline.adapters.memory.background import memory_background
from cueline.doors.rest import JSON
from cueline.engine.agent import Agent
from cueline.engine.background import Background
from cueline.engine.ports import Ports
from tests.clock import FakeClock
from tests.functions.conftest import Ask
from tests.gateway import Answer, Context, event

__all__ = ["agents", "ask4", "background"]

SIGNING = b"the secret of this deployment, which nobody knows"
TRIGGERS = "/api/v1/integration/trigger"
_COUNT = count()


@pytest.fixture
def background(clock: FakeClock) -> Background:
    return memory_background(clock)


@pytest.fixture
def agents(ports: Ports) -> None:
    """Two, `a` and `b`."""
    now = ports.clock.now()
    for key in ("a", "b"):
        ports.agents.create(
            Agent(key=key, name=key.upper(), model="m", created_at=now, updated_at=now)
        )


@pytest.fixture
def ask4(
    ports: Ports, background: Background, agents: None, monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Asks door 4, which is open; the agents `a` and `b` are there."""
    from functions.triggers import app

    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, None))
    monkeypatch.setattr(bootstrap, "background", lambda: background)
    monkeypatch.setattr(bootstrap, "signing_secret", lambda: SIGNING)

    def send(method: str, path: str, body: Any = None, **more: Any) -> Answer:
        asked = event(method, path, body, **more)
        response = app.lambda_handler(asked, Context())  # type: ignore[arg-type]
        headers = {name.lower(): value for name, value in response["headers"].items()}
        return Answer(response["statusCode"], headers, response["body"])

    return send


def made(ask4: Ask, **fields: Any) -> str:
    """The id of a new trigger, of the agent `a` unless it is said otherwise.

    It is another one each time: without a key one that is like another would be that, sent again.
    """
    key = {"idempotency-key": f"made-{next(_COUNT)}"}
    answer = ask4("POST", f"{TRIGGERS}/create", {"botId": "a", **fields}, headers=key)
    assert answer.status == 200, answer.text
    return str(answer.json["id"])


def shown(ask4: Ask, trigger: str) -> dict[str, Any]:
    answer = ask4("GET", f"{TRIGGERS}/{trigger}/fetch")
    assert answer.status == 200, answer.text
    return dict(answer.json)


def sent(ask4: Ask, trigger: str, body: Any = None, **more: Any) -> Answer:
    """An event, with the trigger's secret unless other headers are given."""
    headers = {"authorization": f"Bearer {shown(ask4, trigger)['secret']}"}
    more["headers"] = {**headers, **more.get("headers", {})}
    return ask4(more.pop("method", "POST"), f"{TRIGGERS}/{trigger}/event", body, **more)


def taken(ask4: Ask, trigger: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """What is answered to an event that is taken in."""
    answer = sent(ask4, trigger, body, **more)
    assert answer.status == 200, answer.text
    return dict(answer.json)


def refused(answer: Answer, status: int, code: str) -> str:
    """The message."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == JSON
    assert {*answer.json} == {"message", "code"}
    assert answer.json["code"] == code
    return str(answer.json["message"])
