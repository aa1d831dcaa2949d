"""The practice model on a loopback port, in this thread or in one of its own."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.practice.app import application

HOST = "127.0.0.1"
_START_SECONDS = 20.0


class _Protocol(H11Protocol):
    """uvicorn's own, but a fault can reach the socket to reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


def server(port: int, *, api_key: str | None = None, token_ms: float = 8.0) -> uvicorn.Server:
    """A server that is ready to run; port 0 takes any free one."""
    config = uvicorn.Config(
        application(api_key, token_ms),
        host=HOST,  # never another: it has no secrets to guard, and no door that guards them
        port=port,
        http=_Protocol,
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[str]:
    """The practice model in a thread of its own; gives its address, `http://127.0.0.1:<port>`."""
    # With its protocol named, as asyncio sets TCP_NODELAY only then: without it each answer on a
    # connection in use waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind((HOST, 0))
    serving = server(0, **options)
    thread = threading.Thread(target=serving.run, args=([listening],), daemon=True)
    thread.start()
    try:
        until = time.monotonic() + _START_SECONDS
        while not serving.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        if not serving.started:
            raise RuntimeError("the practice model did not start")
        yield f"http://{HOST}:{listening.getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join(timeout=10)
        listening.close()
