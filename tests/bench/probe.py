"""What the bench asks of a process that it measures, beside the app that the process serves."""

import os
import time
from typing import Any

import httpx2
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cueline.adapters.sqs import SqsWakeUps

_call = BaseClient._make_api_call  # type: ignore[attr-defined]
_send = httpx2.Client.send
_wake = SqsWakeUps.send
_calls: list[dict[str, Any]] = []


def probed(app: ASGIApp) -> ASGIApp:
    """`app`, and under `/bench/` what this module tells of its process."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"].startswith("/bench/")
        await (_probe if asked else app)(scope, receive, send)

    return either


async def cpu(_: Request) -> Response:
    """Seconds of CPU that this process has used."""
    return JSONResponse({"cpu": time.process_time(), "pid": os.getpid()})


async def calls(request: Request) -> Response:
    """POST notes every call to AWS and to the model from now on; GET tells them and stops.

    While nothing is noted, nothing is in the way of the calls.
    """
    if request.method == "POST":
        BaseClient._make_api_call = _noted_call  # type: ignore[attr-defined]
        httpx2.Client.send = _noted_send  # type: ignore[method-assign]
        _calls.clear()
        return Response()
    BaseClient._make_api_call = _call  # type: ignore[attr-defined]
    httpx2.Client.send = _send  # type: ignore[method-assign]
    return JSONResponse(_calls)


async def wake_ups(request: Request) -> Response:
    """DELETE: from now on no wake-up is sent; POST: as usual again."""
    quiet = request.method == "DELETE"
    SqsWakeUps.send = _silent if quiet else _wake  # type: ignore[method-assign]
    return Response()


def _noted_call(self: Any, operation: str, params: dict[str, Any]) -> Any:
    noted = {
        "service": self.meta.service_model.service_name,
        "operation": operation,
        # A frame for a WebSocket is bytes.
        "params": {k: v.decode() if isinstance(v, bytes) else v for k, v in params.items()},
        "began": time.monotonic(),
        "answer": {},
    }
    _calls.append(noted)
    try:
        answer = _call(self, operation, params)
    except ClientError as error:
        noted["answer"] = {"Error": error.response["Error"], "Item": error.response.get("Item")}
        raise
    noted["answer"] = {k: v for k, v in answer.items() if k != "ResponseMetadata"}
    return answer


def _noted_send(self: Any, *args: Any, **options: Any) -> Any:
    _calls.append({"service": "model", "operation": "model", "began": time.monotonic()})
    return _send(self, *args, **options)


def _silent(*_: Any, **__: Any) -> None: ...


_probe = Starlette(
    routes=[
        Route("/bench/cpu", cpu),
        Route("/bench/calls", calls, methods=["GET", "POST"]),
        Route("/bench/wake-ups", wake_ups, methods=["POST", "DELETE"]),
    ]
)
