"""The model port when the provider fails, in every way that it can: only ModelError, and soon."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cueline.adapters.openai.client import Answer
from cueline.engine.model import (
    Chunk,
    End,
    Model,
    Said,
    TextDelta,
)
from cueline.errors import ModelError
from tests.calling import (
    HANGS,
    MAKERS,
    SHORT,
    answering,
    api,
    asking,
    call,
    failure,
    hasty,
    model,
    practice,
    text,
)
from tests.practice import Practice

__all__ = ["api", "hasty", "model", "practice"]


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
