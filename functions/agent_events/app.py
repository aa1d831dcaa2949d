"""Placeholder until the real app comes."""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


async def events(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in range(3):
            yield b'data:{"piece":%d}\n\n' % piece
            await asyncio.sleep(0.2)

    return StreamingResponse(pieces(), status_code=201, media_type="text/event-stream")


app = Starlette(
    routes=[
        Route("/healthz", healthz),
        Route(
            "/v2/agents/{agent_key}/sessions/{session_key}/events", events, methods=["POST"]
        ),
    ]
)
