"""Door 2's events, through both of its functions: what is posted, and what becomes of it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cueline.doors.triggered_responses import posting
from cueline.doors.triggered_responses.calls import Call
from cueline.engine import sessions
from cueline.engine.failures import Failures
from cueline.engine.marks import mark_event
from cueline.engine.model import End, TextDelta
from cueline.engine.modes import change_mode
from cueline.engine.ports import WakeUp
from cueline.errors import Unavailable
from cueline.log.events import Input, Posted, TriggerScheduled, TurnBegan
from cueline.log.segment import Session
from cueline.log.triggers import SILENCE
from tests.functions.triggering import (
    GUIDED,
    HELLO,
    PATH,
    SESSION,
    TRIGGER,
    Stack,
    short,
    stack,
)
from tests.models import refused

__all__ = ["stack"]

PERSON = {"kind": "message", "source": "human_agent", "message": "I help."}
WHOLE_TURN = ["acknowledged", "processing", "typing", "ok", "ready"]


def session_of(stack: Stack) -> Session:
    found = stack.ports.log.tail(SESSION).session
    assert found
    return found


def changed(stack: Stack, **fields: Any) -> None:
    sessions.update(stack.ports, "a", "s", lambda session: replace(session, **fields))


def failing_once(monkeypatch: pytest.MonkeyPatch, stack: Stack, name: str, *, done: bool) -> None:
    """The log's next call of this name is Unavailable; `done` says whether it was done."""
    log = type(stack.ports.log)
    call: Callable[..., Any] = getattr(log, name)

    def lost(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(log, name, call)
        if done:
            call(*args, **more)
        raise Unavailable("The answer is lost.")

    monkeypatch.setattr(log, name, lost)


# --- what the customer says ----------------------------------------------------------------------


def test_a_message_is_answered_at_once_and_its_turn_told_step_by_step(stack: Stack) -> None:
    with stack.working():
        said = stack.post({**HELLO, "metadata": {"m": 1}})
        assert said["data"] == {
            "message": "Hello",
            "participant": {"id": "c1", "display_name": "Alice"},
            "flagged": False,
            "tags": [],
        }
        assert (said["source"], said["kind"], said["offset"]) == ("customer", "message", 0)
        assert said["metadata"] == {"m": 1}
        stack.until(lambda: "ready" in stack.told(said["trace_id"]))
    assert stack.told(said["trace_id"]) == ["Hello", *WHOLE_TURN]
    assert stack.listed()[0] == said
    assert len({one["trace_id"] for one in stack.listed()}) == 1


def test_a_new_message_cancels_the_running_turn(stack: Stack) -> None:
    stack.model.before = lambda: stack.hold.wait(10)
    with stack.working():
        first = stack.post(HELLO)
        stack.until(lambda: stack.events(TurnBegan))
        second = stack.post({**HELLO, "message": "No, wait!"})
        stack.hold.set()
        stack.until(lambda: "ready" in stack.told(second["trace_id"]))
    assert stack.told(first["trace_id"]) == [
        "Hello",
        "acknowledged",
        "processing",
        "cancelled",
        "ready",
    ]
    assert stack.told(second["trace_id"]) == ["No, wait!", *WHOLE_TURN]


@pytest.mark.parametrize(
    ("customer", "participant"),
    [
        ("guest", {"id": "guest", "display_name": "Guest"}),
        ("c1", {"id": "c1", "display_name": "Alice"}),
    ],
)
def test_the_customer_of_the_session_speaks(
    stack: Stack, customer: str, participant: dict[str, str]
) -> None:
    changed(stack, customer=customer)
    assert stack.post(HELLO)["data"]["participant"] == participant


def test_a_customer_who_is_gone_gets_an_error_and_no_silence(stack: Stack) -> None:
    stack.ports.customers.remove("c1")
    with stack.working():
        said = stack.post(HELLO)
        assert said["data"]["participant"] == {"id": "c1", "display_name": "c1"}
        assert stack.told(said["trace_id"]) == ["Hello", "acknowledged", "error", "ready"]
        guided = stack.post(GUIDED)
        assert stack.told(guided["trace_id"]) == ["acknowledged", "error", "ready"]
    error = next(e for e in stack.listed() if short(e) == "error")["data"]["data"]
    assert error["code"] == "customer_not_found"
    assert "'c1'" in error["exception"]
    assert stack.model.asked == []


def test_an_agent_that_is_gone_gets_an_error_too_and_no_trigger(stack: Stack) -> None:
    stack.ports.agents.delete("a")
    assert stack.ask("POST", PATH, TRIGGER).status == 404
    assert stack.log() == []
    with stack.working():
        said = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(said["trace_id"]))
    told = stack.told(said["trace_id"])
    assert told[:2] == ["Hello", "acknowledged"]
    assert told[-2:] == ["error", "ready"]


