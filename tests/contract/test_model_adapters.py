"""The model port: both OpenAI APIs, over real HTTP, against a provider that fails in every way."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.openai_chat import chat_model
from cueline.adapters.openai_client import Answer
from cueline.adapters.openai_responses import responses_model
from cueline.engine.model import (
    Called,
    CallMade,
    Chunk,
    End,
    Item,
    Model,
    ModelRequest,
    Returned,
    Said,
    TextDelta,
    ThinkingDelta,
    Tool,
    Usage,
)
from cueline.errors import ModelError
from tests.practice import Practice, practice

__all__ = ["practice"]

SHORT = 0.3
WEATHER = Tool(
    "get_weather",
    "The weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
HANGS = [{"kind": "hang_midstream", "after": after} for after in (0, 3, 10_000)]
MAKERS: dict[str, Callable[..., Model]] = {"responses": responses_model, "chat": chat_model}


@pytest.fixture(params=sorted(MAKERS))
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(api: str, practice: Practice) -> Model:
    return MAKERS[api](api_key=practice.KEY, base_url=practice.base_url)


@pytest.fixture
def hasty(api: str, practice: Practice) -> Model:
    """For hangs only: a busy machine may well be silent for so long."""
    return MAKERS[api](api_key=practice.KEY, base_url=practice.base_url, idle_seconds=SHORT)


def asking(name: str, *items: Item, **more: Any) -> ModelRequest:
    return ModelRequest(name, "You sell pizza.", items or (Said("user", "hello"),), **more)


def call(model: Model, request: ModelRequest, seconds: float = 10.0) -> list[Chunk]:
    return list(model.stream(request, time.monotonic() + seconds))


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def thinking(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))


def calls(chunks: list[Chunk]) -> list[CallMade]:
    return [chunk for chunk in chunks if isinstance(chunk, CallMade)]


def failure(model: Model, request: ModelRequest, seconds: float = 10.0) -> ModelError:
    started = time.monotonic()
    with pytest.raises(ModelError) as raised:
        call(model, request, seconds)
    assert time.monotonic() - started < 8, "no failure takes long to notice"
    assert Practice.KEY not in repr(raised.value) + str(raised.value.__cause__)
    return raised.value


# --- answers ------------------------------------------------------------------------------------


def test_an_answer_comes_in_deltas_with_usage_and_an_end(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model()))
    assert "You said “hello”. I can see 1 user message. My instructions" in text(chunks)
    assert len(chunks) > 10
    assert not thinking(chunks)
    usage, end = chunks[-2:]
    assert isinstance(usage, Usage)
    assert usage.input_tokens > 0
    assert usage.output_tokens > 10
    assert end == End("stop")


def test_the_history_arrives_in_its_order_and_roles(
    model: Model, api: str, practice: Practice
) -> None:
    name = practice.model()
    call(
        model,
        asking(
            name,
            Said("user", "one ü"),
            Said("assistant", "two"),
            Said("system", "three"),
            Said("user", "four"),
            parameters={"temperature": 0.5},
        ),
    )
    (body,) = practice.requests(name)
    assert body["stream"] is True
    assert body["temperature"] == 0.5
    sent = body["input"] if api == "responses" else body["messages"]
    operator = "developer" if api == "responses" else "system"
    expected = [("user", "one ü"), ("assistant", "two"), (operator, "three"), ("user", "four")]
    if api == "responses":
        assert body["instructions"] == "You sell pizza."
        assert body["store"] is False
    else:
        expected.insert(0, ("system", "You sell pizza."))
        assert body["stream_options"] == {"include_usage": True}
    assert [(item["role"], item["content"]) for item in sent] == expected


def test_thinking_and_text_are_told_apart(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model(), Said("user", "think, then say it")))
    assert thinking(chunks).startswith("Practice thinking: the user said")
    assert "thinking" not in text(chunks)
    usage = chunks[-2]
    assert isinstance(usage, Usage)
    assert usage.reasoning_tokens > 0


def test_reasoning_is_asked_for_by_parameters(model: Model, api: str, practice: Practice) -> None:
    effort = {"reasoning": {"effort": "low", "summary": "auto"}}
    parameters = effort if api == "responses" else {"reasoning_effort": "low"}
    assert thinking(call(model, asking(practice.model(), parameters=parameters)))


def test_a_tool_call_and_its_output_go_round(model: Model, practice: Practice) -> None:
    asked = asking(practice.model(), Said("user", "The weather in Rome?"), tools=(WEATHER,))
    chunks = call(model, asked)
    (made,) = calls(chunks)
    assert (made.tool, json.loads(made.arguments)) == ("get_weather", {"city": "Rome"})
    assert chunks[-1] == End("tool_calls")
    answered = replace(
        asked,
        items=(
            *asked.items,
            Called(made.call, made.tool, made.arguments),
            Returned(made.call, "sunny, 31 °C"),
        ),
    )
    chunks = call(model, answered)
    assert "The tool get_weather answered “sunny, 31 °C”" in text(chunks)
    assert chunks[-1] == End("stop")


def test_parallel_calls_with_text_and_late_outputs_are_accepted(
    model: Model, practice: Practice
) -> None:
    items = (
        Said("user", "both"),
        Said("assistant", "One moment."),
        Called("a", "get_weather", "{}"),
        Called("b", "get_weather", "{}"),
        Said("user", "hurry"),
        Returned("b", "rain"),
        Returned("a", "sun"),
        Said("user", "so?"),
    )
    assert "You said “so?”" in text(call(model, asking(practice.model(), *items)))


def test_a_call_id_may_come_again_in_a_later_answer(model: Model, practice: Practice) -> None:
    items = (
        Said("user", "1"),
        Called("call_0", "get_weather", "{}"),
        Returned("call_0", "first"),
        Called("call_0", "get_weather", "{}"),
        Returned("call_0", "second"),
    )
    assert "answered “first”. The tool get_weather answered “second”" in text(
        call(model, asking(practice.model(), *items))
    )


def test_a_tool_without_parameters_is_accepted(model: Model, practice: Practice) -> None:
    asked = asking(practice.model(), Said("user", "ping"), tools=(Tool("ping", "", {}),))
    assert calls(call(model, asked))[0].arguments == "{}"


def test_the_token_limit_of_the_caller_ends_with_length(
    model: Model, api: str, practice: Practice
) -> None:
    limit = "max_output_tokens" if api == "responses" else "max_completion_tokens"
    chunks = call(model, asking(practice.model(), parameters={limit: 3}))
    assert chunks[-1] == End("length")
    assert text(chunks) == "I am the"


@pytest.mark.parametrize("key", ["model", "input", "messages", "stream", "instructions", "tools"])
def test_parameters_may_not_say_what_is_asked(key: str, model: Model, practice: Practice) -> None:
    name = practice.model()
    error = failure(model, asking(name, parameters={key: "x"}))
    assert (error.kind, error.retryable) == ("model_rejected", False)
    assert practice.requests(name) == []


@pytest.mark.parametrize(
    "parameters", [{"temperature": float("nan")}, {"metadata": {"a": "\ud800"}}, {"user": {1}}]
)
def test_what_cannot_be_json_is_rejected(
    parameters: dict[str, Any], model: Model, practice: Practice
) -> None:
    assert failure(model, asking(practice.model(), parameters=parameters)).kind == "model_rejected"


def test_an_unknown_parameter_is_rejected_in_the_providers_words(
    model: Model, practice: Practice
) -> None:
    error = failure(model, asking(practice.model(), parameters={"colour": "red"}))
    assert error.kind == "model_rejected"
    assert "Unknown parameter: 'colour'" in error.message


def test_a_connection_serves_call_after_call(model: Model, practice: Practice) -> None:
    name = practice.model("kept", {"kind": "bytes"}, {"kind": "script", "text": "Zoë 🙂 ok"})
    first = text(call(model, asking(name)))
    assert "I am the practice model" in first
    assert text(call(model, asking(name))) == "Zoë 🙂 ok"


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, None, "model_rejected", False),
        (400, "context_length_exceeded", "context_limit_exceeded", False),
        (400, "content_filter", "model_refused", False),
        (401, "invalid_api_key", "model_unauthorized", False),
        (403, None, "model_unauthorized", False),
        (404, "model_not_found", "model_rejected", False),
        (408, None, "model_unavailable", True),
        (409, None, "model_unavailable", True),
        (422, None, "model_rejected", False),
        (429, "rate_limit_exceeded", "model_rate_limited", True),
        (429, "insufficient_quota", "model_rate_limited", False),
        (500, None, "model_unavailable", True),
        (503, None, "model_unavailable", True),
        (307, None, "model_rejected", False),
    ],
)
def test_statuses(
    status: int, code: str | None, kind: str, retryable: bool, model: Model, practice: Practice
) -> None:
    fault = {"kind": "status", "status": status, "code": code, "message": "no sk-abcdef123456"}
    location = {"headers": {"location": "/v1/models"}} if status == 307 else {}
    name = practice.model("status", {**fault, **location})
    error = failure(model, asking(name))
    assert (error.kind, error.retryable) == (kind, retryable)
    assert str(status) in error.message
    assert "sk-" not in error.message
    assert len(practice.requests(name)) == 1, "the adapter does not retry"


def test_retry_after_is_handed_on(model: Model, practice: Practice) -> None:
    fault = {"kind": "status", "status": 429, "retry_after": "7"}
    assert failure(model, asking(practice.model("limited", fault))).retry_after == 7
    plain = {"kind": "status", "status": 429}
    assert failure(model, asking(practice.model("limited", plain))).retry_after is None


def test_a_provider_may_forbid_the_retry(model: Model, practice: Practice) -> None:
    fault = {"kind": "status", "status": 503, "headers": {"x-should-retry": "false"}}
    assert not failure(model, asking(practice.model("final", fault))).retryable


def test_a_wrong_key_is_the_deployments_fault_and_never_shown(api: str, practice: Practice) -> None:
    model = MAKERS[api](api_key="sk-wrong-key-123456", base_url=practice.base_url)
    error = failure(model, asking(practice.model()))
    assert error.kind == "model_unauthorized"
    assert "key of this deployment" in error.message
    assert "sk-" not in error.message


@pytest.mark.parametrize("after", [0, 5, 10_000])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cut", "model_cut"),
        ("reset", "model_cut"),
        ("malformed", "model_malformed"),
        ("wrong_shape", "model_malformed"),
        ("empty_choices", "model_malformed"),
        ("error_event", "model_unavailable"),
    ],
)
def test_a_stream_that_breaks_keeps_what_came_before(
    kind: str, expected: str, after: int, model: Model, practice: Practice
) -> None:
    name = practice.model("broken", {"kind": kind, "after": after})
    chunks: list[Chunk] = []
    with pytest.raises(ModelError) as raised:
        chunks.extend(model.stream(asking(name), time.monotonic() + 10))
    assert raised.value.kind == expected
    assert raised.value.retryable
    assert "I am the practice model, not an AI.".startswith(text(chunks)) or after == 10_000


def test_an_error_in_the_stream_is_told_by_its_code(model: Model, practice: Practice) -> None:
    fault = {"kind": "error_event", "code": "rate_limit_exceeded", "message": "slow down"}
    error = failure(model, asking(practice.model("slow", fault)))
    assert (error.kind, error.retryable) == ("model_rate_limited", True)
    assert "slow down" in error.message


@pytest.mark.parametrize("fault", [{"kind": "hang"}, *HANGS])
def test_silence_ends_at_the_inactivity_limit(
    fault: dict[str, Any], hasty: Model, practice: Practice
) -> None:
    error = failure(hasty, asking(practice.model("silent", fault)), seconds=60)
    assert (error.kind, error.retryable) == ("model_timeout", True)


@pytest.mark.parametrize("kind", ["hang", "drip", "drip_headers", "drip_error", "hang_midstream"])
def test_nothing_lasts_beyond_the_deadline(kind: str, api: str, practice: Practice) -> None:
    patient = MAKERS[api](api_key=practice.KEY, base_url=practice.base_url, idle_seconds=60)
    error = failure(patient, asking(practice.model("late", {"kind": kind})), seconds=SHORT)
    assert error.kind == "model_timeout"


def test_a_passed_deadline_asks_nobody(model: Model, practice: Practice) -> None:
    name = practice.model()
    assert failure(model, asking(name), seconds=-1).kind == "model_timeout"
    assert practice.requests(name) == []


def test_no_server_is_unavailable(api: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        error = failure(MAKERS[api](api_key="x", base_url=address), asking("m"))
    assert (error.kind, error.retryable) == ("model_unavailable", True)


def test_a_page_instead_of_a_stream_is_malformed(api: str, practice: Practice) -> None:
    with answering(b"<html>\nhello\n</html>") as address:
        error = failure(MAKERS[api](api_key="x", base_url=address), asking("m"))
    assert (error.kind, error.retryable) == ("model_malformed", False)


@pytest.mark.parametrize("body", [b"data: \xff\xfe\n\n", b"data: " + b"[" * 50_000 + b"\n\n"])
def test_bytes_that_are_no_json_are_malformed(body: bytes, api: str) -> None:
    with answering(body) as address:
        error = failure(MAKERS[api](api_key="x", base_url=address), asking("m"))
    assert error.kind == "model_malformed"


def test_a_body_that_is_not_what_its_headers_say_is_malformed(api: str) -> None:
    with answering(b"data: {}\n\n", "Content-Encoding: gzip\r\n") as address:
        error = failure(MAKERS[api](api_key="x", base_url=address), asking("m"))
    assert error.kind == "model_malformed"


class answering:  # noqa: N801
    """A server that answers one request with this body, and nothing else."""

    def __init__(self, body: bytes, headers: str = "") -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self._bytes = head.encode() + body
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self._bytes)
            connection.settimeout(5)
            while connection.recv(65536):
                pass

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        self._server.close()


# --- odd but whole answers ----------------------------------------------------------------------


def test_missing_usage_is_no_failure(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model("free", {"kind": "no_usage"})))
    assert chunks[-1] == End("stop")
    assert not [chunk for chunk in chunks if isinstance(chunk, Usage)]


def test_a_missing_end_marker(model: Model, api: str, practice: Practice) -> None:
    asked = asking(practice.model("endless", {"kind": "no_done"}))
    if api == "chat":  # its finish reason came before [DONE]
        assert call(model, asked)[-1] == End("stop")
    else:
        assert failure(model, asked).kind == "model_cut"


def test_the_token_limit(model: Model, practice: Practice) -> None:
    assert call(model, asking(practice.model("x", {"kind": "length"})))[-1] == End("length")


def test_the_content_filter_refuses(model: Model, practice: Practice) -> None:
    error = failure(model, asking(practice.model("x", {"kind": "content_filter"})))
    assert (error.kind, error.retryable) == ("model_refused", False)


def test_a_refusal_is_text_to_show(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model("x", {"kind": "refusal"})))
    assert text(chunks) == "I am sorry, I cannot help with that."
    assert chunks[-1] == End("stop")


def test_bad_tool_calls_are_handed_on_as_they_are(model: Model, practice: Practice) -> None:
    name = practice.model("x", {"kind": "bad_arguments"}, {"kind": "unknown_tool"})
    assert calls(call(model, asking(name)))[0].arguments == '{"broken": '
    assert calls(call(model, asking(name)))[0].tool == "no_such_tool"


def test_two_calls_with_one_id_get_ids_of_their_own(model: Model, practice: Practice) -> None:
    first, second = calls(call(model, asking(practice.model("x", {"kind": "same_call_id"}))))
    assert first.call == "call_same"
    assert second.call != first.call
    assert [first.arguments, second.arguments] == ['{"n": 1}', '{"n": 2}']


def test_a_model_that_always_calls(model: Model, practice: Practice) -> None:
    name = practice.model("x", {"kind": "endless_tools"})
    asked = asking(name, tools=(WEATHER,))
    seen = set()
    for _ in range(3):
        (made,) = calls(call(model, asked))
        seen.add(made.call)
        more = (Called(made.call, made.tool, made.arguments), Returned(made.call, "again"))
        asked = replace(asked, items=(*asked.items, *more))
    assert len(seen) == 3


def test_calls_that_the_token_limit_cut_are_left_out(api: str, practice: Practice) -> None:
    model = MAKERS[api](api_key=practice.KEY, base_url=practice.base_url)
    bad = {"kind": "script", "finish": "length", "calls": [{"name": "t", "arguments": '{"a'}]}
    chunks = call(model, asking(practice.model("x", bad)))
    assert chunks[-1] == End("length")
    if api == "chat":  # the practice Responses API marks its items as whole
        assert not calls(chunks)


def test_thinking_in_tags(practice: Practice) -> None:
    model = chat_model(api_key=practice.KEY, base_url=practice.base_url)
    script = {"kind": "script", "texts": ["<th", "ink>hm", "m</thi", "nk>\n\n", "Hello", " you"]}
    chunks = call(model, asking(practice.model("x", script)))
    assert (thinking(chunks), text(chunks)) == ("hmm", "Hello you")


def test_half_a_character_in_each_delta(model: Model, api: str) -> None:
    halves = ["\ud83d", "\ude42", " x\ud800"]
    events: list[dict[str, Any]]
    if api == "chat":
        events = [{"choices": [{"delta": {"content": half}}]} for half in halves]
        events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    else:
        events = [{"type": "response.output_text.delta", "delta": half} for half in halves]
        events.append({"type": "response.completed", "response": {"status": "completed"}})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    with answering(body.encode()) as address:
        chunks = call(MAKERS[api](api_key="x", base_url=address), asking("m"))
    assert text(chunks) == "🙂 x\ufffd"


# --- closing and threads ------------------------------------------------------------------------


def until(found: Callable[[], bool]) -> bool:
    for _ in range(200):
        if found():
            return True
        time.sleep(0.02)
    return False


def test_closing_the_iterator_closes_the_connection(model: Model, practice: Practice) -> None:
    name = practice.model("left", {"kind": "delay", "token_ms": 50})
    chunks = model.stream(asking(name), time.monotonic() + 30)
    assert isinstance(next(chunks), TextDelta)
    close(chunks)
    assert until(lambda: practice.disconnects(name) == 1)
    assert next(chunks, None) is None


def test_closing_from_another_thread_ends_a_read_at_once(api: str, practice: Practice) -> None:
    patient = MAKERS[api](api_key=practice.KEY, base_url=practice.base_url, idle_seconds=60)
    name = practice.model("stuck", {"kind": "hang_midstream"})
    chunks = patient.stream(asking(name), time.monotonic() + 60)
    failed: list[ModelError] = []

    def run() -> None:
        try:
            list(chunks)
        except ModelError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert until(lambda: len(practice.requests(name)) == 1)
    time.sleep(0.2)
    close(chunks)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(failed) == 1
    assert until(lambda: practice.disconnects(name) == 1)


def test_closing_a_finished_answer_leaves_the_connection_to_others(
    model: Model, practice: Practice
) -> None:
    name = practice.model("shared", {"kind": "script", "text": "done"})
    chunks = model.stream(asking(name), time.monotonic() + 10)
    assert list(chunks)[-1] == End("stop")
    other = model.stream(asking(name), time.monotonic() + 10)
    next(other)
    close(chunks)
    assert list(other)[-1] == End("stop")


def test_two_threads_at_once_get_their_own_answers(model: Model, practice: Practice) -> None:
    name = practice.model("both")
    got: dict[int, str] = {}

    def run(number: int) -> None:
        got[number] = text(call(model, asking(name, Said("user", f"number {number}"))))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert all(f"You said “number {number}”" in got[number] for number in range(4))


def close(chunks: Iterator[Chunk]) -> None:
    assert isinstance(chunks, Answer)
    chunks.close()
