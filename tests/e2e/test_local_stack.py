"""The local stack: one origin, real streaming, processes that come, go and stay as they should."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import httpx
import pytest

from local.template import ROOT
from tests.e2e.conftest import LEASE_SECONDS, Running

AGENT = {
    "name": "Guide",
    "tool_configurations": {},
    "model": {"name": "practice"},
    "first_step": {
        "name": "main",
        "instructions": [{"type": "inline", "name": "main", "template": "You are a kind guide."}],
        "output_parser": {"type": "default"},
    },
}


@pytest.fixture
def unique() -> str:
    return f"t-{uuid.uuid4().hex[:20]}"


@pytest.fixture
def events(api: httpx.Client) -> str:
    """The path of a new session's events."""
    agent = api.post("/v2/agents", json=AGENT).raise_for_status().json()["key"]
    session = api.post(f"/v2/agents/{agent}/sessions", json={}).raise_for_status().json()["key"]
    return f"/v2/agents/{agent}/sessions/{session}/events"


def message(text: str, *, stream: bool = False) -> dict[str, Any]:
    return {"messages": [{"type": "text", "content": text}], "stream_response": stream}


def types(api: httpx.Client, events: str) -> list[str]:
    listed = api.get(events, params={"limit": 100}).raise_for_status().json()["events"]
    return [event["type"] for event in listed]


def say(api: httpx.Client, events: str, text: str, seconds: float = 60) -> list[dict[str, Any]]:
    """Posts until it is let in: a turn whose process died is taken over after a lease or two."""
    deadline = time.monotonic() + seconds
    while True:
        answer = api.post(events, json=message(text))
        if answer.status_code == 201:
            found: list[dict[str, Any]] = answer.json()["events"]
            return found
        assert answer.status_code in {409, 502, 503}, answer.text
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.5)


# --- one origin ----------------------------------------------------------------------------------


def test_it_says_that_it_is_ready_and_what_to_try(stack: Running) -> None:
    said = stack.said
    last = said[said.index("Cueline is ready at") :]
    assert stack.url in last
    assert last.count("\n  curl ") == 5
    assert "practice model" in said


def test_the_commands_work_as_printed(stack: Running) -> None:
    commands = [line for line in stack.said.splitlines() if line.startswith("  curl ")]
    answers = [
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
        for command in commands
    ]
    assert json.loads(answers[0])["key"] == "guide"
    assert json.loads(answers[1])["agent_key"] == "guide"
    assert json.loads(answers[2].rstrip().rpartition("data:")[2]) == {"type": "end"}
    assert json.loads(answers[3])["source"] == "ai_agent"
    assert json.loads(answers[4])["connection"]["agentId"] == "guide"


def test_health_is_that_of_all_parts(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}


