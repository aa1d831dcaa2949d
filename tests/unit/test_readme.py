"""The program that the README shows, word for word, on frames that it may get."""

import base64
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import websockets.sync.client

from cueline.doors.client_commands import frames
from cueline.doors.client_commands.told import View, told
from cueline.log.events import Answered, Event, InputsFailed, Recorded, TurnFailed
from local.template import ROOT

TOKEN = base64.b64encode(b'{"url": "wss://there/?token=t"}').decode()
VIEW = View("guide.s", 1, lambda _: None, trusted=False)
WHY = {"code": "model_cut", "message": "Its words", "retryable": True}
GATEWAY = json.dumps({"message": "Internal server error", "connectionId": "L0=", "requestId": "r"})


class Socket:
    def __init__(self, *heard: str) -> None:
        self.heard, self.sent = heard, list[Any]()

    def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame))

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever has happened."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.heard)


def run(monkeypatch: pytest.MonkeyPatch, *heard: str) -> Socket:
    socket = Socket(*heard)
    made = SimpleNamespace(json=lambda: {"token": TOKEN})
    agents = SimpleNamespace(post=lambda *_, **__: made)
    monkeypatch.setattr(httpx, "Client", lambda **_: agents)
    monkeypatch.setattr(websockets.sync.client, "connect", lambda _: socket)
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})
    return socket


def ending(event: Event) -> list[str]:
    return told(VIEW, Recorded(5, 1_800_000_000_000, "trace", event))


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (Answered(turn="t", inputs=(2,), text="A moment."), "A moment."),
        (Answered(turn="t", inputs=(2,), text="", cut=True), ""),
        (
            TurnFailed(turn="t", inputs=(2,), text="A mo", **WHY),
            "A mo The agent could not answer. Please try again.",
        ),
        (
            TurnFailed(turn="t", inputs=(2,), **WHY),
            "The agent could not answer. Please try again.",
        ),
        (
            InputsFailed(inputs=(2,), code="not_worked_off", message="Its words"),
            "The agent could not answer. Please try again.",
        ),
    ],
)
def test_however_an_answer_ends_that_is_shown(
    event: Event,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = [frames.created("t", 0, 0), *frames.deltas("t", 0, "A mo", 0, 0)]
    run(monkeypatch, *said, *ending(event))
    heard, _, whole = capsys.readouterr().out.partition("As a whole:")
    assert (heard.strip(), whole.strip()) == ("A mo", shown)


def test_where_the_gateway_fails_the_command_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = ending(Answered(turn="t", inputs=(2,), text="Hello"))
    first, second = run(monkeypatch, GATEWAY, *answered).sent
    assert first == second
    assert first["command_id"]