def test_a_failed_model_is_an_error_without_a_traceback(stack: Stack) -> None:
    stack.model.scripts = [[refused()]]
    with stack.working():
        said = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(said["trace_id"]))
    error = next(e for e in stack.listed() if short(e) == "error")["data"]["data"]
    assert error == {"exception": "No.", "code": "model_unauthorized", "retryable": False}
    assert stack.told(said["trace_id"])[-2:] == ["error", "ready"]


def test_who_says_the_same_again_after_a_failure_is_answered(stack: Stack) -> None:
    stack.model.scripts = [[refused()]]
    with stack.working():
        first = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(first["trace_id"]))
        again = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(again["trace_id"]))
    assert stack.told(again["trace_id"]) == ["Hello", *WHOLE_TURN]


# --- triggers ------------------------------------------------------------------------------------


def test_a_trigger_is_acknowledged_at_once_and_its_message_follows(stack: Stack) -> None:
    with stack.working():
        told = stack.post({**TRIGGER, "metadata": {"m": 1}})
        assert (told["source"], short(told)) == ("ai_agent", "acknowledged")
        assert told["metadata"] == {"m": 1}
        stack.until(lambda: "ready" in stack.told(told["trace_id"]))
    assert stack.told(told["trace_id"]) == WHOLE_TURN


def test_a_guided_trigger_is_answered_with_what_the_agent_says(stack: Stack) -> None:
    with stack.working():
        said = stack.post(GUIDED)
        assert said["data"] == {
            "message": "ok",
            "participant": {"id": "a", "display_name": "Support"},
        }
        stack.until(lambda: "ready" in stack.told(said["trace_id"]))
    assert stack.told(said["trace_id"]) == WHOLE_TURN
    assert "Ask if they are still there." in str(stack.model.asked[0])


@pytest.mark.parametrize("scripts", [[[TextDelta(SILENCE), End("stop")]], [[refused()]]])
def test_a_guided_trigger_that_says_nothing_is_201_with_its_status(
    stack: Stack, scripts: Any
) -> None:
    stack.model.scripts = scripts
    with stack.working():
        told = stack.post(GUIDED)
        assert short(told) == "acknowledged"
        assert stack.told(told["trace_id"])[-1] == "ready"
    assert not [e for e in stack.listed() if e["kind"] == "message"]


