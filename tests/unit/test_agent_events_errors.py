"""Every error has one status, one code, and one body."""

import pytest

from cueline import errors
from cueline.doors.agent_events.errors import STATUS, error_answer


def kinds(base: type[errors.CuelineError]) -> list[type[errors.CuelineError]]:
    """Without those that other doors have for themselves."""
    own = [base] if base.__module__ == errors.__name__ else []
    return [*own, *(kind for sub in base.__subclasses__() for kind in kinds(sub))]


@pytest.mark.parametrize("kind", kinds(errors.CuelineError))
def test_every_error_of_ours_has_a_status(kind: type[errors.CuelineError]) -> None:
    assert kind.code in {*STATUS, "internal_error", "model_error"}


def test_a_bad_request_names_its_fields() -> None:
    answer = error_answer(errors.InvalidRequest("No.", {"name": "is required"}), "r1")
    assert (answer.status, answer.headers) == (400, {"x-request-id": "r1"})
    assert answer.body == {
        "messages": ["No."],
        "code": "invalid_request",
        "request_id": "r1",
        "retryable": False,
        "field_errors": {"name": "is required"},
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidMessageContent("x"), 400, "invalid_message_content"),
        (errors.TooLarge("x"), 400, "invalid_message_content"),
        (errors.Unauthorized("x"), 401, "unauthorized"),
        (errors.Forbidden("x"), 403, "forbidden"),
        (errors.AgentNotFound("x"), 404, "agent_not_found"),
        (errors.SessionNotFound("x"), 404, "session_not_found"),
        (errors.EventNotFound("x"), 404, "event_not_found"),
        (errors.AgentInUse("x"), 409, "agent_in_use"),
        (errors.TooManyPending("x"), 429, "rate_limit_exceeded"),
        (errors.NotBuilt("x"), 501, "not_implemented"),
        (errors.Unavailable("x"), 503, "unavailable"),
        (errors.CuelineError("x"), 500, "internal_error"),
        (ValueError("x"), 500, "internal_error"),
    ],
)
def test_the_seed_s_codes_have_their_statuses(error: Exception, status: int, code: str) -> None:
    answer = error_answer(error, "r")
    assert (answer.status, answer.body["code"]) == (status, code)


def test_what_is_missing_is_named() -> None:
    assert error_answer(errors.SessionNotFound("s"), "r").body["id"] == "s"


def test_a_running_turn_is_named_and_says_when_to_come_back() -> None:
    answer = error_answer(errors.TurnRunning("Busy.", turn="t1", retry_after=5), "r")
    assert (answer.status, answer.headers["retry-after"]) == (409, "5")
    assert (answer.body["running_turn_id"], answer.body["retryable"]) == ("t1", True)


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (2.1, "3")])
def test_a_failed_model_call_is_a_failed_turn_with_its_cause(seconds: float, header: str) -> None:
    error = errors.ModelError("model_rate_limited", "Slow.", retryable=True, retry_after=seconds)
    answer = error_answer(error, "r")
    assert (answer.status, answer.body["code"]) == (500, "agent_processing_failed")
    assert (answer.body["cause"], answer.headers["retry-after"]) == ("model_rate_limited", header)


def test_an_unknown_error_shows_nothing_of_itself() -> None:
    assert "hush" not in str(error_answer(RuntimeError("hush"), "r"))
    assert "hush" not in str(error_answer(errors.CuelineError("hush"), "r"))
