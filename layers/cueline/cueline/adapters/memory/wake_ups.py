"""A queue of wake-ups for tests and demos: whoever wants them takes them."""

import threading

from cueline.adapters.wake_ups import checked_delay, wake_up_from_json, wake_up_to_json
from cueline.engine.ports import Clock, WakeUp


class MemoryWakeUps:
    """`messages` are the waiting ones as (visible_at, body); the first in seconds of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.messages: list[tuple[float, str]] = []

    def send(self, wake_up: WakeUp, delay: int = 0) -> None:
        visible_at = self._clock.monotonic() + checked_delay(delay)
        with self._lock:
            self.messages.append((visible_at, wake_up_to_json(wake_up)))

    def drain(self) -> list[WakeUp]:
        """Takes out what is visible by now, the earliest first."""
        now = self._clock.monotonic()
        with self._lock:
            due = sorted((m for m in self.messages if m[0] <= now), key=lambda m: m[0])
            self.messages = [m for m in self.messages if m[0] > now]
        return [wake_up_from_json(body) for _, body in due]
