"""A clock that stands still until a test moves it."""

import itertools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


class FakeClock:
    """Sleeping moves it on; ids count; chance is always the middle."""

    def __init__(self, now: int = 1_750_000_000_000) -> None:
        self.ms = now
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.ms += round(seconds * 1000)

    def every(self, seconds: float, do: Callable[[], None]) -> AbstractContextManager[None]:
        """Never: time stands still beside a test."""
        return nullcontext()

    def random(self) -> float:
        return 0.5

    def id(self) -> str:
        return f"id{next(self._ids)}"
