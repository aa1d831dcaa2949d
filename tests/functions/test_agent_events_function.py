"""Posting events: the real ASGI app on a real port, on memory adapters and a scripted model."""

import json
import threading
from dataclasses import replace

import pytest

from cueline import bootstrap
from cueline.doors import access, relay
from cueline.doors.agent_events.hosting import Hosting
from cueline.doors.cors import Cors
from cueline.engine import sessions
from cueline.engine.model import End, TextDelta, ThinkingDelta
from cueline.engine.ports import Key, Secret
from cueline.errors import Unavailable
from cueline.log.events import Answered, Input, TurnFailed
from tests.functions.posting import PATH, Door, changed, door, hosting, said
from tests.models import overloaded, refused

__all__ = ["door", "hosting"]


def test_json_has_the_turn_from_the_echoed_input_to_the_answer(door: Door) -> None:
    door.model.scripts = [[ThinkingDelta("hm"), TextDelta("hé"), TextDelta("llo"), End("stop")]]
    response = door.post("hi")
    assert response.status_code == 201, response.text
    assert response.headers["x-request-id"]
    body = response.json()
    assert body["session_key"] == "s"
    assert [e["type"] for e in body["events"]] == ["input_message", "thinking", "agent_output"]
    assert body["events"][0]["messages"] == [{"type": "text", "content": "hi"}]
    assert body["events"][2]["content"] == "héllo"


def test_a_stream_tells_thinking_and_text_apart_and_ends(door: Door) -> None:
    door.model.scripts = [
        [ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("hé\u2028"), TextDelta("y"), End("stop")]
    ]
    events = door.stream("hi")
    kinds = [e["type"] for e in events]
    assert kinds[0] == "input_message"
    assert kinds[-3:] == ["streaming_agent_output_end", "context_consumed", "end"]
    assert kinds.index("streaming_thinking_end") < kinds.index("streaming_agent_output")
    thought = [e["content"] for e in events if e["type"] == "streaming_thinking"]
    text = [e["content"] for e in events if e["type"] == "streaming_agent_output"]
    assert "".join(thought) == "hm"
    assert "".join(text) == "hé\u2028y"
    assert all("created_at" in e for e in events[:-1])
    stored = next(e for e in events if e["type"] == "streaming_agent_output_end")["event_id"]
    assert stored.startswith("aev_")
    assert isinstance(door.log()[-1], Answered)


def test_the_first_words_come_before_the_last_are_there(door: Door) -> None:
    door.model.scripts = [[TextDelta("first"), TextDelta(" last"), End("stop")]]
    chunks = iter([None, door.hold])
    door.model.before = lambda: (held := next(chunks, None)) and held.wait(10)
    body = {**said("hi"), "stream_response": True}
    seen = b""
    with door.client.stream("POST", PATH, json=body) as response:
        for chunk in response.iter_raw():
            seen += chunk
            if b"first" in seen and not door.hold.is_set():
                assert b" last" not in seen
                door.hold.set()
    assert b" last" in seen


def test_many_small_deltas_become_few_frames(door: Door) -> None:
    door.model.scripts = [[*(TextDelta("x") for _ in range(2000)), End("stop")]]
    text = [e["content"] for e in door.stream() if e["type"] == "streaming_agent_output"]
    assert "".join(text) == "x" * 2000
    assert len(text) < 50


def test_silence_is_broken_by_heartbeats(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "HEARTBEAT", 0.02)
    door.model.before = lambda: door.hold.wait(0.2)
    body = {**said("hi"), "stream_response": True}
    with door.client.stream("POST", PATH, json=body) as response:
        raw = b"".join(response.iter_raw())
    assert raw.count(b": keep-alive\n\n") >= 3
    assert raw.endswith(b'event:end\ndata:{"type": "end"}\n\n')


@pytest.mark.parametrize("streamed", [True, False])
def test_a_failed_model_is_an_error_with_a_code(door: Door, streamed: bool) -> None:
    door.model.scripts = [[refused()]]
    if streamed:
        error, end = door.stream()[-2:]
        assert (error["type"], end["type"]) == ("error", "end")
    else:
        response = door.post()
        assert response.status_code == 500
        error = response.json()
    assert error["code"] == "agent_processing_failed"
    assert error["cause"] == "model_unauthorized"
    assert error["retryable"] is False
    assert error["messages"]
    assert error["request_id"]
    assert isinstance(door.log()[-1], TurnFailed)


def test_a_stream_that_is_cut_ends_its_text_then_says_error_then_end(door: Door) -> None:
    door.model.scripts = [[TextDelta("so far"), overloaded()]]
    assert [e["type"] for e in door.stream()] == [
        "input_message",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "error",
        "end",
    ]


def test_a_caller_who_goes_away_does_not_stop_the_turn(door: Door) -> None:
    door.model.scripts = [[TextDelta("first"), TextDelta(" last"), End("stop")]]
    chunks = iter([None, door.hold])
    door.model.before = lambda: (held := next(chunks, None)) and held.wait(10)
    body = {**said("hi"), "stream_response": True}
    with door.client.stream("POST", PATH, json=body) as response:
        next(response.iter_raw())
    door.hold.set()
    door.until(lambda: isinstance(door.log()[-1], Answered))
    assert door.post("and now?").status_code == 201


