"""The gateway's end of WebSockets, as a test sees and rules it."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cueline.engine.listeners import Sent


@dataclass
class Sockets:
    """Records what each WebSocket is sent, under the gateway's id of it."""

    frames: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What was taken, in order."""
    tried: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How often something was sent, taken or not."""
    closed: list[str] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    """They cannot be closed."""
    closes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How often each was to be closed, closed or not."""
    _answers: dict[str, list[Sent]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answering(self, gateway: str, answers: Iterable[Sent]) -> None:
        """To what comes next, one each; the last one is given for ever."""
        self._answers[gateway] = [*answers]

    def send(self, gateway: str, frame: str) -> Sent:
        with self._lock:
            self.tried[gateway] += 1
            answers = self._answers.get(gateway) or ["gone" if gateway in self.closed else "sent"]
            sent = answers.pop(0) if len(answers) > 1 else answers[0]
            if sent == "sent":
                self.frames[gateway].append(frame)
            return sent

    def close(self, gateway: str) -> Sent:
        with self._lock:
            self.closes[gateway] += 1
            if gateway in self.stuck:
                return "busy"
            self.closed.append(gateway)
            return "sent"

    def told(self, gateway: str) -> list[dict[str, Any]]:
        """The frames that it took, read."""
        with self._lock:
            return [json.loads(frame) for frame in self.frames[gateway]]

    def events(self, gateway: str) -> list[str]:
        """The names of these."""
        return [str(frame["event"]) for frame in self.told(gateway)]
