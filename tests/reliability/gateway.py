"""The management API of a gateway whose WebSockets take nothing: all are gone, or busy, or hang.

POST, DELETE /{stack}/{how}/@connections/{id}     as told by `how`
GET          /{stack}                             what it was asked, as `Calls`
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HANG = 30.0
"""Seconds: longer than any client of it waits."""


@dataclass
class Calls:
    """Of one stack, by the gateway's ids of its WebSockets."""

    sent: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    at_once: Counter[str] = field(default_factory=Counter)
    """Frames for one WebSocket that were on their way at the same time, at most."""

    @classmethod
    def of(cls, told: Mapping[str, Mapping[str, int]]) -> "Calls":
        return cls(**{name: Counter(counted) for name, counted in told.items()})


def application() -> Starlette:
    stacks: dict[str, Calls] = defaultdict(Calls)
    on_their_way: Counter[str] = Counter()

    async def answer(request: Request) -> Response:
        path = request.path_params
        calls, name = stacks[path["stack"]], path["id"]
        if request.method == "DELETE":
            calls.closed[name] += 1
            return Response(status_code=204)
        calls.sent[name] += 1
        on_their_way[name] += 1
        calls.at_once[name] = max(calls.at_once[name], on_their_way[name])
        try:
            if path["how"] == "hanging":
                await asyncio.sleep(HANG)
            gone = path["how"] == "gone"
            code = "GoneException" if gone else "LimitExceededException"
            return JSONResponse(
                {"message": "No."}, 410 if gone else 429, {"x-amzn-errortype": code}
            )
        finally:
            on_their_way[name] -= 1

    async def tell(request: Request) -> Response:
        return JSONResponse(vars(stacks[request.path_params["stack"]]))

    return Starlette(
        routes=[
            Route("/{stack}/{how}/@connections/{id}", answer, methods=["POST", "DELETE"]),
            Route("/{stack}", tell),
        ]
    )
