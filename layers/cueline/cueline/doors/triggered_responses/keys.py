"""Ids: those that callers put into paths, those that the door makes up, and ids of requests."""

import hashlib
import re
from urllib.parse import unquote
from uuid import UUID

from cueline.doors.creation import Creation
from cueline.doors.shared import KEY, MAX_ECHO
from cueline.engine.ports import Clock
from cueline.errors import AgentNotFound, EventNotFound, NotFound, SessionNotFound

MAX_ID = 200

_SESSION = re.compile(r"([0-9a-zA-Z_-]{1,50})\.([0-9a-zA-Z_-]{1,50})")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class CustomerNotFound(NotFound):
    noun = "customer"


class GuidelineNotFound(NotFound):
    noun = "guideline"


# --- in paths ------------------------------------------------------------------------------------


def agent_key_in(path: str) -> str:
    return agent_key_of(unquote(path))


def session_id_in(path: str) -> tuple[str, str]:
    """The keys of its agent and of itself. What cannot be an id names nothing: SessionNotFound."""
    given = unquote(path)
    if not (found := _SESSION.fullmatch(given)):
        raise SessionNotFound(given[:MAX_ECHO])
    return found[1], found[2]


def event_id_in(path: str) -> str:
    return _text(path, EventNotFound)


def customer_id_in(path: str) -> str:
    return _text(path, CustomerNotFound)


def guideline_id_in(path: str) -> str:
    return _text(path, GuidelineNotFound)


def _text(path: str, missing: type[NotFound]) -> str:
    try:
        given = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise missing(path[:MAX_ECHO]) from None
    if not is_id(given):
        raise missing(given[:MAX_ECHO])
    return given


def agent_key_of(text: str) -> str:
    """As it is in a body or a query. What cannot be a key names nothing: AgentNotFound."""
    if not KEY.fullmatch(text):
        raise AgentNotFound(text[:MAX_ECHO])
    return text


def is_id(text: str) -> bool:
    """Whether a customer or a guideline may have it as its own: up to 200 printable characters,
    and none that a path gives a meaning."""
    named = 0 < len(text) <= MAX_ID and text.isprintable() and bool(text.strip())
    return named and text not in (".", "..") and not {*text} & {*"/%?#"}


# --- made up -------------------------------------------------------------------------------------


def new_id(clock: Clock, asked: Creation | None = None) -> str:
    """10 letters and digits at random; under an Idempotency-Key each repeat comes to the same."""
    named = asked.own_key("any") if asked else None
    number = int.from_bytes(hashlib.sha256((named or clock.id()).encode()).digest())
    letters = []
    for _ in range(10):
        number, place = divmod(number, len(_DIGITS))
        letters.append(_DIGITS[place])
    return "".join(letters)


def trace_id(request_id: str) -> str:
    """32 hexadecimal digits: those of the request's own id where it is a UUID."""
    try:
        return UUID(request_id).hex
    except ValueError:
        return hashlib.sha256(request_id.encode()).hexdigest()[:32]
