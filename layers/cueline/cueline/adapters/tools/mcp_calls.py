"""Visits to MCP servers, each in an event loop of its own: connect, ask, close, all in time.

The client library is asynchronous, and its tasks fail in exception groups. Nothing of that leaves
this module: a visit returns, or raises ToolError, within its time, from whatever thread.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    DiscoverResult,
    Implementation,
    InputRequiredResult,
    PaginatedRequestParams,
)
from pydantic import TypeAdapter

from cueline.adapters.tools.connections import Refused
from cueline.adapters.tools.found import ToolError
from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.mcp_answers import LostSessionError, Seen, failure, late, result_of
from cueline.engine.tools import ToolResult

MOST_LISTED = 1_000
MOST_PAGES = 20
LARGEST_LISTING = 1_000_000
"""Characters of descriptions and schemas; tools beyond it are left out."""
CLOSE_SECONDS = 1.0
"""How long closing a session may take, be its call over or not."""
_HANDSHAKE = "legacy"  # the client's word for servers that want `initialize` first

T = TypeVar("T")
Answer = CallToolResult | InputRequiredResult

# They log what servers send, and each failure is told as the tool's output anyway.
for _name in ("mcp", "client"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_CUELINE = Implementation(name="cueline", version="1")
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and what each request to it carries."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    secrets: tuple[tuple[str, str], ...] = field(repr=False)
    """Those of the headers whose values nobody may read."""
    network: Network


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool as its server describes it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    size: int
    """Characters."""
    mirrored: bool
    """Whether the server wants some arguments in headers too."""


@dataclass(frozen=True, slots=True)
class Listing:
    tools: tuple[Listed, ...]
    mode: str
    """How the server was spoken to: a version of the stateless protocol, or by handshake."""
    discovered: DiscoverResult | None
    """What a server of the stateless protocol says of itself."""


def list_tools(server: Server, seconds: float) -> Listing:
    """What the server offers, whichever protocol it speaks. Raises ToolError."""
    until = time.monotonic() + seconds

    async def ask(client: Client) -> Listing:
        discovered = client.session.discover_result
        mode = client.protocol_version if discovered else _HANDSHAKE
        return Listing(await _listed(client), mode, discovered)

    def visit() -> Listing:
        return _visit(server, until - time.monotonic(), ask, partial(Client, mode="auto"))

    try:
        return visit()
    except LostSessionError:
        return visit()  # a list may be asked for twice; a call never is


def call_tool(
    server: Server, listing: Listing, tool: Listed, arguments: Mapping[str, Any], seconds: float
) -> ToolResult:
    """Calls it once, whatever happens. Raises ToolError."""
    seen = Seen(server.secrets)
    params = CallToolRequestParams(name=tool.name, arguments=dict(arguments))

    async def ask(client: Client) -> Answer:
        if listing.discovered and tool.mirrored:
            await client.session.list_tools()  # it learns from this what goes into headers
        seen.calling = True
        # Not the client's `call_tool`: that may call twice, and lists the tools again afterwards.
        return await client.session.send_request(CallToolRequest(params=params), _ANSWER)

    connect = partial(Client, mode=listing.mode, prior_discover=listing.discovered)
    answer = _visit(server, seconds, ask, connect, seen)
    if isinstance(answer, InputRequiredResult):
        raise ToolError("The tool asks for input from a person, which agents cannot pass on.")
    return result_of(answer, seen)


async def _listed(client: Client) -> tuple[Listed, ...]:
    found: dict[str, Listed] = {}
    size, cursor = 0, None
    for _ in range(MOST_PAGES):
        page = await client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        for tool in page.tools:
            description = tool.description or tool.title or ""
            schema = json.dumps(tool.input_schema)
            one = Listed(
                name=tool.name,
                description=description,
                parameters=tool.input_schema,
                size=len(tool.name) + len(description) + len(schema),
                mirrored='"x-mcp-header"' in schema,
            )
            size += one.size
            if len(found) >= MOST_LISTED or size > LARGEST_LISTING:
                return tuple(found.values())
            found.setdefault(one.name, one)
        cursor = page.next_cursor
        if not cursor:
            break
    return tuple(found.values())


# --- one visit -----------------------------------------------------------------------------------


def _visit(
    server: Server,
    seconds: float,
    ask: Callable[[Client], Awaitable[T]],
    connect: Callable[..., Client],
    seen: Seen | None = None,
) -> T:
    seen = seen or Seen(server.secrets)
    return asyncio.run(_visiting(server, seconds, ask, connect, seen))


async def _visiting(
    server: Server,
    seconds: float,
    ask: Callable[[Client], Awaitable[T]],
    connect: Callable[..., Client],
    seen: Seen,
) -> T:
    answers: list[T] = []
    until = anyio.current_time() + seconds
    goodbye = min(CLOSE_SECONDS, seconds / 10)
    # The time limit is the scope's: what the guard says of it would be taken for a broken stream.
    async with server.network.async_client(seconds + 1, dict(server.headers)) as http:
        with anyio.CancelScope(deadline=until) as scope:
            http.event_hooks = {"response": [partial(_note, seen, scope)]}
            transport = streamable_http_client(server.url, http_client=http)
            try:
                async with connect(transport, cache=None, client_info=_CUELINE) as client:
                    with anyio.CancelScope(deadline=until - goodbye):
                        answers.append(await ask(client))
                    scope.deadline = min(until, anyio.current_time() + CLOSE_SECONDS)
            except Exception as error:
                # Once the time is over, whatever fails does so because of that.
                if not answers and anyio.current_time() < until - goodbye:
                    # Without its cause: what the client raises holds the request, and so secrets.
                    raise failure(server.url, error, seen) from None
    if answers:
        return answers[0]
    if seen.refused:
        raise failure(server.url, seen.refused, seen)
    raise late(server.url, seconds, seen)


async def _note(seen: Seen, scope: anyio.CancelScope, response: httpx2.Response) -> None:
    response.stream = _Watched(cast("httpx2.AsyncByteStream", response.stream), seen, scope)
    if response.request.method != "POST":
        return
    seen.status = response.status_code
    seen.media = response.headers.get("content-type", "")
    seen.session = "mcp-session-id" in response.request.headers
    seen.told = False
    if response.is_error and seen.media.startswith("application/json"):
        seen.told = b'"jsonrpc"' in await response.aread()


class _Watched(httpx2.AsyncByteStream):
    """A body whose end by the guard ends the visit; the client would try to go on with it."""

    def __init__(self, inner: httpx2.AsyncByteStream, seen: Seen, scope: anyio.CancelScope) -> None:
        self._inner, self._seen, self._scope = inner, seen, scope

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except Refused as error:
            self._seen.refused = error
            self._scope.cancel()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()
