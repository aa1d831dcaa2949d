"""Calling both model adapters against the practice model, for the tests of the model port."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cueline.adapters.openai.chat import chat_model
from cueline.adapters.openai.responses import responses_model
from cueline.engine.model import (
    CallMade,
    Chunk,
    Item,
    Model,
    ModelRequest,
    Said,
    TextDelta,
    ThinkingDelta,
    Tool,
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


class answering:  # noqa: N801
    """A server that answers one request with this body, and nothing else."""

    def __init__(self, body: bytes, headers: str = "") -> None:
        head = (
            f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        )
        self._bytes = head.encode() + body
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection, contextlib.suppress(OSError):  # a client may hang up on what it got
            connection.recv(65536)
            connection.sendall(self._bytes)
            connection.settimeout(5)
            while connection.recv(65536):
                pass

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=10)
        self._server.close()
