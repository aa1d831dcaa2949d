"""What Cueline refuses or fails with. Each door maps `code` to its own status and body.

CuelineError
  + InvalidRequest            the request cannot be understood
      + TooLarge              it would not fit into one segment of the log
      + InvalidMessageContent a message is empty or too long
      + InvalidPageKey        not a page key that this list gave out
  + Unauthorized              no key, or a wrong one
  + Forbidden                 the key, or the state of what it names, does not allow this
  + NotFound
      + RouteNotFound
      + AgentNotFound
      + SessionNotFound       never made, deleted, or expired
      + EventNotFound
      + CallNotWaiting        no tool call of this id waits for a decision
  + Conflict
      + AgentExists
      + SessionExists
      + AgentInUse            it still has sessions
      + ManualMode            people answer in this session, not the agent
      + TurnRunning           another turn is being run in this session
  + IdempotencyKeyReused      the same key came with another body
  + TooManyPending            the session has more waiting inputs than it may hold
  + NotBuilt                  a documented feature that this version does not have
  + Unavailable               something that Cueline stands on does not answer
  + ModelError                the model provider failed; its code says how
  + TurnStopped               a turn was ended by a limit, or could not do what it was asked for
"""

import traceback
from typing import ClassVar


class CuelineError(Exception):
    """Base of all. `code` is stable, the message for people; `retryable`: a retry may help."""

    code: ClassVar[str] = "internal_error"
    retryable: bool = False

    @property
    def message(self) -> str:
        return str(self)


class InvalidRequest(CuelineError):
    code = "invalid_request"

    def __init__(self, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class InvalidMessageContent(InvalidRequest):
    code = "invalid_message_content"


class TooLarge(InvalidRequest):
    code = "invalid_message_content"


class InvalidPageKey(InvalidRequest):
    code = "invalid_request"

    def __init__(self) -> None:
        super().__init__("page_key is not one that this list gave out", {"page_key": "unknown"})


class Unauthorized(CuelineError):
    code = "unauthorized"


class Forbidden(CuelineError):
    code = "forbidden"


class NotFound(CuelineError):
    code = "not_found"
    noun: ClassVar[str] = "object"

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no {self.noun} {key!r}.")
        self.key = key


class AgentNotFound(NotFound):
    code = "agent_not_found"
    noun = "agent"


class SessionNotFound(NotFound):
    code = "session_not_found"
    noun = "session"


class EventNotFound(NotFound):
    code = "event_not_found"
    noun = "event"


class CallNotWaiting(NotFound):
    code = "tool_call_not_found"
    noun = "tool call that waits for a decision, or somebody has decided already:"


class RouteNotFound(NotFound):
    noun = "route"


class Conflict(CuelineError):
    code = "conflict"


class AgentExists(Conflict):
    code = "agent_exists"


class SessionExists(Conflict):
    code = "session_exists"


class AgentInUse(Conflict):
    code = "agent_in_use"


class ManualMode(Conflict):
    code = "manual_mode"

    def __init__(self) -> None:
        super().__init__(
            "This session is in manual mode: people answer in it. Give the trigger guidelines, or "
            "set the mode to auto."
        )


class TurnRunning(Conflict):
    """`turn` is its id; `retry_after` is in seconds."""

    code = "turn_running"
    retryable = True

    def __init__(self, message: str, turn: str, retry_after: int) -> None:
        super().__init__(message)
        self.turn, self.retry_after = turn, retry_after


class IdempotencyKeyReused(CuelineError):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another request before; use a new one.")


class TooManyPending(CuelineError):
    code = "rate_limit_exceeded"
    retryable = True


class NotBuilt(CuelineError):
    code = "not_implemented"

    def __init__(self, feature: str) -> None:
        super().__init__(f"{feature} is not built in this version of Cueline.")
        self.feature = feature


class Unavailable(CuelineError):
    code = "unavailable"
    retryable = True


class ModelError(CuelineError):
    """A failed model call. `kind` is the stable code that the log and the callers see:

    model_unauthorized    401, 403: the deployment's key is wrong
    model_rejected        other 4xx: unknown model, wrong parameters
    model_rate_limited    429
    model_unavailable     5xx, or no connection
    model_timeout         no byte within the inactivity limit, or the deadline passed
    model_cut             the stream ended before its end
    model_malformed       an answer that is not in the API's shape
    model_refused         stopped by the provider's content filter
    context_limit_exceeded  the conversation does not fit into the model's window
    """

    code = "model_error"

    def __init__(
        self, kind: str, message: str, *, retryable: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.retryable, self.retry_after = kind, retryable, retry_after


class TurnStopped(CuelineError):
    """`kind` is the stable code that the log and the callers see:

    limit_...             of the turn, the session, or the key's day: see `engine.steps`
    tool_loop             the same call gave the same output again and again
    tool_calls_invalid    the model calls only what there is not, or not so
    output_invalid        the answer does not fit its schema, however often it is asked for
    step_transition_limit_exceeded  the agent's steps go round in circles
    compaction_failed     the conversation could not be summed up; it is as it was
    nothing_to_compact    nothing has ended that a summary could stand for
    call_not_waiting      what was decided on has ended, with others, before its turn came
    """

    code = "turn_stopped"
    KINDS: ClassVar[frozenset[str]] = frozenset(
        {
            "tool_loop",
            "tool_calls_invalid",
            "output_invalid",
            "step_transition_limit_exceeded",
            "compaction_failed",
            "nothing_to_compact",
            "call_not_waiting",
        }
    )
    """But for the limits, whose codes all begin alike."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @classmethod
    def has(cls, kind: str) -> bool:
        """Whether it is one of these kinds."""
        return kind in cls.KINDS or kind.startswith("limit_")


def unexpected(error: BaseException) -> dict[str, str | list[str]]:
    """A bug as log fields: what and where, but no message, which may carry what a user said."""
    frames = traceback.extract_tb(error.__traceback__)
    at = [f"{frame.filename}:{frame.lineno}" for frame in frames]
    found: dict[str, str | list[str]] = {"error": type(error).__name__, "at": at}
    if fields := _fields(error):
        found["fields"] = fields
    return found


def _fields(error: BaseException) -> list[str]:
    """What of a model does not fit, above all of the settings, and nothing of what was given."""
    from pydantic import ValidationError  # there already, where anything is a model

    if not isinstance(error, ValidationError):
        return []
    places = [map(str, one["loc"]) for one in error.errors(include_url=False, include_input=False)]
    # Keys of mappings stand there too, and may be anybody's words.
    return [".".join(p if p.isidentifier() or p.isdigit() else "?" for p in one) for one in places]
