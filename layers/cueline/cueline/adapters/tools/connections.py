"""Sockets that connect only to an address that was checked, and give up at one deadline."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import httpcore2
import httpx2

_WRITE_AT_ONCE = 16 * 1024


class Refused(httpx2.TransportError):
    """The guard does not let it through. The message says why, and names no address."""


Check = Callable[[str, int, Sequence[str]], None]
"""From host, port and all addresses of the host; raises Refused."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock that no wait may pass."""

    at: float

    def left(self, most: float | None = None) -> float:
        """Seconds that the next wait may take, up to `most`; raises once the time is over."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the time is over")
        return left if most is None else min(left, most)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: no name that could be looked up
        raise httpcore2.ConnectError(f"{host} cannot be found") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _pieces(buffer: bytes) -> Iterable[bytes]:
    # A reader that takes a byte now and then would restart a longer write's time with each.
    return (buffer[at : at + _WRITE_AT_ONCE] for at in range(0, len(buffer), _WRITE_AT_ONCE))


class Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for piece in _pieces(buffer):
            self._inner.write(piece, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._deadline.left(timeout)
        return Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore2.SyncBackend):
    """Only name lookup cannot be cut short: the system's resolver has a time limit of its own."""

    def __init__(self, check: Check, deadline: Deadline) -> None:
        self._check, self._deadline = check, deadline

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore2.NetworkStream:
        self._deadline.left()
        addresses = _resolve(host, port)
        self._check(host, port, addresses)
        for address in addresses:
            left = self._deadline.left(timeout)
            try:
                stream = super().connect_tcp(address, port, left, *args, **kwargs)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
            return Stream(stream, self._deadline)
        raise httpcore2.ConnectError(f"{host}:{port} does not answer")


class AsyncStream(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, self._deadline.left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for piece in _pieces(buffer):
            await self._inner.write(piece, self._deadline.left(timeout))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        left = self._deadline.left(timeout)
        encrypted = await self._inner.start_tls(ssl_context, server_hostname, left)
        return AsyncStream(encrypted, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class AsyncBackend(httpcore2.AnyIOBackend):
    def __init__(self, check: Check, deadline: Deadline) -> None:
        self._check, self._deadline = check, deadline

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore2.AsyncNetworkStream:
        with anyio.move_on_after(self._deadline.left()) as scope:
            addresses = await anyio.to_thread.run_sync(_resolve, host, port, abandon_on_cancel=True)
        if scope.cancelled_caught:
            raise httpcore2.ConnectTimeout(f"{host} cannot be looked up in time")
        self._check(host, port, addresses)
        for address in addresses:
            left = self._deadline.left(timeout)
            try:
                stream = await super().connect_tcp(address, port, left, *args, **kwargs)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
            return AsyncStream(stream, self._deadline)
        raise httpcore2.ConnectError(f"{host}:{port} does not answer")