def test_a_guided_trigger_that_takes_long_is_201_and_its_message_follows(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(
        ports=stack.ports,
        request_id="00000000-0000-0000-0000-000000000001",
        caller="k",
        path={"session_id": SESSION},
        query={},
        headers={"content-type": "application/json"},
        body=json.dumps(GUIDED),
    )
    stack.model.before = lambda: stack.hold.wait(10)
    with stack.working():
        told = posting.post_event(call, wait=0.3)
        assert short(told) == "acknowledged"
        stack.hold.set()
        stack.until(lambda: "ready" in stack.told(told["trace_id"]))
    assert stack.told(told["trace_id"]) == WHOLE_TURN


def test_what_fails_after_a_trigger_was_taken_in_is_no_failure_of_the_trigger(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, stack, "segment", done=False)
    assert short(stack.post(GUIDED)) == "acknowledged"
    assert len(stack.events(Input)) == 1


@pytest.mark.parametrize("body", [HELLO, TRIGGER, GUIDED])
def test_a_repeat_after_a_lost_answer_is_one_input_with_the_same_answer(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    """As the JavaScript client repeats whatever it got a 5xx for."""
    failing_once(monkeypatch, stack, "append", done=True)
    lost = stack.ask("POST", PATH, body)
    assert lost.status == 503
    assert lost.headers["retry-after"]
    with stack.working():
        first, second = stack.post(body), stack.post(body)
        assert first == second
        stack.until(lambda: "ready" in stack.told(first["trace_id"]))
    assert len(stack.events(Input)) == 1
    assert len(stack.listed(source="ai_agent", kinds="message")) == 1


def test_a_trigger_that_comes_again_after_it_was_heard_speaks_once(stack: Stack) -> None:
    with stack.working():
        said = stack.post(GUIDED)
        stack.until(lambda: "ready" in stack.told(said["trace_id"]))
        assert stack.post(GUIDED) == said
    assert len(stack.events(Input)) == 1


def test_whoever_sends_a_key_says_what_is_a_repeat(stack: Stack) -> None:
    person = {**PERSON, "participant": {"display_name": "Eve"}}
    for n, body in enumerate((HELLO, TRIGGER, {**GUIDED, "delay_seconds": 900}, person)):
        said = stack.post(body, headers={"idempotency-key": f"{n}"})
        assert stack.post(body, headers={"idempotency-key": f"{n}"}) == said
        other = stack.post(body, headers={"idempotency-key": f"{n} again".replace(" ", "-")})
        assert other["offset"] > said["offset"]
    reused = stack.ask("POST", PATH, HELLO, headers={"idempotency-key": "1"})
    assert reused.status == 422
    assert "Idempotency-Key" in reused.json["detail"]


def test_who_buys_time_is_heard_before_the_answer(stack: Stack) -> None:
    answers = iter([stack.hold])
    stack.model.before = lambda: (held := next(answers, None)) and held.wait(10)
    stack.model.scripts = [
        [TextDelta("The answer."), End("stop")],
        [TextDelta("One moment."), End("stop")],
    ]
    aside = {**TRIGGER, "guidelines": [{"action": "Say hold on.", "rationale": "buy_time"}]}
    with stack.working():
        asked = stack.post(HELLO)
        stack.until(lambda: stack.model.asked)
        said = stack.post(aside)
        assert said["data"]["message"] == "One moment."
        stack.hold.set()
        stack.until(lambda: "ready" in stack.told(asked["trace_id"]))
    texts = [short(e) for e in stack.listed(source="ai_agent", kinds="message")]
    assert texts == ["One moment.", "The answer."]


def test_a_trigger_may_come_later(stack: Stack) -> None:
    with stack.working():
        told = stack.post({**GUIDED, "delay_seconds": 1, "metadata": {"m": 1}})
        assert short(told) == "acknowledged"
        assert told["metadata"] == {"m": 1}
        due = stack.events(TriggerScheduled)[0].due
        assert told["data"]["data"]["scheduled_at"].startswith("20")
        assert stack.post({**GUIDED, "delay_seconds": 1, "metadata": {"m": 1}}) == told
        stack.until(lambda: stack.listed(kinds="message"))
    assert time.time() * 1000 >= due
    assert len(stack.listed(kinds="message")) == 1


# --- what fails ----------------------------------------------------------------------------------


def test_what_no_worker_could_work_off_is_told_under_its_own_trace(stack: Stack) -> None:
    said = stack.post(HELLO)
    asked = stack.post({**GUIDED, "delay_seconds": 60})
    failures, head = Failures(stack.ports, 0), stack.ports.log.tail(SESSION).head
    for waited in (None, (head.incarnation, head.at)):
        timer = (head.incarnation, asked["offset"])
        failures.handle(WakeUp(SESSION, waited=waited, triggers=timer), "worker")
    assert stack.told(said["trace_id"]) == ["Hello", "acknowledged", "error", "ready"]
    planned = stack.events(Input)[1].trace
    assert stack.told(planned) == ["acknowledged", "error", "ready"]
    assert stack.listed(trace_id="worker") == []


# --- people --------------------------------------------------------------------------------------


def test_in_manual_mode_people_answer_and_only_guided_triggers_speak(stack: Stack) -> None:
    change_mode(stack.ports, session_of(stack), "manual", "trace")
    with stack.working():
        said = stack.post(HELLO)
        assert (said["source"], said["data"]["message"]) == ("customer", "Hello")
        refused = stack.ask("POST", PATH, TRIGGER)
        assert refused.status == 409
        assert "manual" in refused.json["detail"]
        stack.post({**PERSON, "participant": {"display_name": "Eve"}})
        assert stack.post(GUIDED)["data"]["message"] == "ok"
    told = [short(e) for e in stack.listed(kinds="message")]
    assert told == ["Hello", "I help.", "ok"]
    assert len(stack.events(Input)) == 1
    assert len(stack.model.asked) == 1


def test_what_people_and_applications_post_is_shown_as_they_posted_it(stack: Stack) -> None:
    on_behalf = "human_agent_on_behalf_of_ai_agent"
    bodies: list[dict[str, Any]] = [
        {**PERSON, "participant": {"id": "e", "display_name": "Eve"}},
        {"kind": "message", "source": on_behalf, "message": "I help."},
        {"kind": "status", "source": "human_agent", "status": "typing", "data": {"a": 1}},
        {"kind": "status", "source": "customer_ui", "status": "ready"},
        {"kind": "custom", "source": "system", "data": "text", "metadata": {"m": 1}},
    ]
    for body in bodies:
        told = stack.post(body)
        assert (told["source"], told["kind"]) == (body["source"], body["kind"])
    assert [e["data"] for e in stack.listed()] == [
        {"message": "I help.", "participant": {"id": "e", "display_name": "Eve"}},
        {"message": "I help.", "participant": {"id": "a", "display_name": "Support"}},
        {"status": "typing", "data": {"a": 1}},
        {"status": "ready", "data": {}},
        "text",
    ]
    assert len(stack.events(Posted)) == len(bodies)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({**TRIGGER, "message": "x"}, {}),
        ({**HELLO, "message": ""}, {}),
        ({"kind": "tool", "source": "ai_agent", "data": {"a": 1}}, {}),
        (PERSON, {}),
        (HELLO, {"query": {"moderation": "auto"}}),
        (HELLO, {"query": {"moderation": "paranoid"}}),
        (HELLO, {"headers": {"idempotency-key": "with spaces"}}),
        ({"kind": "custom", "source": "system", "data": 400_000 * "x"}, {}),
    ],
)
def test_what_is_refused_says_why_and_leaves_no_trace(
    stack: Stack, body: dict[str, Any], more: dict[str, Any]
) -> None:
    answer = stack.ask("POST", PATH, body, **more)
    assert answer.status == 422
    assert isinstance(answer.json["detail"], str)
    assert stack.log() == []


