"""What Cueline is measured against: an app of one file, with the provider's client and a list.

It is fast, and forgets everything when its process ends. Nothing in it is durable, ordered,
repeatable, or safe against two requests at once.
"""

import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.bench.model import INSTRUCTIONS
from tests.bench.probe import probed

client = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="none", max_retries=0)
histories: defaultdict[str, list[Any]] = defaultdict(list)


async def turn(request: Request) -> Response:
    body = await request.json()
    history = histories[request.path_params["session"]]
    history.append({"role": "user", "content": body["content"]})
    if body["stream"]:
        return StreamingResponse(_frames(body["model"], history), media_type="text/event-stream")
    response = await client.responses.create(
        model=body["model"], instructions=INSTRUCTIONS, input=history, store=False
    )
    history.append({"role": "assistant", "content": response.output_text})
    return JSONResponse({"content": response.output_text}, 201)


async def _frames(model: str, history: list[Any]) -> AsyncIterator[str]:
    said: list[str] = []
    stream = await client.responses.create(
        model=model, instructions=INSTRUCTIONS, input=history, store=False, stream=True
    )
    async for event in stream:
        if event.type == "response.output_text.delta":
            said.append(event.delta)
            yield f"data: {json.dumps({'type': 'delta', 'content': event.delta})}\n\n"
    history.append({"role": "assistant", "content": "".join(said)})
    yield 'data: {"type": "end"}\n\n'


async def remember(request: Request) -> Response:
    """A history that the session has from now on."""
    histories[request.path_params["session"]] = await request.json()
    return Response(status_code=204)


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = probed(
    Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/{session}", turn, methods=["POST"]),
            Route("/{session}", remember, methods=["PUT"]),
        ]
    )
)
