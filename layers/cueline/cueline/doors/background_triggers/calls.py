"""One request of the door, what a route is, and what it may answer."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from cueline.doors.background_triggers.errors import TriggerNotFound
from cueline.doors.body import MAX_BODY, object_in, raw_body
from cueline.doors.calls import Request
from cueline.doors.creation import Creation
from cueline.doors.idempotency import idempotency_key
from cueline.doors.rest import JSON
from cueline.doors.shared import MAX_ECHO
from cueline.engine.background import Background
from cueline.engine.ports import Ports
from cueline.errors import InvalidRequest

ANY = "*"
"""The method of a route that answers each of them."""

_TRIGGER = re.compile(r"[0-9a-zA-Z_-]{1,50}")
# What a page of the web may send without asking first, to a port on somebody's own machine too.
_UNASKED = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""}


def trigger_id_in(path: str) -> str:
    """What cannot be an id names nothing: TriggerNotFound. Agents' schedules are none of these."""
    given = unquote(path)
    if not _TRIGGER.fullmatch(given):
        raise TriggerNotFound(given[:MAX_ECHO])
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Request):
    """Where a route is open its `caller` is nobody."""

    ports: Ports
    background: Background
    signing: Callable[[], bytes]
    """The deployment's secret, from which those of triggers are derived. Raises Unavailable."""
    method: str
    lease: int = 30
    """Seconds after which a turn whose host is silent may be taken over."""

    @property
    def trigger(self) -> str:
        """The id in the path."""
        return trigger_id_in(self.path["trigger_id"])

    @property
    def raw(self) -> bytes:
        return raw_body(self.body, self.is_base64)

    @property
    def json(self) -> dict[str, Any]:
        """An empty body is an empty object. Raises InvalidRequest."""
        raw = self.raw
        if not raw.strip():
            return {}
        kind = self.content_type.partition(";")[0].strip().lower()
        if kind in _UNASKED:
            raise InvalidRequest("Send the body with `content-type: application/json`.")
        if len(raw) > MAX_BODY:
            raise InvalidRequest(f"The body is larger than {MAX_BODY // 1024} KB.")
        return object_in(raw)

    @property
    def creation(self) -> Creation:
        """For a POST that makes something."""
        return Creation(self.caller, idempotency_key(self.headers), self.json)

    def one(self, name: str) -> str | None:
        """The last value of this name in the query."""
        values = self.query.get(name)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered where it is not just JSON with 200: `text`, where given, stands for it."""

    body: Any = None
    status: int = 200
    text: str | None = None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is as in an API's definition, without the prefix `/v1` or `/api/v1`; `answer` gives
    what is JSON, or a Reply."""

    method: str
    path: str
    answer: Callable[[Call], Any]
    open: bool = False
    """Anybody is let in: the route itself looks who it is."""
