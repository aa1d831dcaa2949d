"""A turn and what queues behind it, when the process that serves both callers is killed."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import LEASE_SECONDS, Running
from tests.e2e.test_local_stack import AGENT, message, types, unique

__all__ = ["unique"]


def test_a_kill_leaves_the_running_message_and_the_queued_one_with_one_answer_each(
    stack: Running, api: httpx.Client, unique: str
) -> None:
    events = f"/v2/agents/{unique}/sessions/s/events"
    told = {"model": unique, "faults": [{"kind": "delay", "token_ms": 500}]}
    httpx.post(f"{stack.practice_url}/faults", json=told).raise_for_status()
    api.post("/v2/agents", json={**AGENT, "key": unique, "model": {"name": unique}})
    api.post(f"/v2/agents/{unique}/sessions", json={"key": "s"}).raise_for_status()

    with ThreadPoolExecutor() as pool:
        first, second = Listener(), Listener()
        running = pool.submit(first.listen, api, events, message("one", stream=True))
        until(lambda: b"streaming_agent_output" in first.heard)
        queued = pool.submit(
            second.listen, api, events, {**message("two", stream=True), "since": "start"}
        )
        until(lambda: second.heard.count(b"event:input_message") == 2)
        assert types(api, events) == ["input_message"] * 2
        assert stack.kill("functions.agent_events.app:app") == 1
        for caller in (running, queued):
            with pytest.raises(httpx.HTTPError):
                caller.result()

    until(lambda: types(api, events).count("agent_output") == 2)
    stack.wait_until_healthy()
    # Whoever comes back is told all of it, after the last event that it has seen.
    seen = json.loads(first.heard.partition(b"data:")[2].partition(b"\n")[0])["id"]
    answer = api.post(events, json={**message("three"), "since": seen}).raise_for_status()
    after: list[dict[str, Any]] = answer.json()["events"]
    assert [e["type"] for e in after] == [
        "input_message",
        "agent_output",
        "agent_output",
        "input_message",
        "agent_output",
    ]
    said = [e["content"] for e in after if e["type"] == "agent_output"]
    for n, (text, answered) in enumerate(zip(("one", "two", "three"), said, strict=True), 1):
        assert f"You said “{text}”. I can see {n} user message" in answered


class Listener:
    """Somebody who hears a stream until it ends or breaks."""

    def __init__(self) -> None:
        self.heard = b""

    def listen(self, api: httpx.Client, events: str, body: dict[str, Any]) -> None:
        with api.stream("POST", events, json=body) as answer:
            assert answer.status_code == 201
            for chunk in answer.iter_raw():
                self.heard += chunk


def until(condition: Any) -> None:
    deadline = time.monotonic() + 6 * LEASE_SECONDS + 60
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.1)
