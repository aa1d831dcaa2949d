"""The process's own clock and dice."""

import base64
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def every(self, seconds: float, do: Callable[[], None]) -> Iterator[None]:
        stop = threading.Event()

        def repeat() -> None:
            while not stop.wait(seconds):
                do()

        threading.Thread(target=repeat, name="every", daemon=True).start()
        try:
            yield
        finally:
            stop.set()

    def random(self) -> float:
        return random.random()  # noqa: S311  (spreads retries, guards nothing)

    def id(self) -> str:
        return base64.b32encode(secrets.token_bytes(15)).decode().lower()
