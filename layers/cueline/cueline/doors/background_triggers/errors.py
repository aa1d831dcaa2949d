"""What the door answers when something is refused or fails: a status, a message, and a code.

The published client repeats every request that was answered with 429, 500, 502, 503 or 504, three
times within two seconds: only what may pass so soon, or cannot be helped, is answered like that.
"""

from cueline.doors.shared import ErrorAnswer
from cueline.errors import Conflict, CuelineError, InvalidRequest, NotFound

STATUS = {
    "invalid_request": (400, "BAD_REQUEST"),
    "invalid_message_content": (400, "BAD_REQUEST"),
    "not_implemented": (400, "BAD_REQUEST"),
    "unauthorized": (401, "NOT_AUTHENTICATED"),
    "forbidden": (403, "NOT_AUTHORIZED"),
    "not_found": (404, "NOT_FOUND"),
    "agent_not_found": (404, "NOT_FOUND"),
    "session_not_found": (404, "NOT_FOUND"),
    "event_not_found": (404, "NOT_FOUND"),
    "tool_call_not_found": (404, "NOT_FOUND"),
    "method_not_allowed": (405, "METHOD_NOT_ALLOWED"),
    "conflict": (409, "CONFLICT"),
    "agent_exists": (409, "CONFLICT"),
    "session_exists": (409, "CONFLICT"),
    "agent_in_use": (409, "CONFLICT"),
    "turn_running": (409, "CONFLICT"),
    "turn_stopped": (409, "CONFLICT"),
    "manual_mode": (409, "CONFLICT"),
    "idempotency_key_reused": (409, "CONFLICT"),
    "content_too_large": (413, "CONTENT_TOO_LARGE"),
    "rate_limit_exceeded": (429, "LIMITS_REACHED"),
    "unavailable": (503, "SERVICE_UNAVAILABLE"),
}
"""Error code to HTTP status and the code that the client knows; any other is a 500 that tells
nothing."""

RETRY_AFTER = 5
"""Seconds after which a caller who was turned away may come again."""


class TriggerNotFound(NotFound):
    noun = "trigger"


class RunNotFound(NotFound):
    noun = "execution"


class ContactNotFound(NotFound):
    noun = "contact"


class MessageNotFound(NotFound):
    noun = "message"


class NoAgent(Conflict):
    """The trigger has none."""


class AgentGone(NoAgent):
    """It is not there any more."""


class ContentTooLarge(InvalidRequest):
    code = "content_too_large"


def error_answer(error: Exception, request_id: str) -> ErrorAnswer:
    """The answer for any exception; one that is not a CuelineError shows nothing of itself."""
    headers = {"x-request-id": request_id}
    if not isinstance(error, CuelineError) or error.code not in STATUS:
        why = "Something failed inside Cueline. It has been logged."
        return ErrorAnswer(500, {"message": why, "code": "INTERNAL_SERVER_ERROR"}, headers)
    status, code = STATUS[error.code]
    if status in {429, 503}:
        headers["retry-after"] = str(RETRY_AFTER)
    if status in {403, 429}:
        headers["x-failure-code"] = code
    return ErrorAnswer(status, {"message": error.message, "code": code}, headers)
