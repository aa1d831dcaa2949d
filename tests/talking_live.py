"""A client of the realtime door, as the documentation tells people to write one."""

import base64
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PATIENCE = 60.0
"""Seconds that a frame may take: a function may have to start."""
Frame = dict[str, Any]


@dataclass
class Live:
    """One client of one session, over as many WebSockets as it needs."""

    http: httpx.Client
    agent: str
    session: str = ""
    newest: int = -1
    """The newest offset that it has seen."""
    frames: list[Frame] = field(default_factory=list)
    """All that it was sent, but for what it has seen before."""
    texts: dict[str, str] = field(default_factory=dict)
    """What each item says, as far as is known."""
    over: set[str] = field(default_factory=set)
    """Items that have ended."""
    connection: str = ""
    _socket: ClientConnection | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _heard: threading.Condition = field(default_factory=threading.Condition)
    _commands: int = 0
    _at: int = -1
    _here: list[Frame] = field(default_factory=list)
    """What it was sent of this offset."""

    def ticket(self, **asked: Any) -> str:
        """The URL of a new connection: of this session, once there is one."""
        if self.session:
            asked = {"sessionId": self.session, "after": self.newest, **asked}
        made = self.http.post(f"/public/agents/{self.agent}/connections", json=asked)
        made.raise_for_status()
        token = json.loads(base64.b64decode(made.json()["token"]))
        self.session = made.json()["connection"]["sessionId"]
        self.connection = made.json()["connection"]["id"]
        return str(token["url"])

    def connect(self, url: str = "", *, ready: bool = True, **asked: Any) -> "Live":
        self.close()
        opened = connect(url or self.ticket(**asked), open_timeout=PATIENCE, close_timeout=2)
        socket = self._open.enter_context(opened)
        self._socket, before = socket, len(self.frames)
        self._at, self._here = self.newest, []
        threading.Thread(target=self._listen, args=(socket,), daemon=True).start()
        if ready:
            self.until(lambda f: f["event"] == "avatar_state_changed", since=before)
        return self

    def forget(self) -> None:
        """As a page does that is loaded again."""
        self.newest, self._at, self._here = -1, -1, []

    def close(self) -> None:
        self._open.close()

    def cut(self) -> None:
        """As a network does that goes away."""
        if self._socket:
            with suppress(OSError):
                self._socket.socket.shutdown(2)

    def send(self, **frame: Any) -> None:
        self.send_text(json.dumps(frame))

    def send_text(self, frame: str | bytes) -> None:
        assert self._socket
        self._socket.send(frame)

    def ask(self, kind: str, **data: Any) -> Frame:
        """Sends a command, and gives the data of what it is answered."""
        self._commands += 1
        known = f"{self.connection[-8:]}-{self._commands}"
        self.send(type=kind, data=data, command_id=known)
        return self.answer_to(known)

    def answer_to(self, command: str) -> Frame:
        """By its `command_id`: the event, and its data."""
        answer = self.until(lambda f: f["data"].get("command_id") == command)
        return {"event": answer["event"], **answer["data"]}

    def say(self, text: str, role: str = "user", *, trigger: bool = True, **more: Any) -> Frame:
        told = {"role": role, "text": text, "trigger_response": trigger, **more}
        return self.ask("send_message", **told)

    def until(
        self, wanted: Callable[[Frame], Any], *, since: int = 0, seconds: float = PATIENCE
    ) -> Frame:
        """The first such frame, once it is there."""
        deadline = time.monotonic() + seconds
        at = since
        with self._heard:
            while True:
                for frame in self.frames[at:]:
                    if wanted(frame):
                        return frame
                at = len(self.frames)
                left = deadline - time.monotonic()
                assert left > 0, f"not in {seconds} s: {[shown(f) for f in self.frames[-12:]]}"
                self._heard.wait(left)

    def message(self, action: str, *, since: int = 0, **fields: Any) -> Frame:
        """The first message with this action and these fields."""

        def is_it(frame: Frame) -> bool:
            said = message_in(frame)
            return said.get("action") == action and fields.items() <= said.items()

        return message_in(self.until(is_it, since=since))

    def seen(self, action: str) -> list[Frame]:
        with self._heard:
            return [m for m in map(message_in, self.frames) if m.get("action") == action]

    def _listen(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed, OSError):
            for text in socket:
                self._hear(json.loads(text))

    def _hear(self, frame: Frame) -> None:
        with self._heard:
            message = message_in(frame)
            offset = message.get("offset", frame["data"].get("offset"))
            answers = frame["event"] in ("command_ack", "command_error")
            if offset is not None and not answers:
                if offset < self._at or frame in self._here:
                    return
                self._here = [*(self._here if offset == self._at else ()), frame]
                self._at = offset
                # Until the last piece is there nothing of it is.
                told = message or frame["data"]
                self.newest = self.newest if told.get("more") else offset
            self._note(message)
            self.frames.append(frame)
            self._heard.notify_all()

    def _note(self, message: Frame) -> None:
        item, text = message.get("item_id"), message.get("content")
        if item is None or text is None:
            return
        if message["action"] == "delta" and item in self.over:
            return
        known, position = self.texts.get(item, ""), message.get("position", 0)
        if message["action"] != "delta" or position <= utf16(known):
            self.texts[item] = cut_at(known, position) + text
        if message["action"] != "delta":
            self.over.add(item)


def message_in(frame: Frame) -> Frame:
    found = frame["data"].get("message") if frame["event"] == "message_received" else None
    return found if isinstance(found, dict) else {}


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def cut_at(text: str, position: int) -> str:
    return text.encode("utf-16-le")[: 2 * position].decode("utf-16-le")


def shown(frame: Frame) -> str:
    return json.dumps(frame)[:160]