@pytest.mark.parametrize(
    ("body", "more", "place"),
    [
        ({"kind": "zzz", "source": "customer"}, {}, ["body", "kind"]),
        (HELLO, {"query": {"moderation": "zzz"}}, ["query", "moderation"]),
        ("", {}, ["body", "kind"]),
        ("{", {}, ["body"]),
        ("[]", {}, ["body"]),
        ('{"message": "' + 1_100_000 * "x", {}, ["body"]),
        ("[" * 50_000, {}, ["body"]),
        (HELLO, {"headers": {"content-type": "text/plain"}}, ["body"]),
    ],
)
def test_what_does_not_fit_the_schema_says_where(
    stack: Stack, body: Any, more: dict[str, Any], place: list[str]
) -> None:
    answer = stack.ask("POST", PATH, body, **more)
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == place
    assert stack.log() == []


@pytest.mark.parametrize("session", ["a.nobody", "nobody.s", "nope", "a.s.t", "%2e"])
def test_an_unknown_session_is_404_everywhere(stack: Stack, session: str) -> None:
    path = f"/sessions/{session}/events"
    for answer in (
        stack.ask("POST", path, HELLO),
        stack.ask("DELETE", path, query={"min_offset": "0"}),
        stack.ask("GET", path + "/aev_x"),
        stack.ask("PATCH", path + "/aev_x", {"metadata": {}}),
    ):
        assert answer.status == 404
        assert isinstance(answer.json["detail"], str)
    waiting = stack.client.get(path, params={"wait_for_data": 60})
    assert waiting.status_code == 404
    assert stack.client.get(path, params={"sse": "true"}).status_code == 404


def test_what_is_disabled_takes_nothing(stack: Stack) -> None:
    agent = stack.ports.agents.get("a")
    off = agent.model_copy(update={"enabled": False, "version": agent.version + 1})
    assert stack.ports.agents.replace(off)
    assert stack.ask("POST", PATH, HELLO).status == 403
    assert stack.ask("POST", PATH, TRIGGER).status == 403
    assert stack.post({"kind": "custom", "source": "system", "data": 1})
    changed(stack, enabled=False)
    assert stack.ask("POST", PATH, {"kind": "custom", "source": "system", "data": 1}).status == 403


