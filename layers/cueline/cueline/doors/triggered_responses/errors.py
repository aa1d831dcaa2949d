"""What the door answers when something is refused or fails: a status, and `detail`, which says why.

The JavaScript client repeats every request that was answered with 408, 429, 500 or above, whatever
it was: so nothing that must not happen twice may be answered like that once it is accepted.
"""

from collections.abc import Sequence
from typing import Any

from cueline.doors.shared import ErrorAnswer
from cueline.errors import CuelineError, InvalidRequest

STATUS = {
    "invalid_request": 422,
    "invalid_message_content": 422,
    "idempotency_key_reused": 422,
    "not_implemented": 422,
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
    "turn_running": 409,
    "turn_stopped": 409,
    "manual_mode": 409,
    "rate_limit_exceeded": 429,
    "unavailable": 503,
}
"""Error code to HTTP status; any other code is a 500 that tells nothing."""

RETRY_AFTER = 5
"""Seconds after which a caller who was turned away may come again."""


class Unprocessable(InvalidRequest):
    """A request that does not fit its schema; each problem has `type`, `loc` and `msg`, and maybe
    `input` and `ctx`, as the published clients know them."""

    def __init__(self, problems: Sequence[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(problem["msg"]) for problem in problems[:3]))
        self.problems = problems


def wrong(place: Sequence[str | int], message: str, kind: str = "value_error") -> Unprocessable:
    """The error of one field; `place` begins with `body` or `query`."""
    return Unprocessable([{"type": kind, "loc": [*place], "msg": message}])


def error_answer(error: Exception, request_id: str) -> ErrorAnswer:
    """The answer for any exception; one that is not a CuelineError shows nothing of itself."""
    if not isinstance(error, CuelineError) or error.code not in STATUS:
        why: Any = "Something failed inside Cueline. It has been logged."
        return ErrorAnswer(500, {"detail": why}, {"x-request-id": request_id})
    status = STATUS[error.code]
    headers = {"x-request-id": request_id}
    if status in {429, 503}:
        headers["retry-after"] = str(RETRY_AFTER)
    why = list(error.problems) if isinstance(error, Unprocessable) else error.message
    return ErrorAnswer(status, {"detail": why}, headers)
