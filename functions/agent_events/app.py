"""What streams, under the Lambda Web Adapter: door 1's posts, and door 2's list of events."""

from contextlib import suppress
from urllib.parse import quote

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cueline import bootstrap
from cueline.doors.agent_events import errors as door_1
from cueline.doors.agent_events.hosting import Post
from cueline.doors.asgi import answering, body_of, gone, request_id
from cueline.doors.body import MAX_BODY
from cueline.doors.logs import function_logger
from cueline.doors.triggered_responses import errors as door_2
from cueline.errors import CuelineError, RouteNotFound, unexpected

DOOR_1 = "/v2/agents/{agent_key}/sessions/{session_key}/events"
DOOR_2 = "/sessions/{session_id}/events"
UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}

logger = function_logger()


async def post_event(request: Request) -> Response:
    """201 with the turn's events, in JSON or as a stream of server-sent events."""
    body = await body_of(request, MAX_BODY)
    # Quoted again: the door decodes keys, once.
    keys = [quote(request.path_params[name], safe="") for name in ("agent_key", "session_key")]
    post = Post(keys[0], keys[1], dict(request.headers), body, request_id(request))
    opened = await anyio.to_thread.run_sync(bootstrap.hosting().open, post)
    if not opened.stream:
        answer = await bootstrap.hosting().answer(opened, lambda: gone(request))
        return _told(request, JSONResponse(answer, 201))
    frames = bootstrap.hosting().stream(opened, post.request_id)
    return _told(
        request, StreamingResponse(frames, 201, UNBUFFERED, media_type="text/event-stream")
    )


async def list_events(request: Request) -> Response:
    """200 with the session's events, once there are some; or a stream of them as they come."""
    session_id = quote(request.path_params["session_id"], safe="")
    query = {name: request.query_params.getlist(name) for name in request.query_params}
    following, headers = bootstrap.following(), dict(request.headers)
    opened = await anyio.to_thread.run_sync(following.open, session_id, query, headers)
    if not opened.query.sse:
        status, body = await following.answer(opened, lambda: gone(request))
        return _told(request, Response(body, status, media_type="application/json"))
    frames = following.stream(opened)
    return _told(
        request, StreamingResponse(frames, 200, UNBUFFERED, media_type="text/event-stream")
    )


async def failed(request: Request, error: Exception) -> Response:
    door = door_2 if request.url.path.startswith("/sessions/") else door_1
    answer = door.error_answer(error, request_id(request))
    if not isinstance(error, CuelineError):
        logger.error("unexpected error", extra=unexpected(error))
    return _told(request, JSONResponse(answer.body, answer.status, answer.headers))


def _told(request: Request, response: Response) -> Response:
    response.headers["x-request-id"] = request_id(request)
    with suppress(ValueError):  # settings that are wrong, which is what is told
        response.headers.update(bootstrap.cors().headers(request.headers.get("origin")))
    logger.info("answered", status=response.status_code, request_id=request_id(request))
    return response


async def nowhere(request: Request, _: Exception) -> Response:
    return await failed(request, RouteNotFound(f"{request.method} {request.url.path}"[:100]))


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(
    routes=[
        Route("/healthz", healthz),
        Route(DOOR_1, answering(post_event, failed), methods=["POST"]),
        Route(DOOR_2, answering(list_events, failed), methods=["GET"]),
    ],
    exception_handlers={HTTPException: nowhere},
)
