"""Why something failed is in the log, and what a user said is not."""

import io
import json
import logging
from collections.abc import Iterator

import httpx
import httpx2
import pytest

from cueline import bootstrap
from cueline.adapters.clock import SystemClock
from cueline.adapters.memory import memory_ports
from functions.agent_events import app as streaming
from functions.failures import app as failures
from functions.worker import app as worker
from tests.gateway import Context
from tests.serving import serving

SECRET = "my PIN is 1234"
MADE = (bootstrap.settings, bootstrap.hosting, bootstrap.worker, bootstrap.cors)
BODY = json.dumps({"session": "a.s"})


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ports = memory_ports(SystemClock())

    def tail(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(type(ports.log), "tail", tail)
    monkeypatch.setattr(bootstrap, "ports", lambda: ports)
    monkeypatch.setattr(bootstrap, "_turn_ports", lambda: ports)
    monkeypatch.setenv("TABLE_NAME", "t")
    monkeypatch.setenv("WAKE_UPS_URL", "u")
    for made in MADE:
        made.cache_clear()
    monkeypatch.setenv("AUTH", "off")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    yield
    for made in MADE:
        made.cache_clear()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    handler = logging.getLogger("cueline").handlers[0]  # pytest adds its own
    assert isinstance(handler, logging.StreamHandler)
    lines = io.StringIO()
    before = handler.setStream(lines)
    yield lines
    handler.setStream(before)


class Invocation(Context):
    def get_remaining_time_in_millis(self) -> int:
        return 100_000


@pytest.mark.usefixtures("broken")
def test_a_wake_up_that_fails_comes_again_and_says_where(logged: io.StringIO) -> None:
    event = {"Records": [{"messageId": "m1", "body": BODY, "eventSource": "aws:sqs"}]}
    answer = worker.lambda_handler(event, Invocation())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert '"ValueError"' in logged.getvalue()
    assert "test_logs.py" in logged.getvalue()
    assert SECRET not in logged.getvalue()


def test_a_failed_message_that_is_no_wake_up_is_let_go_and_not_quoted(logged: io.StringIO) -> None:
    event = {"Records": [{"messageId": "m1", "body": SECRET, "eventSource": "aws:sqs"}]}
    answer = failures.lambda_handler(event, Invocation())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert '"m1"' in logged.getvalue()
    assert SECRET not in logged.getvalue()


@pytest.mark.usefixtures("broken")
def test_a_bug_behind_the_streaming_door_says_where_and_not_what(
    logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    path = "/v2/agents/a/sessions/s/events"
    body = {"messages": [{"type": "text", "content": SECRET}]}
    with serving(streaming.app, log_level="info") as url:
        answer = httpx.post(url + path, json=body)
    assert answer.status_code == 500
    assert '"ValueError"' in logged.getvalue()
    told = capfd.readouterr()
    assert SECRET not in answer.text + logged.getvalue() + told.out + told.err


@pytest.mark.usefixtures("broken")
def test_settings_that_are_wrong_are_named_and_the_streaming_doors_answer_as_ever(
    monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setenv("LIMITS", json.dumps({"tokns": 1, SECRET: 1}))
    says = "Something failed inside Cueline. It has been logged."
    with serving(streaming.app) as url:
        one = httpx.post(f"{url}/v2/agents/a/sessions/s/events", json={"messages": []})
        two = httpx.get(f"{url}/sessions/a.s/events")
    assert (one.status_code, one.json()["messages"]) == (500, [says])
    assert (two.status_code, two.json()) == (500, {"detail": says})
    assert one.json()["request_id"] == one.headers["x-request-id"]
    failed = [
        one for line in logged.getvalue().splitlines() if "error" in (one := json.loads(line))
    ]
    assert [sorted(one["fields"]) for one in failed] == [["limits.?", "limits.tokns"]] * 2
    assert "PIN" not in logged.getvalue()


def test_the_library_logs_json_lines(logged: io.StringIO) -> None:
    logging.getLogger("cueline.engine.turn").warning("hello", extra={"code": "x"})
    line = json.loads(logged.getvalue())
    assert (line["message"], line["code"]) == ("hello", "x")


def test_a_model_call_leaves_no_line_with_its_url(caplog: pytest.LogCaptureFixture) -> None:
    """On Lambda the root logger listens at INFO."""
    answering = httpx2.MockTransport(lambda _: httpx2.Response(200))
    with caplog.at_level(logging.INFO), httpx2.Client(transport=answering) as client:
        client.post("https://model.example/v1/responses")
    assert not caplog.records
