"""The gateway's management API, spoken to a server on this machine: what becomes of a frame."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from cueline.adapters import aws
from cueline.adapters.sockets import GatewaySockets
from tests.contract.backends import in_threads

GATEWAY = "L0SM9cOFvHcCIhw="
FRAME = '{"event":"pong","data":{"text":"Grüße, a private word"}}'
AT_ONCE = 40


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class Gateway:
    """Answers every call with `status` and `code`, after `before`, which gives False to hang up."""

    def __init__(self) -> None:
        self.status, self.code = 200, ""
        self.before: Callable[[], bool] = lambda: True
        self.asked: list[tuple[str, str, bytes]] = []
        """Method, path and body of each call."""
        self.connections: list[tuple[str, int]] = []
        """Where each came from."""
        self.signed: list[str] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                gateway.connections.append(self.client_address)

            def log_message(self, *_: object) -> None: ...

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gateway.asked.append((self.command, self.path, body))
                gateway.signed.append(self.headers.get("Authorization", ""))
                if not gateway.before():
                    self.close_connection = True
                    return
                told = json.dumps({"message": "No."}).encode() if gateway.status >= 400 else b""
                self.send_response(gateway.status)
                if gateway.code:
                    self.send_header("x-amzn-ErrorType", gateway.code)
                if gateway.status != 204:
                    self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_POST = do_DELETE = _answer  # noqa: N815

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    # Not the process's own session, which keeps what it finds.
    monkeypatch.setattr(aws, "_session", cache(botocore.session.Session))


@pytest.fixture
def sockets(gateway: Gateway) -> Iterator[GatewaySockets]:
    client = aws.sockets_client(gateway.url)
    yield GatewaySockets(lambda: client)
    client.close()


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """By the adapter. Nothing of a frame is ever in it."""
    assert "private" not in caplog.text
    own = [r for r in caplog.records if r.name == "cueline.adapters.sockets"]
    assert all(not r.exc_info for r in own)
    return [(r.levelno, r.getMessage()) for r in own]


def test_a_frame_is_posted_to_its_websocket(gateway: Gateway, sockets: GatewaySockets) -> None:
    assert sockets.send(GATEWAY, FRAME) == "sent"
    [(method, path, body)] = gateway.asked
    assert (method, path) == ("POST", "/v1/@connections/L0SM9cOFvHcCIhw%3D")
    assert body == FRAME.encode()
    assert "/eu-central-1/execute-api/" in gateway.signed[0]


def test_a_websocket_is_closed_by_its_id(gateway: Gateway, sockets: GatewaySockets) -> None:
    gateway.status = 204
    assert sockets.close(GATEWAY) == "sent"
    [(method, path, _)] = gateway.asked
    assert (method, path) == ("DELETE", "/v1/@connections/L0SM9cOFvHcCIhw%3D")


@pytest.mark.parametrize(
    ("status", "code", "becomes", "level"),
    [
        (410, "GoneException", "gone", None),
        (410, "", "gone", None),
        (429, "LimitExceededException", "busy", logging.WARNING),
        (429, "", "busy", logging.WARNING),
        (500, "InternalServerError", "busy", logging.WARNING),
        (502, "", "busy", logging.WARNING),
        (503, "", "busy", logging.WARNING),
        (504, "", "busy", logging.WARNING),
        (400, "BadRequestException", "busy", logging.ERROR),
        (403, "ForbiddenException", "busy", logging.ERROR),
        (403, "", "busy", logging.ERROR),
        (404, "NotFoundException", "busy", logging.ERROR),
        (413, "PayloadTooLargeException", "busy", logging.ERROR),
    ],
)
def test_what_the_gateway_answers_is_told_and_not_tried_again(
    gateway: Gateway,
    sockets: GatewaySockets,
    caplog: pytest.LogCaptureFixture,
    status: int,
    code: str,
    becomes: str,
    level: int | None,
) -> None:
    gateway.status, gateway.code = status, code
    assert sockets.send(GATEWAY, FRAME) == becomes
    assert len(gateway.asked) == 1
    assert [(at, code in said, GATEWAY in said) for at, said in logged(caplog)] == (
        [(level, True, True)] if level else []
    )
    assert sockets.close(GATEWAY) == becomes
    assert len(gateway.asked) == 2
    assert [at for at, _ in logged(caplog)] == ([level, level] if level else [])


def test_one_that_does_not_answer_is_waited_for_two_seconds(
    gateway: Gateway, sockets: GatewaySockets, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()
    gateway.before = lambda: over.wait(30) and False
    began = time.monotonic()
    assert sockets.send(GATEWAY, FRAME) == "busy"
    assert 1.5 < time.monotonic() - began < 10
    over.set()
    assert len(gateway.asked) == 1
    assert logged(caplog) == [
        (logging.WARNING, f"WebSocket {GATEWAY} did not take a frame: ReadTimeoutError")
    ]


def test_one_that_hangs_up_is_not_called_again(
    gateway: Gateway, sockets: GatewaySockets, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.before = lambda: False
    assert sockets.send(GATEWAY, FRAME) == "busy"
    assert sockets.close(GATEWAY) == "busy"
    assert len(gateway.asked) == 2
    assert [at for at, _ in logged(caplog)] == [logging.WARNING] * 2


def test_one_that_is_not_there_is_busy(caplog: pytest.LogCaptureFixture) -> None:
    gone = Gateway()
    gone.close()
    client = aws.sockets_client(gone.url)
    assert GatewaySockets(lambda: client).send(GATEWAY, FRAME) == "busy"
    assert [at for at, _ in logged(caplog)] == [logging.WARNING]
    client.close()


def test_so_many_frames_are_under_way_at_once_and_keep_their_connections(
    gateway: Gateway, sockets: GatewaySockets, caplog: pytest.LogCaptureFixture
) -> None:
    all_there = threading.Barrier(AT_ONCE)
    gateway.before = lambda: all_there.wait(10) >= 0
    became: list[str] = []
    for _ in range(2):
        in_threads(lambda _: became.append(sockets.send(GATEWAY, FRAME)), AT_ONCE)
    assert became == ["sent"] * 2 * AT_ONCE
    assert len(gateway.connections) == AT_ONCE
    assert not caplog.records


def test_no_client_is_made_before_the_first_frame(gateway: Gateway) -> None:
    made: list[Any] = []

    def client() -> Any:
        made.append(aws.sockets_client(gateway.url))
        return made[-1]

    sockets = GatewaySockets(client)
    assert not made
    sockets.send(GATEWAY, FRAME)
    [one] = made
    one.close()


@pytest.mark.parametrize(
    "error",
    [ValueError(FRAME), ClientError({"Error": {"Message": FRAME}}, "PostToConnection")],
)
def test_nothing_is_raised_and_nothing_said_is_logged_whatever_happens(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def client() -> Any:
        raise error

    sockets = GatewaySockets(client)
    assert sockets.send(GATEWAY, FRAME) == "busy"
    sockets.close(GATEWAY)
    assert [at for at, _ in logged(caplog)] == [logging.ERROR] * 2


def test_a_frame_that_utf_8_does_not_have_is_not_sent(
    gateway: Gateway, sockets: GatewaySockets, caplog: pytest.LogCaptureFixture
) -> None:
    assert sockets.send(GATEWAY, f"{FRAME}\ud800") == "busy"
    assert not gateway.asked
    assert logged(caplog) == [
        (logging.ERROR, f"WebSocket {GATEWAY} did not take a frame: UnicodeEncodeError")
    ]
