"""The door's routes as data, for whatever serves them; posting an event streams, and is elsewhere.

What is not built is a route too, so that it is refused by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cueline.doors.agent_events import agents, history, sessions
from cueline.doors.agent_events.keys import agent_key_in, event_id_in, session_key_in
from cueline.doors.agent_events.lists import ListQuery, list_query
from cueline.doors.body import raw_body, read_json
from cueline.doors.creation import Creation
from cueline.doors.idempotency import idempotency_key
from cueline.engine.ports import Ports
from cueline.errors import NotBuilt

if TYPE_CHECKING:
    from cueline.doors.agent_events.schedules import Schedules
    from cueline.engine.background import Background


@dataclass(frozen=True, slots=True)
class Call:
    """One request: path parameters as they stand in the path, the query decoded.

    Header names are lower case. `caller` is who was let in. `background` is made when it is first
    asked for.
    """

    ports: Ports
    background: "Callable[[], Background]"
    request_id: str
    caller: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str | None
    is_base64: bool = False

    @property
    def agent(self) -> str:
        return agent_key_in(self.path["agent_key"])

    @property
    def session(self) -> tuple[str, str]:
        return self.agent, session_key_in(self.path["session_key"])

    @property
    def schedules(self) -> "Schedules":
        # Few calls are about them, and only those pay for the import.
        from cueline.doors.agent_events.schedules import Schedules

        return Schedules(self.ports, self.background, self.agent)

    @property
    def schedule(self) -> str:
        return self.path["schedule_key"]

    @property
    def event(self) -> str:
        return event_id_in(self.path["event_id"])

    @property
    def marked(self) -> tuple[str, str, str, str]:
        """The event, and the request that marks it."""
        return *self.session, self.event, self.request_id

    @property
    def list_query(self) -> ListQuery:
        return list_query(self.query)

    @property
    def json(self) -> dict[str, Any]:
        content_type = self.headers.get("content-type", "")
        return read_json(raw_body(self.body, self.is_base64), content_type)

    @property
    def creation(self) -> Creation:
        """For a POST that makes something. Whatever else writes here (PATCH, PUT, DELETE) can be
        repeated as it is, and ignores an Idempotency-Key."""
        return Creation(self.caller, idempotency_key(self.headers), self.json)


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is as in an API's definition; `answer` gives the JSON body, or None for no body."""

    method: str
    path: str
    answer: Callable[[Call], dict[str, Any] | None]
    status: int = 200


def _not_built(feature: str) -> Callable[[Call], None]:
    def refuse(_: Call) -> None:
        raise NotBuilt(feature)

    return refuse


_AGENTS = "/v2/agents"
_AGENT = _AGENTS + "/{agent_key}"
_SESSIONS = _AGENT + "/sessions"
_SESSION = _SESSIONS + "/{session_key}"
_EVENTS = _SESSION + "/events"
_EVENT = _EVENTS + "/{event_id}"
_ARTIFACTS = _SESSION + "/artifacts"
_SCHEDULES = _AGENT + "/schedules"
_SCHEDULE = _SCHEDULES + "/{schedule_key}"

ROUTES = (
    Route("GET", _AGENTS, lambda c: agents.page(c.ports, c.list_query)),
    Route("POST", _AGENTS, lambda c: agents.create(c.ports, c.creation), 201),
    Route("GET", _AGENT, lambda c: agents.get(c.ports, c.agent)),
    Route("PATCH", _AGENT, lambda c: agents.update(c.ports, c.agent, c.json)),
    Route("PUT", _AGENT, lambda c: agents.replace(c.ports, c.agent, c.json)),
    Route("DELETE", _AGENT, lambda c: agents.delete(c.ports, c.agent), 204),
    Route("GET", _SESSIONS, lambda c: sessions.page(c.ports, c.agent, c.list_query)),
    Route(
        "POST",
        _SESSIONS,
        lambda c: sessions.create(c.ports, c.agent, c.creation, c.request_id),
        201,
    ),
    Route("GET", _SESSION, lambda c: sessions.get(c.ports, *c.session)),
    Route("PATCH", _SESSION, lambda c: sessions.update(c.ports, *c.session, c.json)),
    Route("DELETE", _SESSION, lambda c: sessions.delete(c.ports, *c.session, c.request_id), 204),
    Route("GET", _EVENTS, lambda c: history.page(c.ports, *c.session, c.list_query)),
    Route("GET", _EVENT, lambda c: history.get(c.ports, *c.session, c.event)),
    Route("DELETE", _EVENT, lambda c: history.delete(c.ports, *c.marked), 204),
    Route("POST", _EVENT + "/hide", lambda c: history.hide(c.ports, *c.marked)),
    Route("POST", _EVENT + "/unhide", lambda c: history.unhide(c.ports, *c.marked)),
    Route("GET", _AGENT + "/identity", _not_built("An agent's identity")),
    Route("PATCH", _AGENT + "/identity", _not_built("An agent's identity")),
    Route("GET", _ARTIFACTS, _not_built("Listing artifacts")),
    Route("GET", _ARTIFACTS + "/{artifact_id}", _not_built("Reading an artifact")),
    Route("GET", _SCHEDULES, lambda c: c.schedules.page(c.list_query)),
    Route("POST", _SCHEDULES, lambda c: c.schedules.create(c.creation), 201),
    Route("GET", _SCHEDULE, lambda c: c.schedules.get(c.schedule)),
    Route("PATCH", _SCHEDULE, lambda c: c.schedules.update(c.schedule, c.json)),
    Route("DELETE", _SCHEDULE, lambda c: c.schedules.delete(c.schedule), 204),
    Route(
        "GET",
        _SCHEDULE + "/executions",
        lambda c: c.schedules.executions(c.schedule, c.list_query),
    ),
)
