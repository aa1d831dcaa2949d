"""What the edge refuses by itself."""

import asyncio
import re
import uuid

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
ORIGIN = re.compile(rf"https?://{LOOPBACK}")


def refusal(status: int, code: str, message: str) -> Response:
    """An error of the edge itself, in the shapes that all doors' clients read, in one."""
    request = str(uuid.uuid4())
    return JSONResponse(
        {
            "messages": [message],
            "detail": message,
            "message": message,
            "code": code,
            "request_id": request,
            "retryable": status in {502, 503},
        },
        status,
        {"x-request-id": request},
    )


async def refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with it, also who wants a WebSocket."""
    await answer(scope, receive, send)
    # The server takes a WebSocket for unanswered, and logs so, until its connection is closed.
    await asyncio.sleep(0)


class LoopbackOnly:
    """Keeps other web sites out: the stack is open, and a browser on this machine can reach it.

    A page of another site could post to it, open a WebSocket to it, or have its own name resolve to
    this machine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            headers = HTTPConnection(scope).headers
            host, origin = headers.get("host", ""), headers.get("origin")
            if not re.fullmatch(LOOPBACK, host):
                message = f"This local stack answers at 127.0.0.1 and localhost only, not {host!r}."
                return await refuse(refusal(403, "forbidden", message), scope, receive, send)
            if origin is not None and not ORIGIN.fullmatch(origin):
                message = f"Pages of {origin!r} may not use this local stack; only local ones may."
                return await refuse(refusal(403, "forbidden", message), scope, receive, send)
        return await self.app(scope, receive, send)
