"""What the door's REST half answers when something is refused or fails: one table, one body."""

from typing import Any

from cueline.doors.shared import ErrorAnswer
from cueline.errors import CuelineError, InvalidRequest, NotFound

STATUS = {
    "invalid_request": 422,
    "invalid_message_content": 422,
    "not_implemented": 422,
    "idempotency_key_reused": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "connection_not_found": 404,
    "agent_not_found": 404,
    "session_not_found": 404,
    "event_not_found": 404,
    "conflict": 409,
    "session_exists": 409,
    "rate_limit_exceeded": 429,
    "unavailable": 503,
}
"""Error code to HTTP status; any other code is a 500 that tells nothing."""

RETRY_AFTER = 5
"""Seconds after which a caller who was turned away may come again."""


class ConnectionNotFound(NotFound):
    """Never made, ended, or expired."""

    code = "connection_not_found"
    noun = "connection"


def error_answer(error: Exception, request_id: str) -> ErrorAnswer:
    """The answer for any exception; one that is not a CuelineError shows nothing of itself."""
    if not isinstance(error, CuelineError) or error.code not in STATUS:
        error = CuelineError("Something failed inside Cueline. It has been logged.")
    status = STATUS.get(error.code, 500)
    body: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "request_id": request_id,
    }
    if isinstance(error, InvalidRequest) and error.fields:
        body["fields"] = error.fields
    headers = {"x-request-id": request_id}
    if status in {429, 503}:
        headers["retry-after"] = str(RETRY_AFTER)
    return ErrorAnswer(status, body, headers)
