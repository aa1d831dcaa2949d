"""One request of the door's REST half, and what a route is."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from cueline.doors.body import raw_body, read_json
from cueline.doors.calls import Request
from cueline.doors.calls import Route as AnyRoute
from cueline.doors.client_commands.errors import ConnectionNotFound
from cueline.doors.client_commands.realtime import Realtime
from cueline.doors.shared import MAX_ECHO, key_in
from cueline.engine.ports import Ports
from cueline.errors import AgentNotFound, SessionNotFound

_SESSION = re.compile(r"[0-9a-zA-Z_-]{1,50}\.[0-9a-zA-Z_-]{1,50}")
_CONNECTION = re.compile(rf"({_SESSION.pattern})\.[0-9a-z]{{1,50}}")


def session_id_of(text: str) -> str:
    """What cannot be an id names nothing: SessionNotFound."""
    if not _SESSION.fullmatch(text):
        raise SessionNotFound(text[:MAX_ECHO])
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Request):
    realtime: Realtime

    @property
    def ports(self) -> Ports:
        return self.realtime.ports

    @property
    def agent(self) -> str:
        return key_in(self.path["agent_id"], AgentNotFound)

    @property
    def connection(self) -> str:
        given = unquote(self.path["connection_id"])
        if not _CONNECTION.fullmatch(given):
            raise ConnectionNotFound(given[:MAX_ECHO])
        return given

    @property
    def session(self) -> str:
        """The id of a session, or of the one that a connection is of; the latter may be over."""
        given = unquote(self.path["session_id"])
        of_connection = _CONNECTION.fullmatch(given)
        return of_connection[1] if of_connection else session_id_of(given)

    @property
    def json(self) -> dict[str, Any]:
        return read_json(raw_body(self.body, self.is_base64), self.content_type)


Route = AnyRoute[Call]
