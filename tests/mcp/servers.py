"""MCP servers in this process: a sound one, and one that says whatever a test wants it to."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.serving import serving

Message = dict[str, Any]
Say = Callable[[Message], Response | Awaitable[Response]]


def wait_for_threads(most: int, seconds: float = 5) -> None:
    """Until no more than so many are left; those that looked up names end on their own."""
    deadline = time.monotonic() + seconds
    while threading.active_count() > most:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


@contextmanager
def serving_tools(server: MCPServer) -> Iterator[str]:
    """The endpoint of a server that speaks both protocols, made by the library itself."""
    with serving(server.streamable_http_app(), lifespan="on") as url:
        yield f"{url}/mcp"


class Scripted:
    """A server of the protocol with sessions, of which a test replaces what it wants.

    `says` is from a method to what is answered; `heard` lists the methods as they came.
    """

    def __init__(self, **says: Say) -> None:
        self.over = False
        self.says: dict[str, Say] = {
            "initialize": self.initialize,
            "GET": lambda _: Response(status_code=405),
            "DELETE": lambda _: Response(),
            "notifications/initialized": lambda _: Response(status_code=202),
            "notifications/cancelled": lambda _: Response(status_code=202),
            "tools/list": lambda asked: result(asked, {"tools": [tool("work")]}),
            "tools/call": lambda asked: result(asked, {"content": text("done")}),
            **{name.replace("__", "/"): say for name, say in says.items()},
        }
        self.heard: list[str] = []
        self.headers: list[Mapping[str, str]] = []

    def initialize(self, asked: Message) -> Response:
        answer = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "scripted", "version": "1"},
        }
        response = result(asked, answer)
        response.headers["mcp-session-id"] = f"session-{len(self.heard)}"
        return response

    async def hang(self, _: Message) -> Response:
        """Says nothing for as long as it is served."""
        while not self.over:
            await asyncio.sleep(0.02)
        return Response()

    async def answer(self, request: Request) -> Response:
        posted = await request.body()
        asked = json.loads(posted) if posted else {"method": request.method}
        self.heard.append(asked["method"])
        self.headers.append(request.headers)
        say = self.says.get(asked["method"])
        if say is None:
            return error(asked, -32601, "no such method", status=400)
        said = say(asked)
        return said if isinstance(said, Response) else await said

    @contextmanager
    def serving(self) -> Iterator[str]:
        methods = ["GET", "POST", "DELETE"]
        with serving(Starlette(routes=[Route("/mcp", self.answer, methods=methods)])) as url:
            try:
                yield f"{url}/mcp"
            finally:
                self.over = True


def hanging(method: str) -> Scripted:
    """A server that never answers this."""
    scripted = Scripted()
    scripted.says[method] = scripted.hang
    return scripted


def stateless(**says: Say) -> Scripted:
    """A server of the newer protocol, which knows no sessions."""
    about = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    cached = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
    return Scripted(
        server__discover=lambda asked: result(asked, {**about, **cached}),
        tools__list=lambda asked: result(asked, {"tools": [tool("work")], **cached}),
        **says,
    )


@contextmanager
def raw(answer: bytes) -> Iterator[str]:
    """A server that answers each connection with these bytes, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def result(asked: Message, value: Message) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": value})


def error(asked: Message, code: int, message: str, status: int = 200) -> Response:
    body = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": message}}
    return JSONResponse(body, status_code=status)


def tool(name: str, **more: Any) -> Message:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def text(said: str) -> list[Message]:
    return [{"type": "text", "text": said}]
