"""The practice model's routes, and the playing of its faults on the wire."""

import asyncio
import hmac
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from local.practice import chat_wire, responses_wire
from local.practice.answers import WHO
from local.practice.faults import Book, Fault, answer_with, read_fault
from local.practice.frames import Frame
from local.practice.heard import BadRequest, error_body

_DRIP_SECONDS = 0.05
_BEFORE_TOKEN = {
    "hang_midstream", "drip", "cut", "reset", "malformed", "wrong_shape", "empty_choices",
    "error_event",
}  # fmt: skip


class Practice:
    """One practice model: its key, its pace, and the faults it was told."""

    def __init__(self, api_key: str | None, token_ms: float) -> None:
        self._api_key, self._token_ms = api_key, token_ms
        self._book = Book()

    async def responses(self, request: Request) -> Response:
        return await self._answer(request, responses_wire)

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, chat_wire)

    async def _answer(self, request: Request, wire: ModuleType) -> Response:
        self._check_key(request)
        body = await _json_object(request)
        model = str(body.get("model"))
        self._book.received(model, body)
        fault = self._book.take(model)
        if fault and fault.kind == "status":
            return _failed(fault)
        if fault and fault.kind in {"hang", "drip_headers", "drip_error"}:
            return _Stuck(fault.kind, lambda: self._book.gone(model))
        heard = wire.read(body)
        answer = answer_with(heard, fault)
        if heard.stream:
            pace = self._token_ms if fault is None or fault.token_ms is None else fault.token_ms
            frames = wire.frames(heard, answer)
            return _Played(frames, wire, fault, pace / 1000, lambda: self._book.gone(model))
        if fault and fault.kind in {"hang_midstream", "drip"}:
            return _Stuck("hang", lambda: self._book.gone(model))
        if fault and fault.kind in {"cut", "reset"}:
            return _Stuck("reset", lambda: None)
        if fault and fault.kind == "malformed":
            return Response('{"broken": ', media_type="application/json")
        if fault and fault.kind in {"wrong_shape", "empty_choices"}:
            return JSONResponse({"object": "practice.wrong_shape"})
        return JSONResponse(wire.whole(heard, answer))

    async def models(self, request: Request) -> Response:
        self._check_key(request)
        model = {"id": "practice", "object": "model", "created": 1735689600, "owned_by": "cueline"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "model": WHO})

    async def faults(self, request: Request) -> Response:
        """POST {"model": ..., "faults": [...]} queues, one a request; DELETE ?model= forgets."""
        if request.method == "DELETE":
            self._book.clear(request.query_params.get("model"))
            return Response(status_code=204)
        body = await _json_object(request)
        model, faults = body.get("model"), body.get("faults")
        if not isinstance(model, str) or not isinstance(faults, list):
            raise BadRequest("Faults need a model (text) and faults (list).")
        self._book.add(model, [read_fault(fault) for fault in faults])
        return JSONResponse({"queued": len(faults)}, status_code=201)

    async def requests(self, request: Request) -> Response:
        """GET ?model= shows the latest bodies received for it; DELETE forgets them."""
        model = request.query_params.get("model")
        if request.method == "DELETE":
            self._book.clear(model)
            return Response(status_code=204)
        if model is None:
            raise BadRequest("Which model? Say ?model=.")
        return JSONResponse(self._book.bodies(model))

    def _check_key(self, request: Request) -> None:
        if self._api_key is None:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._api_key.encode()):
            shown = f"{given[:4]}****{given[-2:]}" if len(given) > 8 else "****"
            raise BadRequest(
                f"Incorrect API key provided: {shown}.", code="invalid_api_key", status=401
            )


def application(api_key: str | None = None, token_ms: float = 8.0) -> Starlette:
    """The practice model as an ASGI app."""
    practice = Practice(api_key, token_ms)
    return Starlette(
        routes=[
            Route("/v1/responses", practice.responses, methods=["POST"]),
            Route("/v1/chat/completions", practice.chat, methods=["POST"]),
            Route("/v1/models", practice.models),
            Route("/healthz", practice.health),
            Route("/practice/faults", practice.faults, methods=["POST", "DELETE"]),
            Route("/practice/requests", practice.requests, methods=["GET", "DELETE"]),
        ],
        exception_handlers={BadRequest: _refused, HTTPException: _http_error},
    )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)  # noqa: S101
    return JSONResponse(error.body, status_code=error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    message = f"Invalid URL ({request.method} {request.url.path})"
    return JSONResponse(error_body(message), status_code=error.status_code)


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadRequest("We could not parse the JSON body of your request.")
    return body


_TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "requests"}


