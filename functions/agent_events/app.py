"""Posting an event to a session, under the Lambda Web Adapter, so that the answer can stream."""

from urllib.parse import quote

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cueline import bootstrap
from cueline.doors.agent_events.body import MAX_BODY
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.agent_events.hosting import Post
from cueline.doors.asgi import answering, body_of, gone, request_id
from cueline.doors.logs import function_logger
from cueline.errors import CuelineError, RouteNotFound, unexpected

EVENTS = "/v2/agents/{agent_key}/sessions/{session_key}/events"

logger = function_logger()


async def post_event(request: Request) -> Response:
    """201 with the turn's events, in JSON or as a stream of server-sent events."""
    body = await body_of(request, MAX_BODY)
    # Quoted again: the door decodes keys, once.
    keys = [quote(request.path_params[name], safe="") for name in ("agent_key", "session_key")]
    post = Post(keys[0], keys[1], dict(request.headers), body, _id(request))
    opened = await anyio.to_thread.run_sync(bootstrap.hosting().open, post)
    if not opened.stream:
        answer = await bootstrap.hosting().answer(opened, lambda: gone(request))
        return _told(request, JSONResponse(answer, 201))
    frames = bootstrap.hosting().stream(opened, post.request_id)
    unbuffered = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return _told(
        request, StreamingResponse(frames, 201, unbuffered, media_type="text/event-stream")
    )


def _id(request: Request) -> str:
    return request_id(request, bootstrap.ports().clock)


async def failed(request: Request, error: Exception) -> Response:
    answer = error_answer(error, _id(request))
    if not isinstance(error, CuelineError):
        logger.error("unexpected error", extra=unexpected(error))
    return _told(request, JSONResponse(answer.body, answer.status, answer.headers))


def _told(request: Request, response: Response) -> Response:
    response.headers["x-request-id"] = _id(request)
    response.headers.update(bootstrap.cors().headers(request.headers.get("origin")))
    logger.info("answered", status=response.status_code, request_id=_id(request))
    return response


async def nowhere(request: Request, _: Exception) -> Response:
    return await failed(request, RouteNotFound(f"{request.method} {request.url.path}"[:100]))


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(
    routes=[
        Route("/healthz", healthz),
        Route(EVENTS, answering(post_event, failed), methods=["POST"]),
    ],
    exception_handlers={HTTPException: nowhere},
)