def test_a_busy_session_refuses_another_input_and_names_its_turn(door: Door) -> None:
    door.model.before = lambda: door.hold.wait(10)
    first = threading.Thread(target=door.post, args=("one",))
    first.start()
    door.until(door.log)
    response = door.post("two")
    door.hold.set()
    first.join(10)
    assert response.status_code == 409
    assert response.json()["code"] == "turn_running"
    assert response.json()["running_turn_id"]
    assert int(response.headers["retry-after"]) >= 1
    assert [e.texts for e in door.log() if isinstance(e, Input)] == [("one",)]


def test_an_overrun_is_409_and_the_repeat_gets_the_answer(
    door: Door, hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(hosting, monkeypatch, wait_seconds=0.2)
    door.model.before = lambda: door.hold.wait(10)
    late = door.post("one")
    assert late.status_code == 409
    assert late.json()["code"] == "turn_running"
    assert late.headers["retry-after"] == "1"
    door.hold.set()
    door.until(lambda: isinstance(door.log()[-1], Answered))
    again = door.post("one")
    assert again.status_code == 201
    assert again.json()["events"][-1]["content"] == "ok"
    assert [e.texts for e in door.log() if isinstance(e, Input)] == [("one",)]


@pytest.mark.parametrize("headers", [{"Request-Timeout-Millis": "150"}, {"Request-Timeout": "1"}])
@pytest.mark.parametrize("streamed", [True, False])
def test_the_caller_may_say_how_long_it_waits(
    door: Door, headers: dict[str, str], streamed: bool
) -> None:
    door.model.before = lambda: door.hold.wait(10)
    if streamed:
        error, end = door.stream(headers=headers)[-2:]
        assert end["type"] == "end"
    else:
        response = door.post(headers=headers)
        assert response.status_code == 409
        error = response.json()
    assert error["code"] == "turn_running"


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "", "1" * 40])
def test_a_timeout_that_is_none_is_refused(door: Door, value: str) -> None:
    response = door.post(headers={"Request-Timeout": value})
    assert response.status_code == 400
    assert response.json()["field_errors"]["request-timeout"] is not None
    assert door.log() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_request"),
        (b"{", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b'{"messages": []}', 400, "invalid_request"),
        (b'{"messages": [{"type": "text", "content": " "}]}', 400, "invalid_message_content"),
        (b'{"type": "compact", "compact_up_to_event_id": "x"}', 400, "invalid_request"),
        (b'{"type": "tool_decision"}', 400, "invalid_request"),
        (b'{"type": "dance"}', 400, "invalid_request"),
        (json.dumps({**said("x"), "since": "aev_x"}).encode(), 400, "invalid_request"),
        (b'{"messages": "' + b"x" * 600_000, 400, "invalid_request"),
        (json.dumps(said("x" * 100_001)).encode(), 400, "invalid_message_content"),
        (b"[" * 100_000, 400, "invalid_request"),
    ],
)
def test_what_is_refused_leaves_no_trace(door: Door, body: bytes, status: int, code: str) -> None:
    response = door.client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert door.log() == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/agents/nobody/sessions/s/events", "agent_not_found"),
        ("/v2/agents/a/sessions/nobody/events", "session_not_found"),
        ("/v2/agents/a/sessions/a%2Fb/events", "not_found"),
        ("/v2/agents/a/sessions/%2573/events", "session_not_found"),
    ],
)
def test_what_is_not_there_is_404(door: Door, path: str, code: str) -> None:
    response = door.client.post(path, json=said("x"))
    assert (response.status_code, response.json()["code"]) == (404, code)


def test_a_disabled_session_or_agent_takes_no_messages(door: Door) -> None:
    sessions.update(door.ports, "a", "s", lambda session: replace(session, enabled=False))
    assert door.post().status_code == 403
    assert door.log() == []


def test_a_key_is_wanted_where_access_is_checked(
    door: Door, hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = access.Access(door.ports.keys, door.ports.clock, lambda: b"s" * 64)
    changed(hosting, monkeypatch, access=checked)
    door.ports.keys.put(Key("k1", "test", (Secret(access.hashed("secret")),), 1))
    given = "k1.secret"
    assert door.post().status_code == 401
    assert door.post(headers={"x-api-key": "k1.wrong"}).status_code == 401
    assert door.post(headers={"x-api-key": "nobody.secret"}).json()["code"] == "unauthorized"
    assert door.post(headers={"x-api-key": given}).status_code == 201
    assert door.post("more", headers={"authorization": f"Bearer {given}"}).status_code == 201


def test_a_store_that_does_not_answer_is_503_before_and_an_error_event_after(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise Unavailable("The store does not answer.")

    monkeypatch.setattr(type(door.ports.log), "append", down)
    assert door.post().status_code == 503


def test_a_bug_is_a_500_that_tells_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(type(door.ports.log), "tail", broken)
    response = door.post()
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["code"] == "internal_error"


@pytest.mark.parametrize("origin", ["https://example.com", "https://example.org", "null", None])
def test_only_a_page_of_a_named_origin_may_read_answers_errors_and_streams(
    door: Door, monkeypatch: pytest.MonkeyPatch, origin: str | None
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    headers = {"origin": origin} if origin else {}
    streaming = {**said("hi"), "stream_response": True}
    for path, body, status in (
        (PATH, said("hello"), 201),
        (PATH, streaming, 201),
        (PATH, {}, 400),
        ("/v2/agents/nobody/sessions/s/events", said("hello"), 404),
        ("/v2/nowhere", said("hello"), 404),
    ):
        answer = door.client.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["vary"] == "origin"
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if origin == "https://example.com" else None)
        assert ("access-control-expose-headers" in answer.headers) == bool(allowed)
