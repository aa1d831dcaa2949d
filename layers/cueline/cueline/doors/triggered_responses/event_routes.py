"""The routes of events, but for their list, which may stream and is served elsewhere."""

from cueline.doors.triggered_responses import events
from cueline.doors.triggered_responses.calls import Route
from cueline.doors.triggered_responses.posting import post_event

_EVENTS = "/sessions/{session_id}/events"
_EVENT = _EVENTS + "/{event_id}"

EVENT_ROUTES = (
    Route("POST", _EVENTS, post_event, 201),
    Route("DELETE", _EVENTS, events.remove, 204),
    Route("GET", _EVENT, events.get),
    Route("PATCH", _EVENT, events.edit),
)
