"""What this door stands on, and what comes to it over a WebSocket."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from cueline.doors.access import Access
from cueline.engine.listeners import Connections, Sockets
from cueline.engine.ports import Ports


@dataclass(frozen=True, slots=True)
class Realtime:
    ports: Ports
    connections: Connections
    sockets: Sockets
    access: Access | None
    """None where it is not checked."""
    url: str = ""
    """What clients dial, without a query."""
    origins: Set[str] = frozenset()
    """Of the web pages that may connect; who sends none is no browser."""
    lease: int = 30
    """Seconds after which a turn whose host is silent may be taken over."""


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """One of the gateway's events. Header names are lower case."""

    gateway: str
    """The gateway's id of the WebSocket."""
    request_id: str
    body: str = ""
    is_base64: bool = False
    """The frame was binary."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
