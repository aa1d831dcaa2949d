"""Tools on the deployed stack: what they reach, and what a kill or a restart does to them."""

import asyncio
import io
import json
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from cueline.engine.tooling import UNKNOWN_OUTCOME
from local import deployment
from tests.e2e.conftest import Running
from tests.e2e.test_local_stack import AGENT, message, say, types, unique
from tests.e2e.test_running_turns import Listener, until
from tests.mcp.serving import time_server
from tests.serving import serving

__all__ = ["unique"]

STREAMING = "functions.agent_events.app:app"


class Till:
    """A service that a tool calls; it answers once it is `open`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Each request, as it came."""
        self.open = threading.Event()
        self.open.set()
        self.url = ""

    async def pay(self, request: Request) -> Response:
        self.asked.append(request.path_params["order"])
        while not self.open.is_set():
            await asyncio.sleep(0.02)
        return JSONResponse({"paid": request.path_params["order"]})

    async def elsewhere(self, request: Request) -> Response:
        self.asked.append("elsewhere")
        return RedirectResponse(request.query_params["to"])


@pytest.fixture
def till() -> Iterator[Till]:
    made = Till()
    pay = Route("/orders/{order}", made.pay, methods=["POST"])
    with serving(Starlette(routes=[pay, Route("/elsewhere", made.elsewhere)])) as made.url:
        yield made
        made.open.set()


Hire = Callable[..., str]


@pytest.fixture
def hire(stack: Running, api: httpx.Client, unique: str) -> Hire:
    """Makes an agent with these tools; the path of a session's events. Its model does `first`."""

    def make(tools: dict[str, Any], *first: dict[str, Any]) -> str:
        told = {"model": unique, "faults": first}
        httpx.post(f"{stack.practice_url}/faults", json=told).raise_for_status()
        agent = {"key": unique, "model": {"name": unique}, "tool_configurations": tools}
        api.post("/v2/agents", json={**AGENT, **agent}).raise_for_status()
        api.post(f"/v2/agents/{unique}/sessions", json={"key": "s"}).raise_for_status()
        return f"/v2/agents/{unique}/sessions/s/events"

    return make


