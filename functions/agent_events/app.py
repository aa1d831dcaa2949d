"""Posting an event to a session, under the Lambda Web Adapter, so that the answer can stream."""

import re
from functools import cache

import anyio.to_thread
from aws_lambda_powertools import Logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cueline import bootstrap
from cueline.doors.agent_events.body import MAX_BODY
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.agent_events.hosting import Hosting, Post
from cueline.doors.agent_events.routes import RouteNotFound
from cueline.errors import CuelineError, unexpected

REQUEST_ID = re.compile(r'"requestId" ?: ?"([A-Za-z0-9_-]{1,64})"')
EVENTS = "/v2/agents/{agent_key}/sessions/{session_key}/events"

logger = Logger()


@cache
def hosting() -> Hosting:
    door = bootstrap.hosting()
    return Hosting(door.ports, door.keys, door.inline, door.wait_seconds)


async def post_event(request: Request) -> Response:
    """201 with the turn's events, in JSON or as a stream of server-sent events."""
    agent_key, session_key = _keys(request)
    post = Post(agent_key, session_key, dict(request.headers), await _body(request), _id(request))
    opened = await anyio.to_thread.run_sync(hosting().open, post)
    if not opened.posted.stream:
        answer = await hosting().answer(opened, lambda: _gone(request))
        return _told(request, JSONResponse(answer, 201))
    frames = hosting().stream(opened, post.request_id)
    unbuffered = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return _told(
        request, StreamingResponse(frames, 201, unbuffered, media_type="text/event-stream")
    )


def _keys(request: Request) -> tuple[str, str]:
    """As they stand in the path: the door decodes them."""
    parts = request.scope["raw_path"].decode("ascii", "replace").split("/")
    return parts[3], parts[5]


def _id(request: Request) -> str:
    """API Gateway's own, which the adapter passes on; a new one where there is no gateway."""
    if not hasattr(request.state, "id"):
        context = request.headers.get("x-amzn-request-context", "")
        found = REQUEST_ID.search(context)
        request.state.id = found[1] if found else bootstrap.ports().clock.id()
    return str(request.state.id)


async def _body(request: Request) -> bytes:
    """At most one byte more than is allowed: the door refuses it before it parses it."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            break
    return body[: MAX_BODY + 1]


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        ...


async def failed(request: Request, error: Exception) -> Response:
    answer = error_answer(error, _id(request))
    if not isinstance(error, CuelineError):
        logger.error("unexpected error", extra=unexpected(error))
    return _told(request, JSONResponse(answer.body, answer.status, answer.headers))


def _told(request: Request, response: Response) -> Response:
    response.headers["x-request-id"] = _id(request)
    logger.info("answered", status=response.status_code, request_id=_id(request))
    return response


async def nowhere(request: Request, _: Exception) -> Response:
    return await failed(request, RouteNotFound(f"{request.method} {request.url.path}"[:100]))


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(
    routes=[Route("/healthz", healthz), Route(EVENTS, post_event, methods=["POST"])],
    exception_handlers={CuelineError: failed, HTTPException: nowhere, Exception: failed},
)
