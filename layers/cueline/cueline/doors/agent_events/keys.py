"""Keys: those that callers put into paths, and those that the door makes up."""

import re
from urllib.parse import unquote

from cueline.doors.shared import MAX_ECHO, key_in
from cueline.engine.ports import Clock
from cueline.errors import AgentNotFound, EventNotFound, SessionNotFound

MAX_KEY = 50


def agent_key_in(path: str) -> str:
    return key_in(path, AgentNotFound)


def session_key_in(path: str) -> str:
    return key_in(path, SessionNotFound)


def event_id_in(path: str) -> str:
    if len(path) > MAX_ECHO:
        raise EventNotFound(path[:MAX_ECHO])
    return unquote(path)


def new_key(prefix: str, name: str, clock: Clock, tries: int) -> str:
    """`<prefix>_<slug of name>_<4 hex>`, and more hex once `tries` of that were taken."""
    digits = 4 if tries < 4 else 12
    room = MAX_KEY - len(prefix) - digits - 2
    slug = re.sub(r"[^0-9a-z-]+", "_", name.lower())[:room].strip("_") or "x"
    return f"{prefix}_{slug}_{int(clock.random() * 16**digits):0{digits}x}"
