"""Door 3's handlers behind a port; each of its functions is a process of this.

POST /connect and /message take what the gateway would tell of a WebSocket, POST /heard what the
table's stream has: the new images of a batch.
"""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from functions.broadcast import app as broadcast
from functions.commands import app as commands
from local.template import ROOT
from tests.bench.probe import probed
from tests.gateway import Context

CONNECT, MESSAGE, HEARD = (
    json.loads((ROOT / "events" / name).read_text())
    for name in ("commands/connect.json", "commands/default.json", "broadcast/heard.json")
)


@dataclass(frozen=True)
class RealtimeContext(Context):
    function_name: str = "realtime"


one_at_a_time = anyio.CapacityLimiter(1)
"""As a function's process has it."""


async def _handled(function: Any, event: dict[str, Any]) -> Response:
    handler = function.lambda_handler
    limiter = one_at_a_time
    answer = await anyio.to_thread.run_sync(handler, event, RealtimeContext(), limiter=limiter)
    return JSONResponse(answer)


def _of_socket(sample: dict[str, Any], gateway: str, **more: Any) -> dict[str, Any]:
    told = {"connectionId": gateway, "requestId": str(uuid.uuid4())}
    return {**sample, **more, "requestContext": {**sample["requestContext"], **told}}


async def connect(request: Request) -> Response:
    given = await request.json()
    query = {"token": given["token"]}
    event = _of_socket(CONNECT, given["gateway"], queryStringParameters=query, headers={})
    return await _handled(commands, event)


async def message(request: Request) -> Response:
    given = await request.json()
    return await _handled(commands, _of_socket(MESSAGE, given["gateway"], body=given["body"]))


async def heard(request: Request) -> Response:
    (sample,) = HEARD["Records"]
    records = [
        {**sample, "dynamodb": {**sample["dynamodb"], "NewImage": image, "SequenceNumber": str(n)}}
        for n, image in enumerate(await request.json())
    ]
    return await _handled(broadcast, {"Records": records})


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = probed(
    Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/connect", connect, methods=["POST"]),
            Route("/message", message, methods=["POST"]),
            Route("/heard", heard, methods=["POST"]),
        ]
    )
)
