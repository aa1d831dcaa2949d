"""Forking a session through door 1, and what a session tells of its log."""

from typing import Any

import pytest

from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.sessions import find
from cueline.log.events import (
    Answered,
    CompactionAsked,
    Event,
    Input,
    ModelCalled,
    StepChanged,
    TurnBegan,
    TurnSuspended,
    event_id,
)
from tests.clock import FakeClock
from tests.functions.conftest import Ask

SESSIONS = "/v2/agents/a/sessions"
SMALLEST = {"name": "A", "tool_configurations": {}, "model": {"name": "m"}}
MADE_AT = 1_750_000_000_000


@pytest.fixture(autouse=True)
def source(ask: Ask, ports: Ports) -> None:
    assert ask("POST", "/v2/agents", {**SMALLEST, "key": "a"}).status == 201
    assert ask("POST", SESSIONS, {"key": "s", "name": "Source"}).status == 201
    for n in range(4):
        at = 3 * n
        say(
            ports,
            Input(texts=(f"question {n}",)),
            TurnBegan(turn=f"t{n}", inputs=(at,)),
            Answered(turn=f"t{n}", inputs=(at,), text=f"answer {n}"),
        )


def say(ports: Ports, *events: Event, session: str = "s") -> None:
    _, tail = find(ports, "a", session)
    writer = Writer(ports.log, ports.clock, f"a.{session}", "trace")
    _, written = writer.append(tail.head, lambda *_: events)
    assert written


def at(offset: int) -> str:
    return event_id("a.s", MADE_AT, offset)


def fork(ask: Ask, agent: str = "a", **from_session: Any) -> Any:
    body = {"key": "f", "from_session": {"session_key": "s", **from_session}}
    return ask("POST", f"/v2/agents/{agent}/sessions", body)


def events(ask: Ask, session: str, agent: str = "a") -> list[dict[str, Any]]:
    path = f"/v2/agents/{agent}/sessions/{session}/events"
    found: list[dict[str, Any]] = ask("GET", path, query={"limit": "100"}).json["events"]
    return found


def told(shown: list[dict[str, Any]]) -> list[Any]:
    own = ("id", "session_key", "created_at")
    return [{k: v for k, v in event.items() if k not in own} for event in shown]


def test_a_fork_is_a_session_of_its_own(ask: Ask, ports: Ports) -> None:
    answer = fork(ask)
    assert answer.status == 201, answer.text
    assert (answer.json["key"], answer.json["agent_key"]) == ("f", "a")
    assert answer.json == ask("GET", f"{SESSIONS}/f").json
    assert told(events(ask, "f")) == told(events(ask, "s"))
    assert {e["id"] for e in events(ask, "f")}.isdisjoint(e["id"] for e in events(ask, "s"))
    say(ports, Input(texts=("more",)), session="f")
    assert len(events(ask, "f")) == len(events(ask, "s")) + 1


@pytest.mark.parametrize(("offset", "count"), [(0, 1), (2, 2), (3, 3), (11, 8)])
def test_it_goes_up_to_and_with_an_event(ask: Ask, offset: int, count: int) -> None:
    assert fork(ask, include_up_to_event_id=at(offset)).status == 201
    assert told(events(ask, "f")) == told(events(ask, "s"))[:count]


def test_nulls_are_as_if_left_out(ask: Ask) -> None:
    nulls: dict[str, Any] = dict.fromkeys(("agent_key", "include_up_to_event_id"))
    assert fork(ask, **nulls).status == 201
    assert len(events(ask, "f")) == 8


def test_hidden_events_are_hidden_and_deleted_ones_gone(ask: Ask) -> None:
    ask("POST", f"{SESSIONS}/s/events/{at(2)}/hide")
    ask("DELETE", f"{SESSIONS}/s/events/{at(5)}")
    assert fork(ask).status == 201
    assert told(events(ask, "f")) == told(events(ask, "s"))
    path, hidden = f"{SESSIONS}/f/events", {"limit": "100", "include_hidden": "true"}
    assert [e["offset"] for e in ask("GET", path, query=hidden).json["events"]] == [
        0, 2, 3, 6, 8, 9, 11
    ]  # fmt: skip


def test_a_session_of_another_agent_can_be_forked(ask: Ask) -> None:
    assert ask("POST", "/v2/agents", {**SMALLEST, "key": "b"}).status == 201
    answer = fork(ask, agent="b", agent_key="a")
    assert (answer.status, answer.json["agent_key"]) == (201, "b")
    assert told(events(ask, "f", "b")) == told(events(ask, "s"))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["include_up_to_event_id", "compact_up_to_event_id"])
