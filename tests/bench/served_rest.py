"""Doors 2 and 4 behind a port: each request comes to them as API Gateway would hand it over."""

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
from functions.triggers.app import lambda_handler as triggers_handler
from tests.bench.probe import probed
from tests.gateway import Answer, Context, event

TRIGGERS = "/v1/"
"""With this begin the paths of door 4."""
METHODS = ["GET", "POST", "PATCH", "DELETE"]


@dataclass(frozen=True)
class RestContext(Context):
    function_name: str = "triggered-responses"


one_at_a_time = anyio.CapacityLimiter(1)
"""As a function's process has it."""


def handled(request: dict[str, Any]) -> Answer:
    if request["path"].startswith(TRIGGERS):
        context = RestContext("triggers")
        told = triggers_handler(request, context)  # type: ignore[arg-type]
        return Answer(told["statusCode"], told["headers"], told["body"])
    return Answer.of(lambda_handler(request, RestContext()))  # type: ignore[arg-type]


async def handle(request: Request) -> Response:
    body = await request.body()
    text = body.decode() or None
    given = event(request.method, request.url.path, text, headers=dict(request.headers))
    given["requestContext"]["requestId"] = str(uuid.uuid4())
    answer = await anyio.to_thread.run_sync(handled, given, limiter=one_at_a_time)
    return Response(answer.text, answer.status, answer.headers)


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = probed(
    Starlette(routes=[Route("/healthz", healthz), Route("/{path:path}", handle, methods=METHODS)])
)
