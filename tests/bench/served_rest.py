"""Door 2's handler behind a port: each request comes to it as API Gateway would hand it over."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from functions.triggered_responses.app import lambda_handler
from tests.bench.probe import probed
from tests.gateway import Answer, Context, event

METHODS = ["GET", "POST", "PATCH", "DELETE"]


@dataclass(frozen=True)
class RestContext(Context):
    function_name: str = "triggered-responses"


one_at_a_time = anyio.CapacityLimiter(1)
"""As a function's process has it."""


def handled(request: dict[str, Any]) -> Answer:
    return Answer.of(lambda_handler(request, RestContext()))  # type: ignore[arg-type]


async def handle(request: Request) -> Response:
    body = await request.body()
    given = event(request.method, request.url.path, json.loads(body) if body else None)
    given["requestContext"]["requestId"] = str(uuid.uuid4())
    answer = await anyio.to_thread.run_sync(handled, given, limiter=one_at_a_time)
    return Response(answer.text, answer.status, answer.headers)


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = probed(
    Starlette(routes=[Route("/healthz", healthz), Route("/{path:path}", handle, methods=METHODS)])
)