@pytest.mark.parametrize("event", ["aev_unknown", at(12), event_id("a.other", MADE_AT, 1)])
def test_an_unknown_event_is_a_bad_request(ask: Ask, field: str, event: str) -> None:
    answer = fork(ask, **{field: event})
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert list(answer.json["field_errors"]) == [f"from_session.{field}"]
    assert ask("GET", f"{SESSIONS}/f").status == 404


def test_both_events_exclude_each_other(ask: Ask) -> None:
    answer = fork(ask, include_up_to_event_id=at(2), compact_up_to_event_id=at(2))
    assert answer.status == 400
    assert len(answer.json["field_errors"]) == 2


@pytest.mark.parametrize(
    ("from_session", "code"),
    [({"session_key": "x"}, "session_not_found"), ({"agent_key": "x"}, "agent_not_found")],
)
def test_there_must_be_such_a_session(ask: Ask, from_session: Any, code: str) -> None:
    answer = fork(ask, **from_session)
    assert (answer.status, answer.json["code"]) == (404, code)


def test_a_key_that_is_taken_is_refused(ask: Ask) -> None:
    assert ask("POST", SESSIONS, {"key": "f"}).status == 201
    answer = fork(ask)
    assert (answer.status, answer.json["code"]) == (409, "session_exists")


# --- repeats -------------------------------------------------------------------------------------


def test_a_repeat_gets_the_fork_that_it_made(ask: Ask) -> None:
    first = fork(ask)
    ask("DELETE", f"{SESSIONS}/s")
    again = fork(ask)
    assert (again.status, again.json) == (201, first.json)


def test_a_repeat_under_an_idempotency_key_too(ask: Ask, clock: FakeClock) -> None:
    headers = {"idempotency-key": "once", "content-type": "application/json"}
    body = {"from_session": {"session_key": "s"}}
    first = ask("POST", SESSIONS, body, headers=headers)
    clock.ms += 3_600_000
    again = ask("POST", SESSIONS, body, headers=headers)
    assert (again.status, again.json) == (201, first.json)
    assert len(ask("GET", SESSIONS).json["sessions"]) == 2


# --- compaction ----------------------------------------------------------------------------------


def test_a_fork_can_be_summed_up(ask: Ask, ports: Ports, clock: FakeClock) -> None:
    """Nobody works here, so its maker waits in vain, and is answered all the same."""
    began = clock.now()
    assert fork(ask, compact_up_to_event_id=at(5)).status == 201
    assert 20_000 <= clock.now() - began < 21_000
    session, tail = find(ports, "a", "f")
    [asked] = ports.log.read("a.f", session.incarnation, 11, 9)
    assert asked.event == Input(compact=CompactionAsked(up_to=5))
    assert [waiting.offset for waiting in tail.head.state.pending] == [12]
    assert len(events(ask, "f")) == 8


# --- what a session tells of its log -------------------------------------------------------------


def test_a_session_tells_its_step_its_context_and_what_waits_for_approval(
    ask: Ask, ports: Ports
) -> None:
    say(
        ports,
        Input(texts=("pay",)),
        TurnBegan(turn="u", inputs=(12,)),
        ModelCalled(turn="u", input_tokens=100, output_tokens=20, reasoning_tokens=5),
        StepChanged(turn="u", from_step="main", to_step="checkout"),
        TurnSuspended(turn="u", inputs=(12,), calls=("c", "d")),
    )
    told = ask("GET", f"{SESSIONS}/s").json
    assert told["current_step_name"] == "checkout"
    usage = told["session_context_usage"]
    assert usage["input_tokens"] == {"count": 100}
    assert usage["output_tokens"] == {"count": 20, "reasoning_tokens": 5}
    assert usage["total_tokens"] == 120
    assert told["pending_approvals"] == ["c", "d"]
    say(ports, Input(policy="decision", call="c"))
    assert ask("GET", f"{SESSIONS}/s").json["pending_approvals"] == ["d"]
    assert ask("PATCH", f"{SESSIONS}/s", {"name": "N"}).json["pending_approvals"] == ["d"]


def test_a_list_looks_into_no_log(ask: Ask) -> None:
    [listed] = ask("GET", SESSIONS).json["sessions"]
    assert "pending_approvals" not in listed
    assert {**ask("GET", f"{SESSIONS}/s").json, **listed} == ask("GET", f"{SESSIONS}/s").json


def test_a_fork_of_what_waits_for_approval_waits_for_nothing(ask: Ask, ports: Ports) -> None:
    suspended = TurnSuspended(turn="u", inputs=(12,), calls=("c",))
    say(ports, Input(texts=("pay",)), TurnBegan(turn="u", inputs=(12,)), suspended)
    answer = fork(ask)
    assert answer.json["pending_approvals"] == []
    assert told(events(ask, "f")) == told(events(ask, "s"))
