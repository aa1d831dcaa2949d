"""Door 1's REST function: an API Gateway event in, an answer out."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cueline import bootstrap
from cueline.doors.access import Access, hashed, new_token
from cueline.doors.agent_events.routes import ROUTES
from cueline.doors.cors import Cors
from cueline.engine.append import Writer
from cueline.engine.ports import Key, Ports, Secret, WakeUp
from cueline.engine.sessions import find
from cueline.log.events import (
    Answered,
    Event,
    Input,
    InputsFailed,
    InputsOverran,
    PartlyAnswered,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    event_id,
)
from functions.agents import app
from tests.clock import FakeClock
from tests.functions.conftest import Ask, logged_by
from tests.gateway import REQUEST_ID, Context, event

SMALLEST: dict[str, Any] = {"name": "A", "tool_configurations": {}, "model": {"name": "m"}}
INLINE = {"type": "inline", "name": "tone", "template": "Be kind."}
STEP = {"instructions": [INLINE], "output_parser": {"type": "default"}}
SESSION = "/v2/agents/a/sessions/s"
MINUTE = 60_000


@pytest.fixture
def agent(ask: Ask) -> str:
    assert ask("POST", "/v2/agents", {**SMALLEST, "key": "a"}).status == 201
    return "/v2/agents/a"


@pytest.fixture
def session(ask: Ask, agent: str) -> str:
    assert ask("POST", f"{agent}/sessions", {"key": "s"}).status == 201
    return SESSION


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged_by(app.logger) as stream:
        yield stream


def say(ports: Ports, *events: Event) -> int:
    """Appends to the session; the offset of the first."""
    _, tail = find(ports, "a", "s")
    writer = Writer(ports.log, ports.clock, "a.s", "trace")
    _, written = writer.append(tail.head, lambda *_: events)
    assert written
    return written.at


# --- every route ---------------------------------------------------------------------------------


def test_health_needs_nothing(ask: Ask) -> None:
    answer = ask("GET", "/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_answers_in_the_door_s_shape(ask: Ask, route: Any) -> None:
    answer = ask(route.method, route.path.replace("{", "").replace("}", ""), {})
    assert answer.headers["x-request-id"] == REQUEST_ID
    if answer.status == 200:
        assert answer.json == {"agents": [], "metadata": {}}
    else:
        assert answer.json["request_id"] == REQUEST_ID
        assert answer.json["messages"][0]
        assert (answer.status, answer.json["code"]) in {
            (400, "invalid_request"),
            (404, "agent_not_found"),
            (501, "not_implemented"),
        }


def test_an_unknown_route_is_not_found(ask: Ask) -> None:
    answer = ask("GET", "/v2/agentz")
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert ask("PATCH", "/v2/agents").status == 404


def test_path_parameters_are_decoded_and_odd_ones_name_nothing(ask: Ask, agent: str) -> None:
    assert ask("GET", "/v2/agents/%61").status == 200
    for odd in ("a%0A", "a%2Fb", "a.s", "%00", "a" * 51, "ä", "%F0%9F%8E%88"):
        answer = ask("GET", f"/v2/agents/{odd}")
        assert (answer.status, answer.json["code"]) == (404, "agent_not_found"), odd
    assert ask("GET", f"{agent}/sessions/a.b").json["code"] == "session_not_found"


# --- access and failures -------------------------------------------------------------------------


def test_every_route_but_health_wants_a_key(
    ask: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports.keys.put(Key("k1", "Ops", (Secret(hashed("secret")),), 1))
    checked = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, checked))
    assert ask("GET", "/healthz").status == 200
    for route in ROUTES:
        answer = ask(route.method, route.path, {})
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    for headers in ({"X-Api-Key": "k1.secret"}, {"Authorization": "Bearer k1.secret"}):
        assert ask("GET", "/v2/agents", headers=headers).status == 200
    for wrong in ("k1.wrong", "k2.secret", "k1", ""):
        assert ask("GET", "/v2/agents", headers={"x-api-key": wrong}).status == 401


@pytest.mark.parametrize("origin", ["https://example.com", "https://example.org", "null", None])
def test_only_a_page_of_a_named_origin_may_read_answers_and_errors(
    ask: Ask, agent: str, monkeypatch: pytest.MonkeyPatch, origin: str | None
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    headers = {"Origin": origin} if origin else {}
    for method, path, status in (
        ("GET", agent, 200),
        ("GET", f"{agent}/sessions/none", 404),
        ("GET", f"{agent}/identity", 501),
        ("GET", "/nowhere", 404),
        ("DELETE", agent, 204),
    ):
        answer = ask(method, path, headers=headers)
        assert answer.status == status
        assert answer.headers["vary"] == "origin"
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if origin == "https://example.com" else None)
        assert ("access-control-expose-headers" in answer.headers) == bool(allowed)


def test_a_page_may_read_that_its_key_is_wrong(
    ask: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    checked = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, checked))
    answer = ask("GET", "/v2/agents", headers={"origin": "https://example.com"})
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == "https://example.com"


def test_no_key_and_no_token_is_in_the_log(
    ask: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    ports.keys.put(Key("k1", "Ops", (Secret(hashed("hush")),), 1))
    checked = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, checked))
    token = new_token("k1", Secret(hashed("hush")), ports.clock.now() + 1, checked)
    said = ""
    for given in ("k1.hush", "k1.hush-hush", token, f"{token}0", "hush" * 100):
        for headers in ({"x-api-key": given}, {"authorization": f"Bearer {given}"}):
            said += ask("GET", "/v2/agents", headers=headers).text
    assert log.getvalue().count('"answered"') == 10
    for canary in ("hush", token, token.rpartition(".")[2]):
        assert canary not in log.getvalue() + said


def test_an_unexpected_error_tells_nothing_of_itself(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def broken() -> None:
        raise RuntimeError("hush-hush")

    monkeypatch.setattr(bootstrap, "rest", broken)
    answer = ask("GET", "/v2/agents")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "hush-hush" not in answer.text
    assert "RuntimeError" in log.getvalue()
    assert "hush-hush" not in log.getvalue()


def test_a_request_leaves_one_line_without_its_body(ask: Ask, log: io.StringIO) -> None:
    headers = {"x-api-key": "k1.hush"}
    ask("POST", "/v2/agents", {**SMALLEST, "name": "private"}, headers=headers)
    (line,) = log.getvalue().splitlines()
    assert "private" not in line
    assert "hush" not in line
    logged = json.loads(line)
    assert (logged["route"], logged["status"]) == ("POST /v2/agents", 201)
    assert logged["request_id"] == REQUEST_ID


def test_a_body_may_come_in_base64(ask: Ask, ports: Ports) -> None:
    given = event("POST", "/v2/agents", {**SMALLEST, "name": "Ä"})
    given |= {"isBase64Encoded": True, "body": base64.b64encode(given["body"].encode()).decode()}
    assert app.lambda_handler(given, Context())["statusCode"] == 201  # type: ignore[arg-type]
    given["body"] = "=not base64="
    assert app.lambda_handler(given, Context())["statusCode"] == 400  # type: ignore[arg-type]


# --- agents --------------------------------------------------------------------------------------


def test_the_answer_has_all_that_published_clients_need(ask: Ask) -> None:
    answer = ask("POST", "/v2/agents", SMALLEST)
    assert (answer.status, answer.headers["content-type"]) == (201, "application/json")
    assert answer.json == {
        "key": "agt_a_8000",
        "name": "A",
        "tool_configurations": {},
        "model": {
            "name": "m",
            "parameters": {},
            "retry_configuration": {
                "enabled": True,
                "max_retries": 3,
                "initial_backoff_ms": 500,
                "max_backoff_ms": 20_000,
                "backoff_factor": 2,
            },
        },
        "skills": {},
        "first_step": {"name": "main", "instructions": [], "output_parser": {"type": "default"}},
        "first_step_name": "main",
        "steps": {"main": {"instructions": [], "output_parser": {"type": "default"}}},
        "metadata": {},
        "enabled": True,
        "compaction": {
            "enabled": True,
            "threshold_percent": 80,
            "keep_recent_inputs": 3,
            "tool_event_policy": "include_outputs",
        },
        "tool_output_offloading": {"enabled": False},
        "created_at": "2025-06-15T15:06:40.000Z",
        "updated_at": "2025-06-15T15:06:40.000Z",
    }


def test_a_made_up_key_avoids_those_that_are_taken(ask: Ask, clock: FakeClock) -> None:
    keys = {ask("POST", "/v2/agents", SMALLEST).json["key"] for _ in range(2)}
    assert keys == {"agt_a_8000", "agt_a_800000000000"}
    long = ask("POST", "/v2/agents", {**SMALLEST, "name": "ünï " * 12}).json["key"]
    assert len(long) <= 50


def test_a_taken_key_is_a_conflict(ask: Ask, agent: str) -> None:
    answer = ask("POST", "/v2/agents", {**SMALLEST, "key": "a", "name": "Other"})
    assert (answer.status, answer.json["code"]) == (409, "agent_exists")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name", "tool_configurations", "model"}),
        ({**SMALLEST, "nmae": "x"}, {"nmae"}),
        ({**SMALLEST, "name": "x" * 51}, {"name"}),
        ({**SMALLEST, "name": " "}, {"name"}),
        ({**SMALLEST, "name": "a\x00"}, {"name"}),
        ({**SMALLEST, "key": "a\n"}, {"key"}),
        ({**SMALLEST, "key": ""}, {"key"}),
        ({**SMALLEST, "enabled": "yes"}, {"enabled"}),
        ({**SMALLEST, "model": {"name": "m", "parameters": []}}, {"model.parameters"}),
        ({**SMALLEST, "model": "m"}, {"model"}),
        (
            {**SMALLEST, "first_step": {"instructions": [{"type": "inline"}]}},
            {"first_step.instructions.0.name", "first_step.instructions.0.template"},
        ),
        ({**SMALLEST, "first_step": {**STEP, "output_parser": {"type": "x"}}},
         {"first_step.output_parser.type"}),
        ({**SMALLEST, "steps": {"one": STEP}}, {"first_step_name"}),
        ({**SMALLEST, "steps": {"one": STEP}, "first_step_name": "two"}, {"first_step_name"}),
        ({**SMALLEST, "first_step_name": "two"}, {"steps"}),
        (
            {**SMALLEST, "first_step": {**STEP, "name": "one"}, "first_step_name": "two"},
            {"first_step_name"},
        ),
    ],
)  # fmt: skip
def test_a_wrong_agent_names_its_fields(ask: Ask, body: Any, fields: set[str]) -> None:
    answer = ask("POST", "/v2/agents", body)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert set(answer.json["field_errors"]) == fields


def test_an_error_does_not_echo_what_is_huge(ask: Ask) -> None:
    answer = ask("POST", "/v2/agents", {**SMALLEST, **{f"{n}" * 5000: n for n in range(60)}})
    assert answer.status == 400
    assert len(answer.text) < 10_000


def test_a_list_filters_and_goes_on_where_it_stopped(ask: Ask, clock: FakeClock) -> None:
    for n in range(25):
        clock.ms += 1
        text = "Even, v1.2" if n % 2 == 0 else None
        body = {**SMALLEST, "key": f"k{n}", "description": text, "enabled": n != 4}
        assert ask("POST", "/v2/agents", body).status == 201
    found: list[str] = []
    query = {"filter": "eVEN.*1.2", "limit": "5", "enabled": "true"}
    while True:
        answer = ask("GET", "/v2/agents", query=query).json
        found += [agent["key"] for agent in answer["agents"]]
        if not (key := answer["metadata"].get("page_key")):
            break
        assert len(answer["agents"]) == 5
        query["page_key"] = key
    assert found == [f"k{n}" for n in range(0, 25, 2) if n != 4]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"page_key": "made up"}, {"enabled": "?"}],
)
def test_a_bad_query_is_a_bad_request(ask: Ask, query: dict[str, str]) -> None:
    answer = ask("GET", "/v2/agents", query=query)
    assert (answer.status, set(answer.json["field_errors"])) == (400, set(query))


def test_a_filter_that_needs_regular_expressions_is_not_built(ask: Ask) -> None:
    assert ask("GET", "/v2/agents", query={"filter": "(a|b)+"}).status == 501


def test_an_update_keeps_what_it_does_not_name(ask: Ask, agent: str, clock: FakeClock) -> None:
    clock.ms += 1500
    changed = ask("PATCH", agent, {"description": "d", "metadata": {"x": 1}}).json
    assert (changed["name"], changed["description"]) == ("A", "d")
    assert changed["updated_at"] == "2025-06-15T15:06:41.500Z"
    assert changed["created_at"] == "2025-06-15T15:06:40.000Z"
    changed = ask("PATCH", agent, {"description": None, "metadata": None, "enabled": False}).json
    assert "description" not in changed
    assert (changed["metadata"], changed["enabled"]) == ({}, False)
    nulls = {"enabled": None, "tool_configurations": None, "skills": {"x": None}}
    assert ask("PATCH", agent, nulls).json["enabled"]
    assert ask("PATCH", agent, {"model": {"name": "n"}}).json["model"]["name"] == "n"
    for field in ("name", "model", "first_step", "first_step_name"):
        assert ask("PATCH", agent, {field: None}).status == 400


def test_what_was_got_can_be_put_back(ask: Ask, agent: str, clock: FakeClock) -> None:
    ask("PATCH", agent, {"first_step": {**STEP, "name": "x"}, "description": "d"})
    got = ask("GET", agent).json
    clock.ms += 1000
    put = ask("PUT", agent, got)
    assert put.status == 200
    assert put.json == {**got, "updated_at": "2025-06-15T15:06:41.000Z"}
    assert ask("PUT", agent, {**SMALLEST, "key": "b"}).status == 400
    assert ask("PUT", agent, SMALLEST).json.get("description") is None
    assert ask("PUT", "/v2/agents/none", SMALLEST).status == 404


def test_an_agent_goes_when_its_sessions_have_gone(
    ask: Ask, agent: str, session: str, clock: FakeClock
) -> None:
    ask("POST", f"{agent}/sessions", {"key": "short", "tti_minutes": 1})
    answer = ask("DELETE", agent)
    assert (answer.status, answer.json["code"]) == (409, "agent_in_use")
    ask("DELETE", session)
    assert ask("DELETE", agent).status == 409
    clock.ms += MINUTE
    gone = ask("DELETE", agent)
    assert (gone.status, gone.text) == (204, "")
    assert ask("GET", agent).status == ask("DELETE", agent).status == 404


def test_a_list_of_big_agents_fits_into_what_a_function_may_answer(ask: Ask) -> None:
    big = {**STEP, "instructions": [{**INLINE, "template": "\u00e9" * 140_000}]}
    keys = [f"k{n}" for n in range(5)]
    for key in keys:
        body = {**SMALLEST, "key": key, "first_step": big}
        assert ask("POST", "/v2/agents", body).status == 201
    found: list[str] = []
    query = {"limit": "100"}
    while True:
        answer = ask("GET", "/v2/agents", query=query)
        assert len(answer.text) < 6_000_000
        found += [agent["key"] for agent in answer.json["agents"]]
        if not (key := answer.json["metadata"].get("page_key")):
            break
        query["page_key"] = key
    assert found == keys


def test_an_event_without_headers_or_request_id_is_answered(ask: Ask) -> None:
    bare = {**event("GET", "/v2/agents"), "headers": None, "requestContext": {}}
    response = app.lambda_handler(bare, Context())  # type: ignore[arg-type]
    assert response["statusCode"] == 200
    assert response["multiValueHeaders"]["x-request-id"] == [Context().aws_request_id]


def test_an_agent_has_a_greatest_size(ask: Ask) -> None:
    big = {**STEP, "instructions": [{**INLINE, "template": "x" * 310_000}]}
    assert ask("POST", "/v2/agents", {**SMALLEST, "first_step": big}).status == 400


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_needs_nothing(ask: Ask, agent: str) -> None:
    answer = ask("POST", f"{agent}/sessions", {})
    assert answer.status == 201
    assert answer.json == {
        "key": "ase_session_2025-06-15_15_06_40_8000",
        "agent_key": "a",
        "name": "Session 2025-06-15 15:06:40",
        "metadata": {},
        "enabled": True,
        "tti_minutes": 0,
        "created_at": "2025-06-15T15:06:40.000Z",
        "current_step_name": None,
        "session_context_usage": {
            "input_tokens": {"count": 0},
            "output_tokens": {"count": 0, "reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "pending_approvals": [],
    }
    assert ask("GET", f"{agent}/sessions/{answer.json['key']}").json == answer.json


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"key": "a.b"}, 400),
        ({"tti_minutes": -1}, 400),
        ({"tti_minutes": 1.5}, 400),
        ({"tti_minutes": True}, 400),
        ({"name": ""}, 400),
        ({"metadata": []}, 400),
        ({"metadata": {"x": "y" * 32_000}}, 400),
        ({"ttl": 5}, 400),
        ({"from_session": {"session_key": "s"}}, 404),
        ({"from_session": {"session_key": "a.b"}}, 400),
        ({"name": None, "metadata": None, "enabled": None, "tti_minutes": None}, 201),
    ],
)
def test_a_session_is_checked(ask: Ask, agent: str, body: Any, status: int) -> None:
    assert ask("POST", f"{agent}/sessions", body).status == status


def test_a_session_is_listed_until_it_is_gone(ask: Ask, agent: str, clock: FakeClock) -> None:
    for n in range(12):
        clock.ms += 1
        body = {"key": f"s{n}", "name": f"Talk {n}", "tti_minutes": n % 2}
        assert ask("POST", f"{agent}/sessions", body).status == 201
    ask("DELETE", f"{agent}/sessions/s4")
    clock.ms += MINUTE
    page = ask("GET", f"{agent}/sessions", query={"limit": "3"}).json
    assert [s["key"] for s in page["sessions"]] == ["s0", "s2", "s6"]
    more = {"limit": "3", "page_key": page["metadata"]["page_key"]}
    page = ask("GET", f"{agent}/sessions", query=more).json
    assert [s["key"] for s in page["sessions"]] == ["s8", "s10"]
    assert page["metadata"] == {}
    page = ask("GET", f"{agent}/sessions", query={"filter": "TALK 8"}).json
    assert [s["key"] for s in page["sessions"]] == ["s8"]
    assert ask("GET", "/v2/agents/none/sessions").json["code"] == "agent_not_found"


def test_a_session_is_updated(ask: Ask, session: str) -> None:
    first = ask("PATCH", session, {"name": "N", "description": "d", "metadata": {"a": 1}}).json
    assert (first["name"], first["description"], first["metadata"]) == ("N", "d", {"a": 1})
    then = ask("PATCH", session, {"metadata": {"b": 2}, "enabled": False, "tti_minutes": 5}).json
    assert (then["name"], then["metadata"], then["enabled"]) == ("N", {"b": 2}, False)
    nulls = dict.fromkeys(("description", "metadata", "enabled", "tti_minutes"))
    last = ask("PATCH", session, nulls).json
    assert "description" not in last
    assert (last["metadata"], last["enabled"], last["tti_minutes"]) == ({}, True, 0)
    assert ask("PATCH", session, {"name": None}).status == 400
    assert ask("PATCH", session, {"key": "other"}).status == 400
    assert ask("PATCH", "/v2/agents/a/sessions/none", {}).json["code"] == "session_not_found"
    assert ask("PATCH", "/v2/agents/none/sessions/s", {}).json["code"] == "agent_not_found"


def test_a_deleted_session_is_gone_at_once(
    ask: Ask, session: str, ports: Ports, clock: FakeClock
) -> None:
    say(ports, Input(texts=("hi",)))
    gone = ask("DELETE", session)
    assert (gone.status, gone.text) == (204, "")
    # A client that lost the answer asks again.
    clock.ms += 9_000
    assert ask("DELETE", session).status == 204
    assert (WakeUp("a.s", sweep=(1_750_000_000_000, 1)),) == tuple(ports.wake_ups.drain())  # type: ignore[attr-defined]
    clock.ms += 1_000
    for method, path in (("GET", session), ("DELETE", session), ("GET", f"{session}/events")):
        answer = ask(method, path)
        assert (answer.status, answer.json["code"]) == (404, "session_not_found")


# --- events --------------------------------------------------------------------------------------


def test_events_are_shown_as_the_public_schema_has_them(
    ask: Ask, session: str, ports: Ports
) -> None:
    say(
        ports,
        Input(texts=("hi", "there")),
        Input(source="system", policy="silent", texts=("context",)),
        TurnBegan(turn="t", inputs=(0,)),
        Thinking(turn="t", text="hm"),
        ToolInput(turn="t", call="c", tool="f", arguments='{"x":1}'),
        ToolOutput(turn="t", call="c", tool="f", output="[1]", error=True),
        ToolInput(turn="t", call="d", tool="f", arguments='{"x":NaN}'),
        ToolOutput(turn="t", call="d", tool="f", output="plain"),
        InputsOverran(inputs=()),
        Answered(turn="t", inputs=(0,), text="hello \u2028 \U0001f388", cut=True),
    )
    listed = ask("GET", f"{session}/events", query={"include_hidden": "true"})
    assert listed.text.isascii()
    events = listed.json["events"]
    common = {"session_key": "s", "created_at": "2025-06-15T15:06:40.000Z"}
    ids = {n: event_id("a.s", 1_750_000_000_000, n) for n in range(10)}
    tool = {"tool_configuration_name": "f", "tool_name": "f"}
    assert events == [
        {"type": "input_message", "id": ids[0], **common, "offset": 0,
         "messages": [{"type": "text", "content": "hi"}, {"type": "text", "content": "there"}]},
        {"type": "thinking", "id": ids[3], **common, "offset": 3, "turn_id": "t", "content": "hm"},
        {"type": "tool_input", "id": ids[4], **common, "offset": 4, "turn_id": "t",
         "tool_call_id": "c", **tool, "tool_input": {"x": 1}},
        {"type": "tool_output", "id": ids[5], **common, "offset": 5, "turn_id": "t",
         "tool_call_id": "c", **tool, "tool_output": {"output": [1]}, "error": True},
        {"type": "tool_input", "id": ids[6], **common, "offset": 6, "turn_id": "t",
         "tool_call_id": "d", **tool, "tool_input": {"arguments": '{"x":NaN}'}},
        {"type": "tool_output", "id": ids[7], **common, "offset": 7, "turn_id": "t",
         "tool_call_id": "d", **tool, "tool_output": {"output": "plain"}, "error": False},
        {"type": "agent_output", "id": ids[9], **common, "offset": 9, "turn_id": "t",
         "content": "hello \u2028 \U0001f388", "truncated": True},
    ]  # fmt: skip
    for shown in events:
        assert ask("GET", f"{session}/events/{shown['id']}").json == shown
    for bookkeeping in (1, 2, 8):
        answer = ask("GET", f"{session}/events/{ids[bookkeeping]}")
        assert (answer.status, answer.json["code"]) == (404, "event_not_found")


def test_failures_are_shown_as_outputs_that_say_so(ask: Ask, session: str, ports: Ports) -> None:
    failed = TurnFailed(
        turn="t", inputs=(0,), code="model_cut", message="Cut.", retryable=True, text="So f"
    )
    say(
        ports,
        Input(texts=("hi",)),
        TurnBegan(turn="t", inputs=(0,)),
        failed,
        Input(texts=("again",)),
        TurnBegan(turn="u", inputs=(3,)),
        TurnInterrupted(turn="u", inputs=()),
        PartlyAnswered(turn="u", text="Part"),
        TurnAbandoned(turn="u"),
        InputsFailed(inputs=(3,)),
    )
    events = ask("GET", f"{session}/events").json["events"]
    assert [e["type"] for e in events] == ["input_message", "agent_output"] * 2 + ["agent_output"]
    assert events[1]["content"] == "So f\n\n[Cut.]"
    assert events[1]["error"] == {"code": "model_cut", "message": "Cut.", "retryable": True}
    assert (events[3]["content"], events[3]["interrupted"]) == ("Part", True)
    assert events[4]["error"]["code"] == "turn_abandoned"


def test_pages_count_what_is_shown(ask: Ask, session: str, ports: Ports) -> None:
    for n in range(40):
        at = say(ports, Input(texts=(f"{n}",)))
        say(ports, TurnBegan(turn="t", inputs=(at,)), InputsOverran(inputs=()))
        say(ports, Answered(turn="t", inputs=(at,), text=f"{n}"))
    texts: list[str] = []
    query = {"limit": "7"}
    while True:
        page = ask("GET", f"{session}/events", query=query).json
        texts += [e.get("content") or e["messages"][0]["content"] for e in page["events"]]
        if not (key := page["metadata"].get("page_key")):
            break
        assert len(page["events"]) == 7
        query["page_key"] = key
    assert texts == [f"{n}" for n in range(40) for _ in range(2)]
    assert len(ask("GET", f"{session}/events").json["events"]) == 10


def test_a_page_fits_into_what_a_function_may_answer(ask: Ask, session: str, ports: Ports) -> None:
    for _ in range(20):
        say(ports, Input(texts=("\u3042" * 100_000,)))
    page = ask("GET", f"{session}/events", query={"limit": "100"})
    assert len(page.text) < 6_000_000
    query = {"limit": "100", "page_key": page.json["metadata"]["page_key"]}
    second = ask("GET", f"{session}/events", query=query).json["events"]
    assert second[0]["offset"] == len(page.json["events"])


def test_a_page_key_of_another_session_or_life_is_refused(
    ask: Ask, agent: str, session: str, ports: Ports
) -> None:
    for wrong in (event_id("a.other", 1_750_000_000_000, 0), event_id("a.s", 1, 0), "x" * 3000):
        answer = ask("GET", f"{session}/events", query={"page_key": wrong})
        assert (answer.status, answer.json["code"]) == (400, "invalid_request")
        assert ask("GET", f"{session}/events/{wrong}").json["code"] == "event_not_found"
