"""One origin for the local stack: what API Gateway and the Lambda Web Adapter are on AWS.

The emulator does not stream, so the template's streaming routes go to that function's own process,
chunk by chunk; WebSockets go to the emulator's WebSocket API, all else to its REST API.
"""

import argparse
import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local import template
from local.headers import GATEWAYS_OWN, forwarded
from local.refusals import ORIGIN, LoopbackOnly, refusal
from local.sockets import MAX_MESSAGE, Sockets

MAX_BODY = 6 * 1024 * 1024  # what Lambda takes
# The first answer of a function waits until the emulator has unpacked the layers; to give up and
# ask again would have it unpack them again beside that.
HEALTH_SECONDS = 120
STREAM_SECONDS = 900  # as long as a streaming function may run


@dataclass(frozen=True)
class Upstreams:
    """`rest` and `sockets` are the APIs' URLs with their stages, `streaming` the streaming
    function's process."""

    rest: str
    streaming: str
    streaming_arn: str
    template: dict[str, Any]
    sockets: str = ""


class TooLargeError(Exception):
    """The body is larger than what Lambda takes."""


async def read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLargeError
    return bytes(body)


class Edge:
    def __init__(self, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self.streaming_routes = template.streaming_routes(upstreams.template)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        timeout = httpx.Timeout(None, connect=5)
        # trust_env off: a proxy that the environment names is for the world outside.
        self.http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
        self.asking = asyncio.Lock()

    async def healthz(self, _: Request) -> Response:
        # The REST API last and once at a time: each question that finds none of its functions
        # awake has the emulator unpack one more.
        try:
            streaming = await self.healthy(self.upstreams.streaming)
            async with self.asking:
                healthy = streaming and await self.healthy(self.upstreams.rest)
        except httpx.HTTPError:
            return refusal(503, "unavailable", "A part of the local stack does not answer.")
        if not healthy:
            return refusal(503, "unavailable", "A part of the local stack is not healthy.")
        return JSONResponse({"status": "ok"})

    async def healthy(self, upstream: str) -> bool:
        answer = await self.http.get(upstream + "/healthz", timeout=HEALTH_SECONDS)
        return not answer.is_error

    async def proxy(self, request: Request) -> Response:
        try:
            body = await read_body(request)
        except TooLargeError:
            return refusal(413, "request_too_large", "The request is larger than 6 MB.")
        except ClientDisconnect:
            return Response(status_code=499)
        path = request.scope["raw_path"].decode("latin-1")
        streaming = any(
            request.method == method and pattern.fullmatch(path)
            for method, pattern in self.streaming_routes
        )
        headers = forwarded(request.headers.raw, {"host", "content-length", *GATEWAYS_OWN})
        if streaming:
            headers += self.gateway_headers(request)
        base = self.upstreams.streaming if streaming else self.upstreams.rest
        outgoing = self.http.build_request(
            request.method,
            httpx.URL(base + path).copy_with(query=request.scope["query_string"] or None),
            headers=headers,
            content=body,
        )
        try:
            answer = await self.until_gone(request, outgoing)
        except httpx.HTTPError:
            message = "Cueline did not answer. Please try again."
            return refusal(502, "unavailable", message)
        if answer is None:
            return Response(status_code=499)
        if not streaming and answer.is_error and "x-request-id" not in answer.headers:
            await answer.aclose()
            return self.gateway_made(answer)
        response = StreamingResponse(self.chunks(answer), answer.status_code)
        response.raw_headers = forwarded(answer.headers.raw, {"date", "server"})
        return response

    async def until_gone(self, request: Request, outgoing: httpx.Request) -> httpx.Response | None:
        """The head of the answer; None, and the request given up, if the client goes away first."""

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        sent = asyncio.create_task(self.http.send(outgoing, stream=True))
        left = asyncio.create_task(gone())
        try:
            await asyncio.wait({sent, left}, return_when=asyncio.FIRST_COMPLETED)
            return sent.result() if sent.done() else None
        finally:
            left.cancel()
            sent.cancel()

    def gateway_made(self, answer: httpx.Response) -> Response:
        """What API Gateway would answer by itself: the emulator ignores the template's wording.

        Each error that a door answers has an x-request-id; an error without one is not a door's.
        """
        kind = "DEFAULT_5XX" if answer.status_code >= 500 else "DEFAULT_4XX"
        if answer.headers.get("x-amzn-errortype") == "MissingAuthenticationTokenException":
            kind = "MISSING_AUTHENTICATION_TOKEN"
        status, body = template.gateway_response(self.upstreams.template, kind)
        identifier = str(uuid.uuid4())
        return Response(
            body.replace("$context.requestId", identifier),
            status or answer.status_code,
            {"x-request-id": identifier},
            "application/json",
        )

    async def chunks(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        # Leaving this, however it is left, closes the connection to the function.
        async with aclosing(answer):
            async for chunk in answer.aiter_raw():
                yield chunk

    def gateway_headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """What the Lambda Web Adapter tells the app of the gateway's and of Lambda's context."""
        identifier = str(uuid.uuid4())
        caller = request.client.host if request.client else "127.0.0.1"
        gateway = {
            "requestId": identifier,
            "path": request.url.path,
            "httpMethod": request.method,
            "stage": self.upstreams.rest.rsplit("/", 1)[-1],
            "identity": {"sourceIp": caller, "userAgent": request.headers.get("user-agent")},
        }
        context = {
            "request_id": str(uuid.uuid4()),
            "deadline": int((time.time() + STREAM_SECONDS) * 1000),
            "invoked_function_arn": self.upstreams.streaming_arn,
        }
        return [
            (b"host", request.headers["host"].encode()),
            (b"x-forwarded-for", caller.encode()),
            (b"x-amzn-request-context", json.dumps(gateway).encode()),
            (b"x-amzn-lambda-context", json.dumps(context).encode()),
        ]


def create_app(upstreams: Upstreams) -> Starlette:
    edge = Edge(upstreams)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with edge.http:
            yield

    app = Starlette(
        lifespan=lifespan,
        middleware=[
            Middleware(LoopbackOnly),
            Middleware(
                CORSMiddleware,
                allow_origin_regex=ORIGIN.pattern,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["*"],
                expose_headers=["x-request-id", "retry-after"],
            ),
        ],
    )
    app.add_route("/healthz", edge.healthz, ["GET"])
    app.router.default = _as_asgi(edge, Sockets(upstreams.sockets))
    return app


def _as_asgi(edge: Edge, sockets: Sockets) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await sockets(scope, receive, send)
        response = await edge.proxy(Request(scope, receive))
        return await response(scope, receive, send)

    return app


def server(app: ASGIApp) -> uvicorn.Server:
    """Its log holds no query, which for a WebSocket is a secret: only warnings are written."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, date_header=True,
        timeout_graceful_shutdown=2, ws="websockets-sansio", ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
    )  # fmt: skip
    return uvicorn.Server(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="a bound socket's descriptor")
    parser.add_argument("--rest", required=True)
    parser.add_argument("--sockets", required=True)
    parser.add_argument("--streaming", required=True)
    parser.add_argument("--streaming-arn", required=True)
    given = parser.parse_args()
    upstreams = Upstreams(
        given.rest, given.streaming, given.streaming_arn, template.load(), given.sockets
    )
    with socket.socket(fileno=given.socket) as listener:
        server(create_app(upstreams)).run(sockets=[listener])


if __name__ == "__main__":
    main()
