"""Door 4 on memory adapters: what its tests share.

A test module imports the fixtures that it needs by name, `__all__` has them.
"""

import json
from typing import Any

import pytest

from cueline import bootstrap
from cueline.adapters.memory.background import memory_background
from cueline.doors.access import OPEN, caller_of
from cueline.doors.background_triggers.calls import Call, Reply
from cueline.doors.background_triggers.errors import error_answer
from cueline.doors.background_triggers.routes import route_of
from cueline.doors.rest import JSON
from cueline.engine.agent import Agent
from cueline.engine.background import Background
from cueline.engine.ports import Ports
from tests.clock import FakeClock
from tests.functions.conftest import Ask
from tests.gateway import REQUEST_ID, Answer, event

__all__ = ["agents", "ask4", "background"]

SIGNING = b"the secret of this deployment, which nobody knows"
TRIGGERS = "/api/v1/integration/trigger"


@pytest.fixture
def background(clock: FakeClock) -> Background:
    return memory_background(clock)


@pytest.fixture
def agents(ports: Ports) -> None:
    """Two, `a` and `b`."""
    now = ports.clock.now()
    for key in ("a", "b"):
        ports.agents.create(Agent(key=key, name=key.upper(), model="m", created_at=now, updated_at=now))


@pytest.fixture
def ask4(
    ports: Ports, background: Background, agents: None, monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Asks door 4, which is open; the agents `a` and `b` are there."""
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, None))

    def send(method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return _served(ports, background, event(method, path, body, **more))

    return send


def made(ask4: Ask, **fields: Any) -> str:
    """The id of a new trigger, of the agent `a` unless it is said otherwise."""
    answer = ask4("POST", f"{TRIGGERS}/create", {"botId": "a", **fields})
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


def _served(ports: Ports, background: Background, given: dict[str, Any]) -> Answer:
    try:
        route, path = route_of(given["httpMethod"], given["path"])
        headers = {name.lower(): value for name, value in given["headers"].items()}
        call = Call(
            ports=ports,
            background=background,
            signing=lambda: SIGNING,
            request_id=REQUEST_ID,
            caller="" if route.open else caller_of(headers, bootstrap.rest().access) or OPEN,
            method=given["httpMethod"],
            path=path,
            query=given["multiValueQueryStringParameters"] or {},
            headers=headers,
            body=given["body"],
            is_base64=given["isBase64Encoded"],
        )
        told = route.answer(call)
    except Exception as error:
        failed = error_answer(error, REQUEST_ID)
        if failed.status == 500:
            raise
        return _answer(Reply(failed.body, failed.status, headers=failed.headers))
    return _answer(told if isinstance(told, Reply) else Reply(told))


def _answer(reply: Reply) -> Answer:
    text = json.dumps(reply.body) if reply.text is None else reply.text
    headers = {"content-type": reply.content_type, "x-request-id": REQUEST_ID, **reply.headers}
    return Answer(reply.status, headers, text)
