"""The least of an HTTP server: what stands in for others must not take time from the measured."""

import asyncio
from collections.abc import Callable
from typing import cast


class Connection(asyncio.Protocol):
    """Kept alive; requests come one after the other."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._needed = 0
        self._answering: asyncio.Task[None] | None = None
        self.request = b""
        """The first line of the newest one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._answering:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < self._needed:
            return
        head, end, _ = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.split(b"\r\n")
        parted = (line.partition(b":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in parted}
        length = int(headers.get(b"content-length", b"0"))
        self._needed = len(head) + 4 + length
        if len(self._received) < self._needed:
            return
        body = bytes(self._received[len(head) + 4 : self._needed])
        del self._received[: self._needed]
        self._needed = 0
        self.request = first
        if first.startswith(b"GET "):
            self.whole(b'{"status": "ok"}')
        else:
            self._answering = asyncio.ensure_future(self.answer(headers, body))

    async def answer(self, headers: dict[bytes, bytes], body: bytes) -> None:
        """Answers what is no GET."""
        raise NotImplementedError

    def whole(self, body: bytes, *, kind: str = "application/json", status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def serve(connection: Callable[[], Connection], port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", port)
    await server.serve_forever()
