"""What the door answers when something is refused or fails: one table, one body."""

import math
from typing import Any

from cueline.doors.shared import MAX_ECHO, ErrorAnswer
from cueline.errors import (
    CuelineError,
    InvalidRequest,
    ModelError,
    NotFound,
    TurnRunning,
    TurnStopped,
)

STATUS = {
    "invalid_request": 400,
    "invalid_message_content": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "agent_not_found": 404,
    "session_not_found": 404,
    "event_not_found": 404,
    "tool_call_not_found": 404,
    "conflict": 409,
    "agent_exists": 409,
    "session_exists": 409,
    "agent_in_use": 409,
    "manual_mode": 409,
    "turn_running": 409,
    "idempotency_key_reused": 422,
    "turn_stopped": 422,
    "rate_limit_exceeded": 429,
    "agent_processing_failed": 500,
    "not_implemented": 501,
    "unavailable": 503,
}
"""Error code to HTTP status; any other code is a 500 that tells nothing."""


def error_answer(error: Exception, request_id: str) -> ErrorAnswer:
    """The answer for any exception; one that is not a CuelineError shows nothing of itself."""
    if isinstance(error, ModelError):
        return _answer(
            "agent_processing_failed", error, request_id, {"cause": error.kind}, error.retry_after
        )
    if isinstance(error, TurnStopped):
        return _answer(error.code, error, request_id, {"cause": error.kind})
    if not isinstance(error, CuelineError) or error.code not in STATUS:
        unknown = CuelineError("Something failed inside Cueline. It has been logged.")
        return _answer("internal_error", unknown, request_id, {})
    if isinstance(error, TurnRunning):
        more: dict[str, Any] = {"running_turn_id": error.turn} if error.turn else {}
        return _answer(error.code, error, request_id, more, error.retry_after)
    if isinstance(error, NotFound):
        return _answer(error.code, error, request_id, {"id": error.key[:MAX_ECHO]})
    if isinstance(error, InvalidRequest):
        fields = {"field_errors": error.fields} if error.fields else {}
        return _answer(error.code, error, request_id, fields)
    return _answer(error.code, error, request_id, {})


def _answer(
    code: str,
    error: CuelineError,
    request_id: str,
    more: dict[str, Any],
    retry_after: float | None = None,
) -> ErrorAnswer:
    body = {
        "messages": [error.message],
        "code": code,
        "request_id": request_id,
        "retryable": error.retryable,
        **more,
    }
    headers = {"x-request-id": request_id}
    if retry_after is not None:
        # Whole seconds, and the published clients read 0 as absent.
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
    return ErrorAnswer(STATUS.get(code, 500), body, headers)