def test_a_session_that_is_full_is_429(stack: Stack) -> None:
    for n in range(100):
        stack.post({**TRIGGER, "metadata": {"n": n}})
    full = stack.ask("POST", PATH, TRIGGER)
    assert full.status == 429
    assert full.headers["retry-after"]


# --- one event -----------------------------------------------------------------------------------


def test_an_event_is_read_by_its_id(stack: Stack) -> None:
    said = stack.post(HELLO)
    query = {"wait_for_completion": "true", "wait_for_data": "5"}
    answer = stack.ask("GET", f"{PATH}/{said['id']}", query=query)
    assert (answer.status, answer.json) == (200, said)


def test_an_event_may_be_read_as_a_stream_of_one(stack: Stack) -> None:
    said = stack.post(HELLO)
    answer = stack.ask("GET", f"{PATH}/{said['id']}", query={"sse": "true"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.endswith("\n\n")
    assert json.loads(answer.text.removeprefix("data: ")) == said


def test_ids_of_elsewhere_and_of_what_is_not_shown_are_404(stack: Stack) -> None:
    said = stack.post(HELLO)
    place, _, _ = said["id"].rpartition("_")
    change_mode(stack.ports, session_of(stack), "manual", "trace")
    sessions.create(stack.ports, Session("a", "t", 0, "T", 0), "trace")
    hidden = f"{place}_2"
    for session, one in ((SESSION, "aev_x"), (SESSION, f"{place}_ff"), ("a.t", said["id"])):
        for answer in (
            stack.ask("GET", f"/sessions/{session}/events/{one}"),
            stack.ask("PATCH", f"/sessions/{session}/events/{one}", {"metadata": {"set": {}}}),
        ):
            assert answer.status == 404
    assert stack.ask("GET", f"{PATH}/{hidden}").status == 404


@pytest.mark.parametrize("mark", ["hidden", "erased"])
def test_a_deleted_event_is_there_without_its_words_and_is_not_changed(
    stack: Stack, mark: Any
) -> None:
    said = stack.post({**PERSON, "participant": {"display_name": "Eve"}, "metadata": {"m": 1}})
    mark_event(stack.ports, session_of(stack), said["offset"], mark, "trace")
    gone = stack.ask("GET", f"{PATH}/{said['id']}").json
    assert gone["deleted"] is True
    assert gone["metadata"] == {}
    assert "I help" not in str(gone)
    assert "Eve" not in str(gone)
    edit = {"metadata": {"set": {"a": 1}}}
    assert stack.ask("PATCH", f"{PATH}/{said['id']}", edit).status == 404
    assert stack.listed() == []


def test_metadata_of_an_event_is_set_and_unset(stack: Stack) -> None:
    said = stack.post({**TRIGGER, "metadata": {"a": 1, "b": 2}})
    path = f"{PATH}/{said['id']}"
    for edit, metadata in (
        ({"set": {"a": 3, "c": None}, "unset": ["b", "nothing"]}, {"a": 3, "c": None}),
        ({"set": None}, {"a": 3, "c": None}),
        (None, {"a": 3, "c": None}),
        ({"unset": ["a", "c"]}, {}),
    ):
        answer = stack.ask("PATCH", path, {"metadata": edit})
        assert (answer.status, answer.json["metadata"]) == (200, metadata)
        assert stack.listed()[0]["metadata"] == metadata
    assert {**answer.json, "metadata": {}} == {**said, "metadata": {}}


@pytest.mark.parametrize("edit", [{"set": {"a": 20_000 * "x"}}, {"set": 5}, {"unset": "a"}, 5])
def test_metadata_that_is_none_or_too_much_is_refused(stack: Stack, edit: Any) -> None:
    said = stack.post({**TRIGGER, "metadata": {"a": 1}})
    assert stack.ask("PATCH", f"{PATH}/{said['id']}", {"metadata": edit}).status == 422
    assert stack.listed()[0]["metadata"] == {"a": 1}


# --- removal -------------------------------------------------------------------------------------


def removed(stack: Stack, first: Any) -> int:
    return stack.ask("DELETE", PATH, query={"min_offset": str(first)}).status


def test_what_is_removed_is_as_if_it_had_never_been_said(stack: Stack) -> None:
    with stack.working():
        first = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(first["trace_id"]))
        before = stack.listed()
        second = stack.post({**HELLO, "message": "And now?"})
        stack.until(lambda: "ready" in stack.told(second["trace_id"]))
        assert removed(stack, second["offset"]) == 204
        assert stack.listed() == before
        assert stack.listed(min_offset=second["offset"]) == []
        gone = stack.ask("GET", f"{PATH}/{second['id']}").json
        assert gone["deleted"] is True
        assert "And now?" not in str(gone)
        third = stack.post({**HELLO, "message": "Again."})
        assert third["offset"] > second["offset"]
        stack.until(lambda: "ready" in stack.told(third["trace_id"]))
    assert "And now?" not in str(stack.model.asked[-1])


def test_only_whole_traces_are_removed(stack: Stack) -> None:
    with stack.working():
        said = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(said["trace_id"]))
    everything = stack.listed()
    for one in everything[1:]:
        refused = stack.ask("DELETE", PATH, query={"min_offset": str(one["offset"])})
        assert refused.status == 422
        assert said["trace_id"] in refused.json["detail"]
    assert stack.listed() == everything
    assert removed(stack, -5) == 204
    assert stack.listed() == []


