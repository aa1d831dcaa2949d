"""The one answer to each command: that it is taken, and how; or why it is not, and what to do."""

from typing import Any

from cueline.doors.client_commands.frames import Fields, frame, shown_settings
from cueline.doors.client_commands.wire import Command, CommandError, Refusal
from cueline.doors.shared import timestamp
from cueline.engine.accept import Accepted, Repeated
from cueline.engine.settings import Changed
from cueline.errors import CuelineError
from cueline.log.events import Input, Posted, event_id
from cueline.log.segment import Session
from cueline.log.state import State, due, next_batch, offsets

_REFUSALS: dict[str, tuple[Refusal, str | None]] = {
    "invalid_message_content": ("too_large", "data"),
    "idempotency_key_reused": ("command_id_reused", "command_id"),
    "rate_limit_exceeded": ("too_many_pending", None),
    "session_not_found": ("session_not_found", None),
    "event_not_found": ("session_not_found", None),
    "unavailable": ("unavailable", None),
}
"""The engine's code to what the client is told, and which field is to blame; any other code tells
nothing of itself."""
_MESSAGES: dict[Refusal, str] = {
    "command_id_reused": "This command_id came with another command in this session before. Choose "
    "a new one for each command, such as a random UUID.",
    "too_many_pending": "Too many messages wait for their answers in this session. Send this one "
    "again when some of them have been answered.",
    "session_not_found": "This session was deleted, or has expired. Create a new connection.",
    "unavailable": "Something that Cueline stands on does not answer. Send the command again, with "
    "the same command_id: without one it may be taken twice.",
    "internal_error": "Something failed inside Cueline; it has been logged. Send the command "
    "again, with the same command_id: without one it may be taken twice.",
}
"""Where the error's own message is written for other doors."""
_RETRYABLE = frozenset({"too_many_pending", "unavailable", "internal_error"})


def pong(command: Command, now: int) -> str:
    return frame("pong", {**_named(command.id), "server_time": timestamp(now)})


def refused(error: Exception, command_id: str | None) -> str:
    """The answer for any exception; one that nobody foresaw shows nothing of itself."""
    refusal, param, message = _refusal(error)
    retryable = error.retryable if isinstance(error, CommandError) else refusal in _RETRYABLE
    return frame(
        "command_error",
        {
            **_named(command_id),
            "code": refusal,
            "message": message,
            "param": param,
            "retryable": retryable,
        },
    )


def refusal_of(error: Exception) -> Refusal:
    return _refusal(error)[0]


def _refusal(error: Exception) -> tuple[Refusal, str | None, str]:
    if isinstance(error, CommandError):
        return error.refusal, error.param, error.message
    code = error.code if isinstance(error, CuelineError) else ""
    refusal, param = _REFUSALS.get(code, ("internal_error", None))
    return refusal, param, _MESSAGES.get(refusal) or str(error)


# --- what was taken ------------------------------------------------------------------------------


def said(command: Command, session: Session, accepted: Accepted | Repeated) -> str:
    """Of a message, by what became of it in the log."""
    item = event_id(session.id, session.incarnation, accepted.offset)
    became = {"status": "duplicate"} if isinstance(accepted, Repeated) else _became(accepted)
    return _ack(command, accepted.offset, became, item_id=item)


def changed(command: Command, change: Changed) -> str:
    """Of settings: all of them, as they were right after this command."""
    status = {"status": "duplicate" if change.repeated else "applied"}
    settings = shown_settings(change.settings, instructions=True)
    return _ack(command, change.offset, status, settings=settings)


def resumes(command: Command, offset: int) -> str:
    return _ack(command, offset, {"status": "applied"})


def _became(accepted: Accepted) -> Fields:
    event = accepted.segment.events[accepted.offset - accepted.segment.at]
    if isinstance(event, Posted):
        return {"status": "accepted", "answered_by": "people"}
    if isinstance(event, Input) and event.policy == "silent":
        return {"status": "applied"}
    place = _place(accepted.head.state, accepted.offset, accepted.segment.written_at)
    return {"status": "queued", "queue_position": place} if place else {"status": "accepted"}


def _place(state: State, offset: int, now: int) -> int:
    """How manieth of those who wait for an answer it is, from 1; 0 where it waits for none of
    them: the next turn answers it, and can begin. Those that stand aside do not count."""
    if not state.open and offset in offsets(next_batch(state, now)):
        return 0
    return 1 + sum(i.asks and i.offset < offset for i in due(state, now))


def _ack(command: Command, offset: int, became: Fields, **more: Any) -> str:
    told = {**_named(command.id), "type": command.type, **became, "offset": offset, **more}
    return frame("command_ack", told)


def _named(command_id: str | None) -> Fields:
    return {} if command_id is None else {"command_id": command_id}
