"""Schedules for tests and demos: whoever wants what is due takes it."""

import threading

from cueline.adapters.wake_ups import checked_name, wake_up_from_json, wake_up_to_json
from cueline.engine.ports import WakeUp


class MemorySchedules:
    """`waiting` has (when, body) by name, the first in ms since 1970."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self.waiting: dict[str, tuple[int, str]] = {}

    def at(self, name: str, when: int, wake_up: WakeUp) -> None:
        body = wake_up_to_json(wake_up)
        with self._lock:
            if checked_name(name) not in self._taken:
                self._taken.add(name)
                self.waiting[name] = (when, body)

    def due(self, now: int) -> list[WakeUp]:
        """Takes out what is due at `now` (ms since 1970), the earliest first."""
        with self._lock:
            due = sorted((when, name) for name, (when, _) in self.waiting.items() if when <= now)
            bodies = [self.waiting.pop(name)[1] for _, name in due]
        return [wake_up_from_json(body) for body in bodies]
