"""Remote MCP servers as tools of an agent: what they offer, remembered for a while."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from cueline.adapters.tools.found import MOST_TOOLS, Found, ToolError
from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.secrets import Secrets
from cueline.engine.agent import OWN_HEADERS, McpTool
from cueline.engine.tools import ToolResult

if TYPE_CHECKING:
    from cueline.adapters.tools.mcp_calls import Listed, Listing, Server

MOST_SERVERS = 256
"""Several agents' worth: with fewer, an agent's last servers would push out its first ones."""
LIST_SECONDS = 10.0
KEEP_SECONDS = 300.0
RETRY_SECONDS = 30.0
"""A server that fails is not asked again at each step of a turn."""
NAMED = 20


def mcp_specs(
    name: str, configured: McpTool, network: Network, secrets: Secrets
) -> Sequence[Found]:
    """The server's tools, or the one that is configured. Raises ToolError.

    `name` is the agent's own for this configuration. Only the first call takes time.
    """
    # The client library takes as long to import as all the rest; most agents have no such tool.
    from cueline.adapters.tools.mcp_calls import Server, list_tools

    secret = secrets.headers(configured.secret_headers, configured.url, network)
    headers = httpx2.Headers(configured.headers)
    headers.update(secret)
    if taken := OWN_HEADERS & set(headers):
        raise ToolError(f"It may not set {', '.join(sorted(taken))}.")
    server = Server(
        url=configured.url,
        headers=tuple(sorted(headers.items())),
        secrets=tuple(secret.items()),
        network=network,
    )
    listing = _listings.get(server, lambda: list_tools(server, LIST_SECONDS))
    tools = listing.tools[:MOST_TOOLS]
    if configured.tool_name is not None:
        tools = tuple(tool for tool in listing.tools if tool.name == configured.tool_name)
        if not tools:
            raise ToolError(
                f"The MCP server of {name} has no tool {configured.tool_name!r}. "
                f"It has: {_some([tool.name for tool in listing.tools])}."
            )
    return [_found(server, listing, tool) for tool in tools]


def _found(server: "Server", listing: "Listing", tool: "Listed") -> Found:
    def run(arguments: Mapping[str, Any], seconds: float) -> ToolResult:
        from cueline.adapters.tools.mcp_answers import OutdatedError
        from cueline.adapters.tools.mcp_calls import call_tool

        try:
            return call_tool(server, listing, tool, arguments, seconds)
        except OutdatedError:
            _listings.doubt(server)
            raise

    return Found(tool.name, tool.description, tool.parameters, run)


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) + more) or "none"


@dataclass(frozen=True, slots=True)
class _Known:
    until: float
    listing: "Listing | None"
    problem: str = ""


class _Listings:
    """What servers offer. One that fails keeps what it had, so that its calls can say why."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: dict[Server, _Known] = {}
        self._lock = threading.Lock()

    def get(self, server: "Server", look: "Callable[[], Listing]") -> "Listing":
        with self._lock:
            known = self._known.get(server)
        if known is None or known.until <= self._monotonic():
            known = self._look(look, known.listing if known else None)
            with self._lock:
                self._known.pop(server, None)
                while len(self._known) >= MOST_SERVERS:
                    del self._known[next(iter(self._known))]  # who was listed longest ago
                self._known[server] = known
        if known.listing is None:
            raise ToolError(known.problem)
        return known.listing

    def _look(self, look: "Callable[[], Listing]", before: "Listing | None") -> _Known:
        try:
            return _Known(self._monotonic() + KEEP_SECONDS, look())
        except ToolError as error:
            return _Known(self._monotonic() + RETRY_SECONDS, before, str(error))

    def doubt(self, server: "Server") -> None:
        """Asks the server again before its listing is used again."""
        with self._lock:
            if known := self._known.get(server):
                self._known[server] = _Known(0.0, known.listing)


_listings = _Listings()
