"""The intake queue: events that are sent there, come by the bus, or from schedules."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from cueline import bootstrap
from cueline.doors.background_triggers.arming import firing_name, settle
from cueline.engine import sessions
from cueline.engine.background import Run
from cueline.errors import Unavailable
from cueline.log.events import Answered, Input
from functions.intake import app
from local.template import ROOT
from tests.functions.background import agents, background
from tests.functions.test_executions import LEASE, Desk, desk, failing_once
from tests.gateway import Context

__all__ = ["agents", "background", "desk"]

AT = "2025-06-15T15:15:00Z"
"""A quarter of an hour after the tests' clock begins, and some seconds."""
AT_MS = 1_750_000_500_000
NEXT_MS = AT_MS + 15 * 60_000

Send = Callable[..., bool]


@pytest.fixture
def send(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Puts a message into the queue, and says whether it may be deleted."""
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(desk.ports, None, LEASE))
    monkeypatch.setattr(bootstrap, "background", lambda: desk.background)

    def send(body: Any, name: str = "") -> bool:
        text = body if isinstance(body, str) else json.dumps(body)
        record = {
            "messageId": name or str(uuid4()),
            "body": text,
            "eventSource": "aws:sqs",
            "receiptHandle": "r",
            "attributes": {},
            "messageAttributes": {},
        }
        desk.clock.sleep(0.001)
        answer = app.lambda_handler({"Records": [record]}, Context())  # type: ignore[arg-type]
        failed = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
        assert failed in ([], [record["messageId"]])
        return not failed

    return send


def runs(desk: Desk, name: str = "t1") -> list[Run]:
    """Oldest first."""
    return list(reversed(desk.background.runs.list(name, 100, None)))


def said(desk: Desk, run: Run) -> list[tuple[str, ...]]:
    return [event.texts for event in desk.events(run, Input)]


def on_bus(detail: Any, name: str = "e1", **more: Any) -> dict[str, Any]:
    return {"version": "0", "id": name, "detail-type": "Trigger Event", "detail": detail, **more}


def fires(at: str = AT, name: str = "t1") -> dict[str, Any]:
    return {"trigger": name, "scheduled": True, "at": at}


# --- sent ----------------------------------------------------------------------------------------


def test_an_event_that_is_sent_is_worked_off(desk: Desk, send: Send) -> None:
    assert send({"trigger": "t1", "text": "Order 42 was paid"})
    desk.work()
    [run] = runs(desk)
    assert said(desk, run) == [("Order 42 was paid",)]
    assert len(desk.events(run, Answered)) == 1


def test_those_that_name_a_session_or_somebody_go_on_with_it(desk: Desk, send: Send) -> None:
    for name, value in (("session", "one"), ("session", 42), ("contact", {"email": "a@b.example"})):
        assert send({"trigger": "t1", "text": "first", name: value})
        assert send({"trigger": "t1", "text": "second", name: value})
    sessions = [run.session for run in runs(desk)]
    assert sessions[::2] == sessions[1::2]
    assert len({*sessions}) == 3
    found = desk.ports.log.tail(sessions[-1]).session
    assert found
    customer = desk.ports.customers.get(found.customer)
    assert customer
    assert customer.metadata["email"] == "a@b.example"


def test_a_message_that_is_delivered_again_is_one_event(desk: Desk, send: Send) -> None:
    for _ in range(3):
        assert send({"trigger": "t1", "text": "once"}, "m1")
    assert len(runs(desk)) == 1
    assert send({"trigger": "t1", "text": "once"}, "m2")
    assert len(runs(desk)) == 2


def test_what_has_an_id_is_one_event_in_whatever_message(desk: Desk, send: Send) -> None:
    for name in ("m1", "m2"):
        assert send({"trigger": "t1", "text": "once", "id": "order-42"}, name)
    assert len(runs(desk)) == 1


def test_an_id_is_that_of_one_event_only(desk: Desk, send: Send) -> None:
    assert send({"trigger": "t1", "text": "one", "id": "i"})
    assert not send({"trigger": "t1", "text": "another", "id": "i"})
    desk.add("t2")
    assert send({"trigger": "t2", "text": "another", "id": "i"})
    assert (len(runs(desk)), len(runs(desk, "t2"))) == (1, 1)


def test_schedules_of_others_say_what_time_they_are_for(desk: Desk, send: Send) -> None:
    for text in ("wake up", "wake up", "go to bed"):
        assert send({"trigger": "t1", "text": text, "scheduled_at": AT})
    assert send({"trigger": "t1", "text": "wake up", "scheduled_at": "2025-06-15T15:16:00Z"})
    assert len(runs(desk)) == 3


def test_what_is_no_text_is_told_whole_but_for_whom_it_is_for(desk: Desk, send: Send) -> None:
    assert send({"trigger": "t1", "id": "i", "order": 42})
    [run] = runs(desk)
    assert said(desk, run) == [('{"order": 42}',)]


def test_the_triggers_own_text_stands_before_it(desk: Desk, send: Send) -> None:
    desk.change(text="Look into it.")
    assert send({"trigger": "t1", "text": "Order 42"})
    assert send({"trigger": "t1"})
    first, second = runs(desk)
    assert said(desk, first) == [("Look into it.", 'The event\'s body: {"text": "Order 42"}')]
    assert said(desk, second) == [("Look into it.",)]


# --- poison --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        *("", "hello", "[]", "null", '"t1"', "{}", '{"trigger": "t1"', '{"trigger":"\\ud800"}'),
        *('{"trigger": "t1", "trigger": "t1"}', "{" * 5000, '{"trigger": NaN}'),
        {"trigger": 1},
        {"trigger": "no such trigger"},
        {"trigger": "t9"},
        {"trigger": "x" * 5000},
        {"trigger": "t1", "text": ["no text"]},
        {"trigger": "t1", "text": True},
        {"trigger": "t1", "session": {}},
        {"trigger": "t1", "contact": "alice"},
        {"trigger": "t1", "contact": {"email": "nobody"}},
        {"trigger": "t1", "contact": {"name": []}},
        {"trigger": "t1", "id": "x" * 256},
        {"trigger": "t1", "text": "x" * 200_000},
        {"trigger": "t1", "text": "ü" * 140_000},
        on_bus({"trigger": "t9"}),
        on_bus("t1"),
        {"detail-type": "Trigger Event", "detail": {"trigger": "t1"}},
        {**on_bus({"trigger": "t1"}), "detail-type": "Turn Finished"},
        {"trigger": "t1", "scheduled": True},
        fires("soon"),
        {**fires(), "at": 5},
        fires(name="no such trigger"),
    ],
    ids=str,
)
def test_what_cannot_be_taken_in_comes_again_and_does_nothing(
    desk: Desk, send: Send, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert not send(body)
    assert runs(desk) == []
    assert desk.trigger().version == 0


def test_poison_does_not_hold_up_its_neighbours(desk: Desk, send: Send) -> None:
    def record(name: str, body: str) -> dict[str, Any]:
        return {"messageId": name, "body": body, "eventSource": "aws:sqs"}

    good = json.dumps({"trigger": "t1", "text": "good"})
    records = [record("m1", good), record("m2", "poison"), record("m3", good)]
    answer = app.lambda_handler({"Records": records}, Context())  # type: ignore[arg-type]
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m2"}]
    assert len(runs(desk)) == 2


def test_nothing_that_was_said_is_in_the_log_of_a_failure(
    desk: Desk, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert not send({"trigger": "t1", "text": ["secret"]})
        assert send({"trigger": "t1", "text": "secret"})
    assert "secret" not in caplog.text


def test_characters_that_nobody_can_read_do_no_harm(desk: Desk, send: Send) -> None:
    assert send({"trigger": "t1", "text": "a\x00b"})
    [run] = runs(desk)
    assert said(desk, run) == [("a\ufffdb",)]


# --- refused -------------------------------------------------------------------------------------


def test_an_event_of_a_paused_trigger_waits_in_the_end_for_somebody(desk: Desk, send: Send) -> None:
    desk.change(paused="5 runs in a row failed")
    assert not send({"trigger": "t1", "text": "hello"}, "m1")
    desk.change(paused="")
    assert send({"trigger": "t1", "text": "hello"}, "m1")
    assert len(runs(desk)) == 1


@pytest.mark.parametrize(("policy", "done"), [("reject", False), ("skip", True)])
def test_while_a_turn_is_open_it_is_as_the_trigger_says(
    desk: Desk, send: Send, policy: str, done: bool
) -> None:
    desk.change(policy=policy)
    desk.begin(desk.run(session="one"))
    assert send({"trigger": "t1", "text": "hello", "session": "one"}) is done
    assert len(runs(desk)) == 1


# --- the bus -------------------------------------------------------------------------------------


def test_an_event_on_the_bus_starts_an_agent(desk: Desk, send: Send) -> None:
    assert send(on_bus({"trigger": "t1", "text": "Order 42 was paid", "session": "order-42"}))
    desk.work()
    [run] = runs(desk)
    assert said(desk, run) == [("Order 42 was paid",)]
    assert len(desk.events(run, Answered)) == 1


def test_the_bus_may_bring_it_in_many_messages(desk: Desk, send: Send) -> None:
    for _ in range(3):
        assert send(on_bus({"trigger": "t1", "text": "once"}))
    assert len(runs(desk)) == 1
    assert send(on_bus({"trigger": "t1", "text": "once"}, "e2"))
    assert len(runs(desk)) == 2


def test_its_sender_may_name_it(desk: Desk, send: Send) -> None:
    for name in ("e1", "e2"):
        assert send(on_bus({"trigger": "t1", "text": "once", "id": "order-42"}, name))
    assert len(runs(desk)) == 1


def test_nobody_can_play_a_schedule_there(desk: Desk, send: Send) -> None:
    desk.change(schedule="quarterhourly")
    assert send(on_bus(fires()))
    assert desk.trigger().last_at == 0


@pytest.mark.parametrize("name", ["put_on_the_bus", "sent"])
def test_the_samples_are_taken_in(desk: Desk, send: Send, name: str) -> None:
    desk.add("trg-4k2j9x7m")
    given = json.loads((ROOT / f"events/intake/{name}.json").read_text())
    assert app.lambda_handler(given, Context())["batchItemFailures"] == []  # type: ignore[arg-type]
    [run] = runs(desk, "trg-4k2j9x7m")
    assert said(desk, run) == [("Order 42 was paid",)]


# --- schedules -----------------------------------------------------------------------------------


@pytest.fixture
def scheduled(desk: Desk) -> Desk:
    """Every quarter of an hour by the clock."""
    desk.change(schedule="*/15 * * * *", next_at=AT_MS)
    settle(desk.background, "t1", desk.clock.now())
    return desk


def is_armed(desk: Desk, name: str = "t1") -> bool:
    return firing_name(name) in desk.background.firings.made  # type: ignore[attr-defined]


def test_a_schedule_starts_an_agent_and_shows_when(scheduled: Desk, send: Send) -> None:
    assert send(fires())
    scheduled.work()
    [run] = runs(scheduled)
    assert said(scheduled, run) == [("The schedule '*/15 * * * *' has come.",)]
    assert len(scheduled.events(run, Answered)) == 1
    trigger = scheduled.trigger()
    assert (trigger.last_at, trigger.next_at) == (AT_MS, NEXT_MS)
    assert is_armed(scheduled)


def test_the_triggers_own_text_is_what_it_says(scheduled: Desk, send: Send) -> None:
    scheduled.change(text="Write the report.")
    assert send(fires())
    assert said(scheduled, runs(scheduled)[0]) == [("Write the report.",)]


def test_each_time_is_fired_once(scheduled: Desk, send: Send) -> None:
    for _ in range(3):
        assert send(fires())
    version = scheduled.trigger().version
    assert send(fires())
    assert (len(runs(scheduled)), scheduled.trigger().version) == (1, version)
    assert send(fires("2025-06-15T15:30:00Z"))
    assert len(runs(scheduled)) == 2
    assert len({run.session for run in runs(scheduled)}) == 1


def test_what_comes_late_moves_nothing_back(scheduled: Desk, send: Send) -> None:
    assert send(fires("2025-06-15T15:30:00Z"))
    assert send(fires())
    trigger = scheduled.trigger()
    assert (trigger.last_at, trigger.next_at) == (NEXT_MS, NEXT_MS + 15 * 60_000)
    assert len(runs(scheduled)) == 2


def test_somebody_who_has_started_it_by_hand_is_in_nobodys_way(scheduled: Desk, send: Send) -> None:
    scheduled.change(last_at=AT_MS + 500)
    assert send(fires())
    trigger = scheduled.trigger()
    assert (trigger.last_at, trigger.next_at) == (AT_MS + 500, NEXT_MS)


def test_each_run_of_what_keeps_no_session_has_its_own(scheduled: Desk, send: Send) -> None:
    scheduled.change(session_duration=0)
    for at in (AT, AT, "2025-06-15T15:30:00Z"):
        assert send(fires(at))
    assert len({run.session for run in runs(scheduled)}) == len(runs(scheduled)) == 2


def test_agents_schedules_ride_along(desk: Desk, send: Send) -> None:
    desk.add("schedule.a.daily-report", schedule="15:15", session_duration=0, text="Report.")
    assert send(fires(name="schedule.a.daily-report"))
    [run] = runs(desk, "schedule.a.daily-report")
    assert said(desk, run) == [("Report.",)]


@pytest.mark.parametrize("fields", [{"schedule": ""}, {"schedule": "never"}, {"paused": "why"}])
def test_what_is_no_schedule_any_more_starts_nothing_and_is_taken_away(
    scheduled: Desk, send: Send, fields: dict[str, Any]
) -> None:
    scheduled.change(**fields)
    version = scheduled.trigger().version
    assert send(fires())
    assert runs(scheduled) == []
    assert scheduled.trigger().version == version
    assert not is_armed(scheduled)


def test_that_of_a_deleted_trigger_too(scheduled: Desk, send: Send) -> None:
    scheduled.background.triggers.remove("t1")
    assert send(fires())
    assert not is_armed(scheduled)


def test_one_whose_agent_is_gone_pauses_itself_and_is_taken_away(
    scheduled: Desk, send: Send
) -> None:
    scheduled.ports.agents.delete("a")
    assert send(fires())
    assert runs(scheduled) == []
    trigger = scheduled.trigger()
    assert "'a'" in trigger.paused
    assert trigger.next_at == 0
    assert not is_armed(scheduled)
    assert send(fires()), "which was under way"


def test_whoever_could_not_take_it_away_does_when_it_fires_again(
    scheduled: Desk, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled.ports.agents.delete("a")
    failing_once(monkeypatch, type(scheduled.background.firings), "remove")
    assert send(fires())
    assert is_armed(scheduled)
    assert send(fires())
    assert not is_armed(scheduled)


@pytest.mark.parametrize("closed", ["agent", "session", "none"])
def test_one_that_nobody_may_work_off_waits_for_its_next_time(
    scheduled: Desk, send: Send, closed: str
) -> None:
    ports = scheduled.ports
    if closed == "agent":
        agent = ports.agents.get("a")
        assert ports.agents.replace(agent.model_copy(update={"enabled": False, "version": 1}))
    elif closed == "session":
        run = scheduled.run(session="*/15 * * * *")
        _, _, name = run.session.partition(".")
        sessions.update(ports, "a", name, lambda session: replace(session, enabled=False))
    else:
        scheduled.change(agent_key="")
    there = len(runs(scheduled))
    assert send(fires())
    assert len(runs(scheduled)) == there
    assert scheduled.trigger().next_at == NEXT_MS
    assert is_armed(scheduled)


def test_a_scheduler_that_does_not_answer_makes_no_dead_letter_of_that(
    scheduled: Desk, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled.change(paused="why")
    failing_once(monkeypatch, type(scheduled.background.firings), "remove")
    assert send(fires())
    assert is_armed(scheduled)
    assert send(fires())
    assert not is_armed(scheduled)


@pytest.mark.parametrize("policy", ["reject", "skip"])
def test_while_a_turn_is_open_a_schedule_waits_for_its_next_time(
    scheduled: Desk, send: Send, policy: str
) -> None:
    scheduled.change(policy=policy)
    assert send(fires())
    scheduled.begin(runs(scheduled)[0])
    assert send(fires("2025-06-15T15:30:00Z"))
    assert len(runs(scheduled)) == 1
    assert scheduled.trigger().next_at == NEXT_MS + 15 * 60_000


def test_one_that_fires_as_soon_as_it_is_made_does_not_count(desk: Desk, send: Send) -> None:
    """EventBridge Scheduler does that with rates."""
    made_at = desk.clock.now()
    desk.change(schedule="PT7M", next_at=made_at + 7 * 60_000)
    assert send(fires("2025-06-15T15:06:41Z"))
    assert (runs(desk), desk.trigger().last_at) == ([], 0)
    assert send(fires("2025-06-15T15:13:41Z"))
    assert send(fires("2025-06-15T15:13:41Z"))
    assert send(fires("2025-06-15T15:20:41Z"))
    assert len(runs(desk)) == 2


def test_what_comes_once_comes_when_it_was_last_set_for(desk: Desk, send: Send) -> None:
    desk.change(schedule="2025-06-15T15:30:00Z", next_at=NEXT_MS)
    assert send(fires())
    assert runs(desk) == []
    assert send(fires("2025-06-15T15:30:00Z"))
    assert (len(runs(desk)), desk.trigger().next_at) == (1, 0)


# --- moved back from the dead letters ------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "times"),
    [
        ({"trigger": "t1", "text": "hi", "id": "order-42"}, 1),
        ({"trigger": "t1", "text": "hi", "scheduled_at": "2025-06-15"}, 1),
        (on_bus({"trigger": "t1", "text": "hi"}), 1),
        (fires(), 1),
        # It may be a second one that says the same.
        ({"trigger": "t1", "text": "hi"}, 2),
    ],
    ids=["id", "scheduled_at", "bus", "schedule", "none"],
)
def test_what_says_which_it_is_can_be_moved_back(
    scheduled: Desk, send: Send, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], times: int
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("DynamoDB is busy.")

    with monkeypatch.context() as busy:
        busy.setattr(type(scheduled.background.runs), "put", away)
        assert not any(send(body, "m1") for _ in range(3))
    assert send(body, "another id of SQS")
    asked = [
        recorded.event
        for session in scheduled.ports.sessions.all()
        for recorded in scheduled.ports.log.read(session.id, session.incarnation, -1, 100)
        if isinstance(recorded.event, Input)
    ]
    assert len(asked) == times


# --- stopped half way ----------------------------------------------------------------------------


PORTS = [
    *(("triggers", "get"), ("triggers", "replace"), ("kept", "claim"), ("deliveries", "claim")),
    ("runs", "put"),
]


@pytest.mark.parametrize(("port", "method"), PORTS, ids=".".join)
@pytest.mark.parametrize("body", [{"trigger": "t1", "text": "hi", "session": "s"}, fires()])
def test_what_was_stopped_anywhere_is_done_once_when_it_comes_again(
    scheduled: Desk,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    port: str,
    method: str,
    body: dict[str, Any],
) -> None:
    failing_once(monkeypatch, type(getattr(scheduled.background, port)), method)
    first = send(body, "m1")
    assert first or send(body, "m1")
    assert send(body, "m1")
    scheduled.work()
    [run] = runs(scheduled)
    assert len(scheduled.events(run, Input)) == len(scheduled.events(run, Answered)) == 1
    if "scheduled" in body:
        assert scheduled.trigger().last_at == AT_MS
