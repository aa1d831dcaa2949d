"""The edge's WebSockets: each is carried on to one at the emulator, within the gateway's limits.

Frames are handed on one at a time in each direction, and the next is read once the last is gone:
who reads slowly slows down who writes, and nothing piles up here.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from local.headers import GATEWAYS_OWN, forwarded
from local.refusals import refusal, refuse

PATHS = {"/realtime", "/"}
MAX_MESSAGE = 128 * 1024  # what API Gateway takes, and sends
# The first connection waits until the emulator has unpacked the layers of its function.
OPEN_SECONDS = 120
CLOSE_SECONDS = 2

GOING_AWAY, TEXT_ONLY, NO_STATUS, LOST, FAILED = 1001, 1003, 1005, 1006, 1011
# Its own with each side of the edge. The emulator is not to judge by the page: the edge has.
HANDSHAKE = {
    "host", "origin", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions",
    "sec-websocket-protocol", "sec-websocket-accept",
}  # fmt: skip
# The functions choose this one where it is offered; the emulator does not hand on their choice.
SUBPROTOCOL = "cueline"


@dataclass(frozen=True)
class End:
    """How a WebSocket ended, in words that may be sent: two codes only say what was not said."""

    code: int
    reason: str = ""

    def told(self) -> "End":
        return {NO_STATUS: End(1000), LOST: End(FAILED)}.get(self.code, self)


class Sockets:
    """`upstream` is the URL of the emulator's WebSocket API, with its stage."""

    def __init__(self, upstream: str) -> None:
        self.upstream = "ws" + upstream.removeprefix("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = WebSocket(scope, receive, send)
        await client.receive()  # says only that somebody wants to connect
        if scope["path"] not in PATHS:
            message = "There is no WebSocket here; it is at /realtime."
            return await refuse(refusal(404, "not_found", message), scope, receive, send)
        offered = scope["subprotocols"]
        try:
            upstream = await self._dial(scope, offered)
        except InvalidStatus as error:
            return await refuse(_refused(error.response.status_code), scope, receive, send)
        # Not even its words are for the log: they may name the address, and that holds a secret.
        except (OSError, WebSocketException, ValueError):
            return await refuse(_refused(502), scope, receive, send)
        chosen = upstream.subprotocol or (SUBPROTOCOL if SUBPROTOCOL in offered else None)
        end = End(FAILED)
        try:
            await client.accept(chosen)
            end = (await carry(client, upstream)).told()
        except WebSocketDisconnect:  # while the handshake went on
            end = End(GOING_AWAY)
        finally:
            if client.client_state is WebSocketState.CONNECTED:
                with suppress(WebSocketDisconnect, RuntimeError):  # it is about to be told as much
                    await client.close(end.code, end.reason)
            await upstream.close(end.code, end.reason)

    async def _dial(self, scope: Scope, offered: list[str]) -> ClientConnection:
        query = scope["query_string"].decode("latin-1").replace("#", "%23")
        headers = forwarded(HTTPConnection(scope).headers.raw, HANDSHAKE | GATEWAYS_OWN)
        return await connect(
            f"{self.upstream}?{query}" if query else self.upstream,
            subprotocols=[Subprotocol(name) for name in offered] or None,
            additional_headers=[
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers
            ],
            user_agent_header=None,
            compression=None,
            proxy=None,  # one that the environment names is for the world outside
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            # A client that reads slowly would keep the answer to a ping from being read as well.
            ping_interval=None,
            max_size=MAX_MESSAGE,
        )


def _refused(status: int) -> Response:
    if status < 500:
        message = "This connection is refused: its ticket is unknown, used, or has ended."
        return refusal(status, "forbidden", message)
    return refusal(status, "unavailable", "Cueline did not answer. Please try again.")


async def carry(client: WebSocket, upstream: ClientConnection) -> End:
    """Hands on what both sides say until one of them ends, and how that ended."""
    up = asyncio.create_task(_carry_up(client, upstream))
    down = asyncio.create_task(_carry_down(client, upstream))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        return (up if up.done() else down).result()
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _carry_up(client: WebSocket, upstream: ClientConnection) -> End:
    while True:
        message = await client.receive()
        if message["type"] == "websocket.disconnect":
            return End(message.get("code", NO_STATUS), message.get("reason") or "")
        if (text := message.get("text")) is None:
            return End(TEXT_ONLY, "only text frames are understood")
        try:
            await upstream.send(text)
        except ConnectionClosed as closed:
            return _end(closed)


async def _carry_down(client: WebSocket, upstream: ClientConnection) -> End:
    while True:
        try:
            frame = await upstream.recv(decode=True)
        except ConnectionClosed as closed:
            return _end(closed)
        try:
            await client.send_text(frame)
        except WebSocketDisconnect:
            return End(GOING_AWAY)


def _end(closed: ConnectionClosed) -> End:
    """As the emulator ended it, or else as this end of it did: what came was too large."""
    frame = closed.rcvd or closed.sent
    return End(frame.code, frame.reason) if frame else End(LOST)