def calls(*made: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The model's answer that calls these tools."""
    return {"kind": "script", "calls": [{"name": n, "arguments": a} for n, a in made]}


def http(url: str, **more: Any) -> dict[str, Any]:
    tool = {"type": "dynamic_vectara", "tool_id": "tol_http", "timeout_seconds": 30, **more}
    return {**tool, "http": {"method": "POST" if "{" in url else "GET", "url": url}}


def outputs(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "tool_output"]


def listed(api: httpx.Client, events: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(events, params={"limit": 100}).json()["events"]
    return found


# --- what tools reach ----------------------------------------------------------------------------


def test_an_mcp_server_that_somebody_else_wrote_is_called(api: httpx.Client, hire: Hire) -> None:
    with time_server() as url:
        tools = {"world": {"type": "mcp", "tool_id": "tol_world", "server": {"url": url}}}
        noon = {"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"}
        wrong = {"timezone": "Mars/Olympus"}
        events = hire(tools, calls(("world_convert_time", noon), ("world_get_current_time", wrong)))
        told = say(api, events, "When is it noon in Tokyo?")
    assert [event["type"] for event in told] == [
        *("input_message", "tool_input", "tool_input", "tool_output", "tool_output"),
        "agent_output",
    ]
    by_name = {output["tool_name"]: output for output in outputs(told)}
    assert {o["tool_configuration_name"] for o in by_name.values()} == {"world"}
    assert by_name["convert_time"]["tool_output"]["time_difference"] == "-3.5h"
    assert not by_name["convert_time"]["error"]
    assert by_name["get_current_time"]["error"]
    assert "Mars/Olympus" in json.dumps(by_name["get_current_time"]["tool_output"])
    for name in ("world_convert_time", "world_get_current_time"):
        assert f"The tool {name} answered" in told[-1]["content"]


def test_a_lambda_function_is_invoked_with_the_arguments(
    stack: Running, api: httpx.Client, hire: Hire
) -> None:
    functions = deployment.client("lambda", stack.endpoint)
    functions.create_function(
        FunctionName="cueline-tool-echo",
        Runtime=deployment.runtime(),
        Role="arn:aws:iam::000000000000:role/echo",
        Handler="echo.handler",
        Code={"ZipFile": zipped("echo.py", ECHO)},
    )
    tools = {
        name: {
            "type": "lambda",
            "tool_id": f"tol_{name}",
            "function_name": f"cueline-tool-{name}",
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
        }
        for name in ("echo", "nowhere")
    }
    said = {"text": "Grüße, 日本語 and 🎈"}
    events = hire(tools, calls(("echo", said), ("echo", {"text": "fail"}), ("nowhere", {})))
    told = outputs(say(api, events, "Is there an echo?"))
    by_error = {output["error"]: output["tool_output"] for output in told}
    assert by_error[False] == {"heard": said}
    failures = [output["tool_output"]["output"] for output in told if output["error"]]
    assert sorted(failures) == [
        "The function failed: I do not say that.",
        "There is no function cueline-tool-nowhere.",
    ]


ECHO = """
def handler(event, context):
    if event["text"] == "fail":
        raise ValueError("I do not say that.")
    return {"heard": event}
"""


def zipped(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, text)
    return packed.getvalue()


def test_what_is_not_in_the_tool_network_is_refused_and_the_model_is_told(
    api: httpx.Client, hire: Hire, till: Till
) -> None:
    metadata = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    tools = {
        "metadata": http(metadata),
        "inside": http("http://10.0.0.1/"),
        "redirected": http(f"{till.url}/elsewhere?to={metadata}"),
        "allowed": http(f"{till.url}/orders/{{order}}"),
    }
    made = [(name, {"order": "7"} if name == "allowed" else {}) for name in tools]
    events = hire(tools, calls(*made))
    told = say(api, events, "Look around.")
    by_name = {output["tool_configuration_name"]: output for output in outputs(told)}
    assert by_name.pop("allowed")["tool_output"] == {"paid": "7"}
    assert len(by_name) == 3
    for output in by_name.values():
        assert output["error"]
        assert "not on the public internet" in output["tool_output"]["output"]
    assert told[-1]["content"].count("is not on the public internet") == 3
    assert sorted(till.asked) == ["7", "elsewhere"]


# --- kills ---------------------------------------------------------------------------------------


def kill_while_told(
    stack: Running, api: httpx.Client, events: str, condition: Callable[[Listener], object]
) -> None:
    """Somebody asks on a stream, and the process that answers is killed once this holds."""
    with ThreadPoolExecutor() as pool:
        listener = Listener()
        running = pool.submit(listener.listen, api, events, message("Pay.", stream=True))
        until(lambda: condition(listener))
        assert stack.kill(STREAMING) == 1
        with pytest.raises(httpx.HTTPError):
            running.result()
    stack.wait_until_healthy()


def test_what_a_tool_did_before_a_kill_is_not_done_again(
    stack: Running, api: httpx.Client, hire: Hire, till: Till
) -> None:
    slow = {"kind": "delay", "token_ms": 500}
    events = hire(
        {"pay": http(f"{till.url}/orders/{{order}}")}, calls(("pay", {"order": "7"})), slow
    )
    kill_while_told(stack, api, events, lambda one: b"streaming_agent_output" in one.heard)
    assert types(api, events) == ["input_message", "tool_input", "tool_output"]

    until(lambda: types(api, events)[-1] == "agent_output")
    assert types(api, events) == ["input_message", "tool_input", "tool_output", "agent_output"]
    assert till.asked == ["7"]
    assert 'The tool pay answered “{"paid":"7"}”' in listed(api, events)[-1]["content"]


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_tool_that_runs_when_its_process_is_killed_runs_again_only_if_it_may(
    stack: Running, api: httpx.Client, hire: Hire, till: Till, repeatable: bool
) -> None:
    till.open.clear()
    pay = http(f"{till.url}/orders/{{order}}", repeatable=repeatable)
    events = hire({"pay": pay}, calls(("pay", {"order": "7"})))
    kill_while_told(stack, api, events, lambda _: till.asked)
    assert types(api, events) == ["input_message", "tool_input"]
    till.open.set()

    until(lambda: types(api, events)[-1] == "agent_output")
    assert types(api, events) == ["input_message", "tool_input", "tool_output", "agent_output"]
    [told] = outputs(listed(api, events))
    if repeatable:
        assert till.asked == ["7", "7"]
        assert (told["tool_output"], told["error"]) == ({"paid": "7"}, False)
    else:
        assert till.asked == ["7"]
        assert (told["tool_output"], told["error"]) == ({"output": UNKNOWN_OUTCOME}, True)
        assert "unknown outcome" in listed(api, events)[-1]["content"]


def test_what_waits_for_approval_waits_through_a_restart_and_then_runs_once(
    stack: Running, api: httpx.Client, hire: Hire, till: Till
) -> None:
    pay = http(f"{till.url}/orders/{{order}}", approval="required")
    events = hire({"pay": pay}, calls(("pay", {"order": "7"})))
    _, asked, _ = before = say(api, events, "Pay order 7.")
    assert stack.stop(signal.SIGINT) == 0
    stack.start()

    session = api.get(events.removesuffix("/events")).json()
    assert session["pending_approvals"] == [asked["tool_call_id"]]
    assert (listed(api, events), till.asked) == (before, [])
    decision = {"type": "tool_decision", "tool_call_id": asked["tool_call_id"]}
    answer = api.post(events, json={**decision, "decision": "approve"})
    assert answer.status_code == 201, answer.text
    assert [event["type"] for event in answer.json()["events"]] == [
        *("input_message", "tool_input", "tool_output", "agent_output")
    ]
    assert "paid" in answer.json()["events"][-1]["content"]
    again = api.post(events, json={**decision, "decision": "approve", "message": "Again."})
    assert (again.status_code, again.json()["code"]) == (404, "tool_call_not_found")
    assert till.asked == ["7"]