def _failed(fault: Fault) -> Response:
    kind = _TYPES.get(
        fault.status, "server_error" if fault.status >= 500 else "invalid_request_error"
    )
    after = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    body = error_body(fault.message, kind=kind, code=fault.code)
    return JSONResponse(body, status_code=fault.status, headers={**after, **fault.headers})


class _Stuck(Response):
    """An answer that never comes to an end, or to a bad one before it began."""

    def __init__(self, kind: str, gone: Callable[[], None]) -> None:
        super().__init__()
        self._kind, self._gone = kind, gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(_left(receive))
        try:
            if self._kind == "reset":
                _reset(scope)
            elif self._kind == "drip_headers":
                transport = scope["state"]["transport"]
                transport.write(b"HTTP/1.1 200 OK\r\nx-drip: ")
                while not leaving.done():
                    transport.write(b"d")
                    await asyncio.sleep(_DRIP_SECONDS)
            elif self._kind == "drip_error":
                await send({"type": "http.response.start", "status": 500, "headers": []})
                while not leaving.done():
                    await send({"type": "http.response.body", "body": b"d", "more_body": True})
                    await asyncio.sleep(_DRIP_SECONDS)
            await leaving
            self._gone()
        finally:
            leaving.cancel()


class _Played(Response):
    """A streamed answer at a model's pace, with its fault."""

    def __init__(
        self,
        frames: Iterator[Frame],
        wire: ModuleType,
        fault: Fault | None,
        pace: float,
        gone: Callable[[], None],
    ) -> None:
        super().__init__()
        self._frames, self._wire, self._fault, self._pace = list(frames), wire, fault, pace
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-practice", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        leaving = asyncio.ensure_future(_left(receive))
        try:
            async for part in self._parts(scope, leaving):
                if leaving.done():
                    self._gone()
                    return
                for piece in self._pieces(part):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            if leaving.done():
                self._gone()
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()

    def _pieces(self, part: bytes) -> Iterator[bytes]:
        if self._fault and self._fault.kind == "bytes":
            return (part[at : at + 1] for at in range(len(part)))
        return iter((part,))

    async def _parts(self, scope: Scope, leaving: "asyncio.Future[None]") -> AsyncIterator[bytes]:
        fault, tokens = self._fault, 0
        strikes = fault is not None and fault.kind in _BEFORE_TOKEN
        frames = self._frames[:-1] if fault and fault.kind == "no_done" else self._frames
        for frame in frames:
            if fault and strikes and (frame.is_end or (frame.is_token and tokens >= fault.after)):
                strikes = False
                match fault.kind:
                    case "cut":
                        return
                    case "reset":
                        _reset(scope)
                        return
                    case "hang_midstream":
                        await leaving
                        return
                    case "drip":
                        yield b":"
                        while not leaving.done():
                            yield b"."
                            await asyncio.sleep(_DRIP_SECONDS)
                        return
                    case _:
                        yield self._bad(fault)
            if frame.is_token:
                tokens += 1
                if self._pace:
                    await asyncio.wait([leaving], timeout=self._pace)
            yield frame.encode()

    def _bad(self, fault: Fault) -> bytes:
        match fault.kind:
            case "malformed":
                return b'data: {"broken": \n\n'
            case "wrong_shape":
                frame: Frame = self._wire.WRONG_SHAPE
            case "empty_choices":
                frame = self._wire.EMPTY
            case _:
                frame = self._wire.error_frame(fault.code or "server_error", fault.message)
        return frame.encode()


async def _left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _reset(scope: Scope) -> None:
    transport = scope["state"]["transport"]
    linger = struct.pack("ii", 1, 0)  # no lingering: close sends a reset, not an end
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
