"""The door's routes as data, and which of them a request is for."""

import re
from functools import cache

from cueline.doors.background_triggers.calls import ANY, Route
from cueline.doors.background_triggers.contacts import CONTACTS_ROUTES
from cueline.doors.background_triggers.conversations import CONVERSATIONS_ROUTES
from cueline.doors.background_triggers.executions import EXECUTION_ROUTES
from cueline.doors.background_triggers.messages import MESSAGES_ROUTES
from cueline.doors.background_triggers.triggers import TRIGGER_ROUTES
from cueline.doors.shared import MAX_ECHO
from cueline.errors import RouteNotFound

PREFIXES = ("/api/v1", "/v1")
"""The published client sends the first, the documentation shows the second."""

ROUTES: tuple[Route, ...] = (
    *TRIGGER_ROUTES,
    *EXECUTION_ROUTES,
    *CONVERSATIONS_ROUTES,
    *MESSAGES_ROUTES,
    *CONTACTS_ROUTES,
)


def route_of(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route for this path, prefix and all, and the path's parameters; raises RouteNotFound."""
    rest = next((path.removeprefix(p) for p in PREFIXES if path.startswith(p + "/")), "")
    for route in ROUTES:
        found = _pattern(route.path).fullmatch(rest)
        if found and route.method in (method, ANY):
            return route, found.groupdict()
    raise RouteNotFound(f"{method} {path}"[:MAX_ECHO])


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{", "(?P<").replace("}", ">[^/]+)"))