def test_removing_what_is_not_there_is_no_error(stack: Stack) -> None:
    assert removed(stack, 0) == 204
    stack.post(TRIGGER)
    assert removed(stack, 1) == 204
    assert removed(stack, 0) == removed(stack, 0) == 204
    assert removed(stack, "x") == 422
    assert stack.ask("DELETE", PATH).json["detail"][0]["loc"] == ["query", "min_offset"]


def test_a_running_turn_ends_where_it_is_removed(stack: Stack) -> None:
    stack.model.before = lambda: stack.hold.wait(10)
    with stack.working():
        said = stack.post(HELLO)
        stack.until(lambda: stack.model.asked)
        assert removed(stack, said["offset"]) == 204
        stack.hold.set()
        again = stack.post({**HELLO, "message": "Again."})
        stack.until(lambda: "ready" in stack.told(again["trace_id"]))
    assert [short(e) for e in stack.listed(kinds="message")] == ["Again.", "ok"]


# --- the other door ------------------------------------------------------------------------------


def test_both_doors_see_one_conversation(stack: Stack) -> None:
    with stack.working():
        asked = stack.post(HELLO)
        stack.until(lambda: "ready" in stack.told(asked["trace_id"]))
        stack.post({**PERSON, "participant": {"display_name": "Eve"}})
        stack.post({"kind": "custom", "source": "system", "data": 1})
        stack.post(GUIDED)
    here = {one["offset"]: one["id"] for one in stack.listed(kinds="message")}
    there = stack.door_1("GET").json["events"]
    assert [one["type"] for one in there] == ["input_message", *["agent_output"] * 3]
    assert {one["offset"]: one["id"] for one in there} == here


def test_what_is_removed_through_one_door_is_gone_through_the_other(stack: Stack) -> None:
    first, second = stack.post(HELLO), stack.post({**HELLO, "message": "And now?"})
    assert removed(stack, second["offset"]) == 204
    assert [one["id"] for one in stack.door_1("GET").json["events"]] == [first["id"]]
    gone = f"/{second['id']}"
    for method, path in (
        ("GET", gone),
        ("DELETE", gone),
        ("POST", gone + "/hide"),
        ("POST", gone + "/unhide"),
    ):
        assert stack.door_1(method, path).status == 404
    third = stack.post({**HELLO, "message": "Again."})
    assert [one["id"] for one in stack.door_1("GET").json["events"]] == [first["id"], third["id"]]


def test_what_is_hidden_or_deleted_through_one_door_is_deleted_for_the_other(stack: Stack) -> None:
    said = [
        stack.post({**PERSON, "message": text, "participant": {"display_name": "Eve"}})
        for text in ("one", "two", "three")
    ]
    assert stack.door_1("POST", f"/{said[0]['id']}/hide").status == 200
    assert stack.door_1("DELETE", f"/{said[1]['id']}").status == 204
    assert stack.listed() == [said[2]]
    assert stack.door_1("POST", f"/{said[0]['id']}/unhide").status == 200
    assert stack.listed() == [said[0], said[2]]
