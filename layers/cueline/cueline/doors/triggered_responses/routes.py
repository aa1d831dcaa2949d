"""The door's routes as data, but for those of events, which `event_routes` has."""

from cueline.doors.triggered_responses import agents, customers, guidelines, sessions
from cueline.doors.triggered_responses.calls import Call, Route
from cueline.doors.triggered_responses.guidelines import GuidelinesQuery
from cueline.doors.triggered_responses.lists import ListQuery
from cueline.doors.triggered_responses.sessions import CreateQuery, DeleteQuery, SessionsQuery
from cueline.doors.triggered_responses.wire import parse_query

_AGENTS = "/agents"
_AGENT = _AGENTS + "/{agent_id}"
_CUSTOMERS = "/customers"
_CUSTOMER = _CUSTOMERS + "/{customer_id}"
_GUIDELINES = "/guidelines"
_GUIDELINE = _GUIDELINES + "/{guideline_id}"
_SESSIONS = "/sessions"
_SESSION = _SESSIONS + "/{session_id}"


def _create_session(c: Call) -> object:
    greeting = parse_query(CreateQuery, c.query).allow_greeting is True
    return sessions.create(c, greeting=greeting)


def _list_sessions(c: Call) -> object:
    return sessions.page(c.ports, parse_query(SessionsQuery, c.query, ["labels"]))


def _delete_sessions(c: Call) -> None:
    sessions.delete_many(c.ports, parse_query(DeleteQuery, c.query, ["labels"]), c.trace_id)


ROUTES = (
    Route("GET", _AGENTS, lambda c: agents.all_of(c.ports)),
    Route("POST", _AGENTS, lambda c: agents.create(c.ports, c.creation), 201),
    Route("GET", _AGENT, lambda c: agents.get(c.ports, c.agent)),
    Route("PATCH", _AGENT, lambda c: agents.update(c.ports, c.agent, c.json)),
    Route("DELETE", _AGENT, lambda c: agents.delete(c.ports, c.agent), 204),
    Route("GET", _CUSTOMERS, lambda c: customers.page(c.ports, parse_query(ListQuery, c.query))),
    Route("POST", _CUSTOMERS, lambda c: customers.create(c.ports, c.creation), 201),
    Route("GET", _CUSTOMER, lambda c: customers.get(c.ports, c.customer)),
    Route("PATCH", _CUSTOMER, lambda c: customers.update(c.ports, c.customer, c.json)),
    Route("DELETE", _CUSTOMER, lambda c: customers.delete(c.ports, c.customer), 204),
    Route(
        "GET",
        _GUIDELINES,
        lambda c: guidelines.all_of(c.ports, parse_query(GuidelinesQuery, c.query)),
    ),
    Route("POST", _GUIDELINES, lambda c: guidelines.create(c.ports, c.creation), 201),
    Route("GET", _GUIDELINE, lambda c: guidelines.get(c.ports, c.guideline)),
    Route("PATCH", _GUIDELINE, lambda c: guidelines.update(c.ports, c.guideline, c.json)),
    Route("DELETE", _GUIDELINE, lambda c: guidelines.delete(c.ports, c.guideline), 204),
    Route("GET", _SESSIONS, _list_sessions),
    Route("POST", _SESSIONS, _create_session, 201),
    Route("DELETE", _SESSIONS, _delete_sessions, 204),
    Route("GET", _SESSION, lambda c: sessions.get(c.ports, *c.session)),
    Route("PATCH", _SESSION, lambda c: sessions.update(c.ports, *c.session, c.json, c.trace_id)),
    Route("DELETE", _SESSION, lambda c: sessions.delete(c.ports, *c.session, c.trace_id), 204),
)