def test_other_names_of_this_machine_are_refused(api: httpx.Client) -> None:
    """A web site whose name resolves to 127.0.0.1 would come with its own name."""
    answer = api.get("/v2/agents", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert api.get("/v2/agents", headers={"host": "localhost:1"}).status_code == 200


def test_pages_of_other_sites_are_refused(api: httpx.Client) -> None:
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        answer = api.post("/v2/agents", json=AGENT, headers={"origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_local_pages_may_call_it(api: httpx.Client) -> None:
    origin = {"origin": "http://localhost:3000"}
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-api-key,request-timeout",
    }
    allowed = api.options("/v2/agents", headers=origin | asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == origin["origin"]
    got = api.get("/v2/agents", headers=origin)
    assert got.headers["access-control-allow-origin"] == origin["origin"]
    assert "x-request-id" in got.headers["access-control-expose-headers"]


def test_what_the_gateway_refuses_is_in_the_doors_shape(api: httpx.Client) -> None:
    answer = api.get("/v2/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_beyond_what_lambda_takes_is_refused(api: httpx.Client) -> None:
    answer = api.post("/v2/agents", content=b" " * (6 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_a_stream_arrives_while_it_is_made(api: httpx.Client, events: str) -> None:
    arrived = []
    with api.stream("POST", events, json=message("Tell me about lamps.", stream=True)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for chunk in answer.iter_raw():
            arrived.append((time.monotonic(), chunk))  # noqa: PERF401 - the time is the point
    assert len(arrived) >= 3
    assert arrived[-1][0] - arrived[0][0] > 0.05
    whole = b"".join(chunk for _, chunk in arrived)
    assert json.loads(whole.rstrip().rpartition(b"data:")[2]) == {"type": "end"}


def test_a_caller_who_goes_away_does_not_stop_the_turn(api: httpx.Client, events: str) -> None:
    with api.stream("POST", events, json=message("Tell me about lamps.", stream=True)) as answer:
        next(answer.iter_raw())
    deadline = time.monotonic() + 20
    while "agent_output" not in types(api, events):
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --- processes -----------------------------------------------------------------------------------


def test_a_killed_edge_comes_back(stack: Running, api: httpx.Client, events: str) -> None:
    with api.stream("POST", events, json=message("Tell me about lamps.", stream=True)) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        stack.kill("local.edge")
        with pytest.raises(httpx.HTTPError):
            list(chunks)
    stack.wait_until_healthy()
    assert say(api, events, "And about tables?")[-1]["type"] == "agent_output"


def test_a_killed_streaming_function_leaves_a_session_that_answers(
    stack: Running, api: httpx.Client, events: str
) -> None:
    with api.stream("POST", events, json=message("Tell me about lamps.", stream=True)) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        assert stack.kill("functions.agent_events.app:app") == 1
        with pytest.raises(httpx.HTTPError):
            list(chunks)
    stack.wait_until_healthy()
    assert say(api, events, "And about tables?")[-1]["type"] == "agent_output"
    # The first message was not lost: a worker took its turn over.
    deadline = time.monotonic() + 6 * LEASE_SECONDS + 30
    while types(api, events).count("agent_output") < 2:
        assert time.monotonic() < deadline, types(api, events)
        time.sleep(0.5)


def test_a_killed_worker_leaves_a_session_that_answers(
    stack: Running, api: httpx.Client, unique: str
) -> None:
    """First the function that hosts the turn is killed, then the worker that took it over."""
    events = f"/v2/agents/{unique}/sessions/s/events"
    slow = {"kind": "delay", "token_ms": 500}
    told = {"model": unique, "faults": [slow, slow]}
    httpx.post(f"{stack.practice_url}/faults", json=told).raise_for_status()

    def asked() -> int:
        bodies = httpx.get(f"{stack.practice_url}/requests", params={"model": unique}).json()
        return len(bodies["requests"])

    def until(count: int) -> None:
        deadline = time.monotonic() + 6 * LEASE_SECONDS + 30
        while asked() < count:
            assert time.monotonic() < deadline, (asked(), types(api, events))
            time.sleep(0.2)

    agent = {**AGENT, "key": unique, "model": {"name": unique}}
    api.post("/v2/agents", json=agent).raise_for_status()
    api.post(f"/v2/agents/{unique}/sessions", json={"key": "s"}).raise_for_status()
    with api.stream("POST", events, json=message("Tell me about lamps.", stream=True)) as answer:
        chunks = answer.iter_raw()
        while b"streaming_agent_output" not in next(chunks):
            pass  # the model has been asked
        stack.kill("functions.agent_events.app:app")
        with pytest.raises(httpx.HTTPError):
            list(chunks)
    until(2)
    deadline = time.monotonic() + 30
    while not stack.kill("WorkerFunction"):  # the emulator may be about to start it
        assert time.monotonic() < deadline
        time.sleep(0.1)
    until(3)
    stack.wait_until_healthy()
    assert say(api, events, "And about tables?")[-1]["type"] == "agent_output"
    assert types(api, events) == ["input_message", "agent_output"] * 2


def test_a_second_stack_on_the_same_state_is_refused(stack: Running) -> None:
    environment = stack.environment(PORT="0")
    second = subprocess.run(
        [sys.executable, "-m", "local"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert not second.stdout


def test_a_port_in_use_is_said_before_any_work(stack: Running, tmp_path: Any) -> None:
    environment = stack.environment(STATE_DIR=str(tmp_path / "other"))
    second = subprocess.run(
        [sys.executable, "-m", "local"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert second.returncode == 1
    assert f"Port {stack.port}" in second.stderr
    assert "PORT=8801 make run" in second.stderr
    assert not second.stdout


def is_gone(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_stop_leaves_no_process_and_a_start_finds_all_again(
    stack: Running, api: httpx.Client, events: str
) -> None:
    say(api, events, "Remember me.")
    before, processes = types(api, events), stack.processes()
    assert stack.stop(signal.SIGINT) == 0
    # init may take a while to bury what it inherits
    assert all(is_gone(pid, within=10) for pid in processes)
    assert not list(stack.state.glob("tmp/*"))
    stack.start()
    assert "nothing to build or deploy" in stack.said
    assert types(api, events) == before
    assert say(api, events, "Still there?")[-1]["type"] == "agent_output"
