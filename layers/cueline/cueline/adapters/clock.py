"""The process's own clock and dice."""

import base64
import random
import secrets
import time


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def random(self) -> float:
        return random.random()  # noqa: S311  (spreads retries, guards nothing)

    def id(self) -> str:
        return base64.b32encode(secrets.token_bytes(15)).decode().lower()
