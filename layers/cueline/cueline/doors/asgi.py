"""What every door that streams wants of an ASGI request."""

import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

_REQUEST_ID = re.compile(r'"requestId" ?: ?"([A-Za-z0-9_-]{1,64})"')


def request_id(request: Request) -> str:
    """API Gateway's own, which the adapter passes on; a new one where there is no gateway."""
    if not hasattr(request.state, "id"):
        found = _REQUEST_ID.search(request.headers.get("x-amzn-request-context", ""))
        request.state.id = found[1] if found else str(uuid4())
    return str(request.state.id)


def answering(
    endpoint: Callable[[Request], Awaitable[Response]],
    failed: Callable[[Request, Exception], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, whose every error `failed` answers.

    Starlette's own handler for all errors would raise them again, and the server print them with
    their messages, which may carry what a user said.
    """

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            return await failed(request, error)

    return answered


async def body_of(request: Request, limit: int) -> bytes:
    """At most one byte more than `limit`, so that the door sees that it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            break
    return body[: limit + 1]


async def gone(request: Request) -> None:
    """Ends when the caller goes away; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        ...
