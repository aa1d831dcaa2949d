"""The routes of the door's REST half as data."""

from cueline.doors.client_commands import connections, transcript
from cueline.doors.client_commands.calls import Route

ROUTES = (
    Route("POST", "/public/agents/{agent_id}/connections", connections.create, 201),
    Route("DELETE", "/public/connections/{connection_id}", connections.delete, 204),
    Route("GET", "/public/sessions/{session_id}", transcript.get),
)
