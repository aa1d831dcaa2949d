"""Events of triggers: what may be sent, which session is told of it, and that it is told once."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cueline import bootstrap
from cueline.doors.background_triggers.event_body import (
    DELIVERY_HEADERS,
    MAX_EVENT,
    Contact,
    Delivered,
    delivered,
)
from cueline.doors.background_triggers.intake import Taken, take
from cueline.doors.body import check_text
from cueline.engine import sessions
from cueline.engine.agent import Agent
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.background import Background, BackgroundTrigger, TriggerPolicy
from cueline.engine.modes import change_mode
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.runs import progress
from cueline.errors import (
    Conflict,
    CuelineError,
    IdempotencyKeyReused,
    InvalidRequest,
    Unavailable,
)
from cueline.log.events import Answered, Input, Posted, TurnBegan
from cueline.log.segment import GUEST
from cueline.log.state import MAX_PENDING
from functions.triggers import app
from tests.clock import FakeClock
from tests.contract.backends import BACKENDS, Backend, atomic_calls, in_threads
from tests.functions.background import (
    TRIGGERS,
    agents,
    ask4,
    background,
    made,
    refused,
    sent,
    shown,
    taken,
)
from tests.functions.conftest import Ask
from tests.gateway import Context, event

__all__ = ["agents", "ask4", "background"]

DAY = 86_400_000
EVENT = Delivered(text="hello", body='{"text":"hello"}')


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    atomic_calls(monkeypatch)
    with BACKENDS[request.param]() as made:
        for key in ("a", "b"):
            made.ports.agents.create(
                Agent(key=key, name=key, model="m", created_at=1, updated_at=1)
            )
        yield made


def inputs(ports: Ports, session: str) -> list[Input]:
    head = ports.log.tail(session).head
    found = ports.log.read(session, head.incarnation, -1, 200)
    return [r.event for r in found if isinstance(r.event, Input)]


def all_inputs(ports: Ports) -> list[Input]:
    return [one for session in ports.sessions.all() for one in inputs(ports, session.id)]


def delete(ports: Ports, session: str) -> None:
    agent, _, key = session.partition(".")
    sessions.delete(ports, agent, key, "")


def told(ask4: Ask, ports: Ports, trigger: str, body: Any = None, **more: Any) -> tuple[str, ...]:
    """What the agent is told of an event."""
    answer = taken(ask4, trigger, body, **more)
    return inputs(ports, answer["conversationId"])[-1].texts


# --- what may be sent ----------------------------------------------------------------------------


def test_the_documented_request_is_taken_in(
    ask4: Ask, ports: Ports, background: Background
) -> None:
    trigger = made(ask4, name="Orders", description="Of the shop.")
    answer = sent(ask4, trigger, '{"text":"Hello there"}')
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert {*answer.json} == {"ok", "id", "status", "conversationId"}
    assert answer.json["ok"]
    assert answer.json["status"] == "queued"
    [session] = ports.sessions.all()
    assert answer.json["conversationId"] == session.id
    assert (session.name, session.description) == ("Orders", "Of the shop.")
    assert session.metadata == {"app": "trigger", "trigger": {"integrationId": trigger}}
    [asked] = inputs(ports, session.id)
    assert (asked.texts, asked.origin, asked.tries) == (("Hello there",), trigger, 4)
    run = background.runs.get(trigger, answer.json["id"])
    assert run
    assert run.session == session.id
    now = progress(ports, run.session, run.incarnation, run.offset)
    assert now
    assert now.status == "queued"


BODIES: list[tuple[Any, dict[str, Any], str]] = [
    ({"text": "hi"}, {}, "hi"),
    ('{"text": "hi"}', {"headers": {"content-type": "application/x-www-form-urlencoded"}}, "hi"),
    ("just text", {"headers": {"content-type": "text/plain"}}, "just text"),
    ("a=b&c=d", {"headers": {"content-type": "application/x-www-form-urlencoded"}}, "a=b&c=d"),
    ('{"action":"opened"}', {}, '{"action":"opened"}'),
    ("[1,2]", {}, "[1,2]"),
    ('{"text": ', {}, '{"text":'),
    ('{"text": 5}', {}, "5"),
    ('{"text": ["x"]}', {}, '{"text": ["x"]}'),
    ('{"text": " "}', {}, '{"text": " "}'),
    (None, {"query": {"text": "hi"}}, "hi"),
    ({"text": "body"}, {"query": {"text": "query"}}, "query"),
    (None, {"method": "GET", "query": {"text": "hi"}}, "hi"),
    (None, {"method": "GET"}, "(an event without a body)"),
    ("{}", {}, "(an event without a body)"),
    ("", {}, "(an event without a body)"),
    ("put", {"method": "PUT"}, "put"),
    ("gone", {"method": "DELETE"}, "gone"),
    ("a\x00b", {}, "a\ufffdb"),
    ('{"text": "a\\u0000b"}', {}, "a\ufffdb"),
    ('{"text": "\\ud800"}', {}, '{"text": "\\ud800"}'),
    ({"text": "Grüße 🙂"}, {}, "Grüße 🙂"),
]


@pytest.mark.parametrize(("body", "more", "expected"), BODIES)
def test_an_event_may_come_in_any_form(
    ask4: Ask, ports: Ports, body: Any, more: dict[str, Any], expected: str
) -> None:
    assert told(ask4, ports, made(ask4), body, **more) == (expected,)


def test_an_event_may_be_bytes(ask4: Ask, ports: Ports) -> None:
    trigger = made(ask4, authenticate=False)
    for raw, text in ((b'{"text":"hi"}', "hi"), (b"\xff\xfe", "\ufffd\ufffd")):
        given = event("POST", f"{TRIGGERS}/{trigger}/event")
        given |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
        answer = app.lambda_handler(given, Context())  # type: ignore[arg-type]
        session = json.loads(answer["body"])["conversationId"]
        assert inputs(ports, session)[0].texts == (text,)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_who_only_looks_whether_somebody_is_there_sends_nothing(
    ask4: Ask, ports: Ports, method: str
) -> None:
    trigger = made(ask4)
    for one in (trigger, "nobody"):
        answer = ask4(method, f"{TRIGGERS}/{one}/event")
        assert (answer.status, answer.json) == (200, {})
    assert not [*ports.sessions.all()]


def test_the_default_text_stands_for_that_of_the_event_which_is_told_beside_it(
    ask4: Ask, ports: Ports
) -> None:
    trigger = made(ask4, text="Look at the new order.")
    body = '{"text":"Ignore this."}'
    assert told(ask4, ports, trigger, body) == (
        "Look at the new order.",
        f"The event's body: {body}",
    )
    assert told(ask4, ports, trigger, "{}") == ("Look at the new order.",)
    assert told(ask4, ports, trigger, query={"text": "x"}) == ("Look at the new order.",)


def test_what_is_too_large_is_refused_as_that(ask4: Ask, ports: Ports) -> None:
    trigger = made(ask4)
    for body in ("x" * (MAX_EVENT + 1), "x" * 100_001, {"text": "x" * 100_001}):
        refused(sent(ask4, trigger, body), 413, "CONTENT_TOO_LARGE")
    assert told(ask4, ports, trigger, "x" * 100_000)


# --- secrets -------------------------------------------------------------------------------------


def test_unknown_ids_and_wrong_secrets_are_answered_alike(ask4: Ask, ports: Ports) -> None:
    trigger, other = made(ask4), made(ask4)
    headers = [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer x"},
        {"authorization": f"Bearer {shown(ask4, other)['secret']}"},
        {"authorization": f"Basic {shown(ask4, trigger)['secret']}"},
        {"authorization": f"Bearer {shown(ask4, trigger)['secret']}x"},
        {"authorization": f"Bearer {'é' * 300}"},
    ]
    answers = {
        (answer.status, answer.text)
        for one in (trigger, "trigger_unknown", "no.such", "%F0")
        for given in headers
        for answer in [ask4("POST", f"{TRIGGERS}/{one}/event", "x", headers=given)]
    }
    assert len(answers) == 1
    [(status, text)] = answers
    assert status == 401
    assert json.loads(text)["code"] == "NOT_AUTHENTICATED"
    assert not [*ports.sessions.all()]


def test_a_trigger_that_asks_for_no_secret_is_open_though_that_cannot_be_read(
    ask4: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> bytes:
        raise Unavailable("Secrets cannot be read.")

    trigger, closed = made(ask4, authenticate=False), made(ask4)
    monkeypatch.setattr(bootstrap, "signing_secret", fails)
    assert ask4("POST", f"{TRIGGERS}/{trigger}/event", {}).status == 200
    for one in (closed, "unknown"):
        refused(ask4("POST", f"{TRIGGERS}/{one}/event", {}), 503, "SERVICE_UNAVAILABLE")


# --- which session -------------------------------------------------------------------------------


def conversation(ask4: Ask, trigger: str, body: Any = None, **more: Any) -> str:
    return str(taken(ask4, trigger, body, **more)["conversationId"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"body": {"session": "s"}}, {"body": {"session": "s"}}),
        ({"body": {"session": "s"}}, {"query": {"session": "s"}}),
        ({"body": {"session": 5}}, {"query": {"session": "5"}}),
        (
            {"body": {"session": "s", "contact": {"email": "a@b.cd"}}},
            {"body": {"session": "s", "contact": {"email": "x@y.za"}}},
        ),
        ({"body": {"contact": {"email": "a@b.cd"}}}, {"query": {"contact.email": "a@b.cd"}}),
        ({"query": {"contact_email": "a@b.cd"}}, {"query": {"contact[email]": "a@b.cd"}}),
        (
            {"body": {"contact": {"phone": "+49 1"}}},
            {"query": {"contact.phone": "+49 1", "contact_phone": "other"}},
        ),
        (
            {"body": {"contact": {"email": "a@b.cd", "phone": "1"}}},
            {"body": {"contact": {"email": "a@b.cd", "phone": "2"}}},
        ),
        (
            {"body": {"contact": {"email": "a@b.cd"}, "session": "x"}, "query": {"session": "y"}},
            {"body": {"session": "y"}},
        ),
    ],
)
def test_who_names_the_same_goes_on_with_the_same_session(
    ask4: Ask, first: dict[str, Any], second: dict[str, Any]
) -> None:
    trigger = made(ask4)
    assert conversation(ask4, trigger, **first) == conversation(ask4, trigger, **second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"session": "s"}, {"session": "S"}),
        ({"session": ""}, {"session": ""}),
        ({"session": {"id": 1}}, {"session": {"id": 1}}),
        ({"contact": {"name": "Ann"}}, {"contact": {"name": "Ann"}}),
        ({"contact": "ann"}, {"contact": "ann"}),
        ({"contact": {"email": "a@b.cd"}}, {"contact": {"email": "c@b.cd"}}),
    ],
)
def test_who_names_nothing_or_something_else_begins_anew(
    ask4: Ask, first: dict[str, Any], second: dict[str, Any]
) -> None:
    trigger = made(ask4)
    assert conversation(ask4, trigger, first) != conversation(ask4, trigger, second)


def test_each_trigger_has_sessions_of_its_own(ask4: Ask) -> None:
    body = {"session": "s"}
    assert conversation(ask4, made(ask4), body) != conversation(ask4, made(ask4), body)


@pytest.mark.parametrize(("duration", "lasts"), [(None, DAY), (60_000, 60_000)])
def test_a_session_is_gone_on_with_for_as_long_as_its_trigger_says_from_its_first_event_on(
    ask4: Ask, clock: FakeClock, duration: int | None, lasts: int
) -> None:
    trigger, body = made(ask4, sessionDuration=duration), {"session": "s"}
    first = conversation(ask4, trigger, body)
    clock.ms += lasts - 1
    assert conversation(ask4, trigger, body) == first
    clock.ms += 1
    second = conversation(ask4, trigger, body)
    assert second != first
    clock.ms += lasts - 1
    assert conversation(ask4, trigger, body) == second


def test_a_trigger_may_begin_anew_each_time(ask4: Ask) -> None:
    trigger, body = made(ask4, sessionDuration=0), {"session": "s"}
    assert conversation(ask4, trigger, body) != conversation(ask4, trigger, body)


def test_a_session_that_was_deleted_is_not_gone_on_with(ask4: Ask, ports: Ports) -> None:
    trigger, body = made(ask4), {"session": "s"}
    first = conversation(ask4, trigger, body)
    delete(ports, first)
    second = conversation(ask4, trigger, body)
    assert second != first
    assert conversation(ask4, trigger, body) == second


def test_another_agent_begins_anew(ask4: Ask) -> None:
    trigger, body = made(ask4), {"session": "s"}
    assert conversation(ask4, trigger, body).startswith("a.")
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"botId": "b"})
    assert conversation(ask4, trigger, body).startswith("b.")


@pytest.mark.parametrize(
    "name",
    [
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
        "नेपा\u200dल",
        "👩\u200d💻 Ann",
        "Ann\u2019s",
        "\u2068Ann\u2069",
    ],
)
def test_a_name_is_taken_as_people_write_it(ask4: Ask, ports: Ports, name: str) -> None:
    taken(ask4, made(ask4), {"contact": {"name": name, "phone": "1"}})
    [customer] = ports.customers.all()
    assert customer.name == name


@pytest.mark.parametrize("space", ["\t", "\xa0", "\u202f", "\u2007"])
def test_a_space_is_a_space_however_it_was_pasted(ask4: Ask, ports: Ports, space: str) -> None:
    trigger = made(ask4)
    given = {"name": f"Ann{space}Lee", "phone": f"+49{space}170 1{space}"}
    first = taken(ask4, trigger, {"contact": given})
    second = taken(ask4, trigger, {"contact": {"name": "Ann Lee", "phone": "+49 170 1"}})
    assert first["conversationId"] == second["conversationId"]
    [customer] = ports.customers.all()
    assert (customer.name, customer.metadata) == ("Ann Lee", {"phone": "+49 170 1"})


def test_half_a_character_in_a_query_is_no_name(ask4: Ask) -> None:
    answer = sent(ask4, made(ask4), query={"contact.name": "\ud800", "contact.phone": "1"})
    assert "contact.name" in refused(answer, 400, "BAD_REQUEST")


def test_a_contact_is_remembered_with_the_session(ask4: Ask, ports: Ports) -> None:
    trigger = made(ask4)
    person = {"name": "Ann", "email": "ann@example.com", "phone": "+49 1"}
    taken(ask4, trigger, {"contact": person})
    [session] = ports.sessions.all()
    customer = ports.customers.get(session.customer)
    assert customer
    assert customer.id == Contact(**person).fingerprint
    assert customer.name == "Ann"
    assert customer.metadata["email"] == "ann@example.com"
    [asked] = inputs(ports, session.id)
    assert asked.participant
    assert asked.participant.display_name == "Ann"
    shown_as = ask4("GET", f"/api/v1/contact/{customer.id}/fetch").json
    assert {name: shown_as[name] for name in person} == person


def test_who_has_only_a_name_is_nobody_in_particular(ask4: Ask, ports: Ports) -> None:
    taken(ask4, made(ask4), {"contact": {"name": "Ann"}})
    [session] = ports.sessions.all()
    assert session.customer == GUEST
    assert not [*ports.customers.all()]


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"email": "ann"}, "contact.email"),
        ({"email": "ann@example"}, "contact.email"),
        ({"email": "a b@example.com"}, "contact.email"),
        ({"name": "x" * 501}, "contact.name"),
        ({"phone": "1\n2"}, "contact.phone"),
        ({"name": "Ann\x1b[2J"}, "contact.name"),
        ({"name": "An\x85n"}, "contact.name"),
        ({"name": "Ann\x7f"}, "contact.name"),
    ],
)
def test_what_no_contact_can_have_is_refused(
    ask4: Ask, ports: Ports, given: dict[str, str], wrong: str
) -> None:
    answer = sent(ask4, made(ask4), {"contact": given})
    assert wrong in refused(answer, 400, "BAD_REQUEST")
    assert not [*ports.sessions.all()]


# --- what a trigger says of its events -----------------------------------------------------------


def test_what_a_trigger_says_of_its_events_is_said_of_each(
    ask4: Ask, ports: Ports, clock: FakeClock
) -> None:
    trigger = made(ask4, policy="coalesce", delay=5, maxAge=60, maxAttempts=2)
    [asked] = inputs(ports, conversation(ask4, trigger, {"text": "hi"}))
    assert (asked.policy, asked.tries) == ("coalesce", 2)
    assert asked.not_before == clock.ms + 5_000
    assert asked.not_after == clock.ms + 65_000


def test_a_paused_trigger_takes_nothing_and_says_why(ask4: Ask, ports: Ports) -> None:
    trigger = made(ask4, paused=True)
    message = refused(sent(ask4, trigger, {}), 409, "CONFLICT")
    assert "Somebody has paused it." in message
    assert not [*ports.sessions.all()]


@pytest.mark.parametrize("closed", ["paused", "agent gone", "agent disabled", "session disabled"])
def test_what_was_taken_in_is_answered_alike_though_nothing_is_taken_any_more(
    ask4: Ask, ports: Ports, closed: str
) -> None:
    trigger, body, key = made(ask4), {"session": "s"}, {"idempotency-key": "k"}
    first = taken(ask4, trigger, body, headers=key)
    if closed == "paused":
        ask4("POST", f"{TRIGGERS}/{trigger}/update", {"paused": True})
    elif closed == "agent gone":
        ports.agents.delete("a")
    elif closed == "agent disabled":
        agent = ports.agents.get("a")
        assert ports.agents.replace(agent.model_copy(update={"enabled": False, "version": 1}))
    else:
        _, _, name = first["conversationId"].partition(".")
        sessions.update(ports, "a", name, lambda session: replace(session, enabled=False))
    assert taken(ask4, trigger, body, headers=key) == first
    for other in ({}, {"idempotency-key": "k2"}):
        assert sent(ask4, trigger, body, headers=other).status in (403, 409)
    assert len(all_inputs(ports)) == 1


def test_a_session_that_is_to_expire_is_kept_by_each_event(
    ask4: Ask, ports: Ports, clock: FakeClock
) -> None:
    trigger, body = made(ask4), {"session": "s"}
    session = conversation(ask4, trigger, body)
    agent, _, name = session.partition(".")
    sessions.update(ports, agent, name, lambda one: replace(one, tti_minutes=60))
    before = ports.log.tail(session).session
    clock.sleep(50 * 60)
    assert conversation(ask4, trigger, body) == session
    clock.sleep(50 * 60)
    assert conversation(ask4, trigger, body) == session
    after = ports.log.tail(session).session
    assert before
    assert after
    assert after.collect_at > before.collect_at


def test_a_trigger_needs_an_agent_that_is_there(ask4: Ask, ports: Ports) -> None:
    refused(sent(ask4, made(ask4, botId=None), {}), 409, "CONFLICT")
    trigger = made(ask4, botId="b")
    ports.agents.delete("b")
    assert "'b'" in refused(sent(ask4, trigger, {}), 409, "CONFLICT")


def test_a_disabled_agent_is_told_nothing(ask4: Ask, ports: Ports) -> None:
    trigger, body = made(ask4), {"session": "s"}
    taken(ask4, trigger, body)
    agent = ports.agents.get("a")
    assert ports.agents.replace(agent.model_copy(update={"enabled": False, "version": 1}))
    for one in (body, {}):
        assert "disabled" in refused(sent(ask4, trigger, one), 403, "NOT_AUTHORIZED")
    assert len(all_inputs(ports)) == 1


def test_a_disabled_session_takes_nothing(ask4: Ask, ports: Ports) -> None:
    trigger, body = made(ask4), {"session": "s"}
    agent, _, key = conversation(ask4, trigger, body).partition(".")
    sessions.update(ports, agent, key, lambda session: replace(session, enabled=False))
    refused(sent(ask4, trigger, body), 403, "NOT_AUTHORIZED")


def test_where_people_answer_an_event_is_left_to_them(ask4: Ask, ports: Ports) -> None:
    trigger, body = made(ask4), {"session": "s", "text": "hi"}
    session = conversation(ask4, trigger, body)
    found = ports.log.tail(session).session
    assert found
    change_mode(ports, found, "manual", "")
    assert taken(ask4, trigger, body)["status"] == "queued"
    head = ports.log.tail(session).head
    events = [r.event for r in ports.log.read(session, head.incarnation, -1, 100)]
    assert [one.text for one in events if isinstance(one, Posted)] == ["hi"]


def begin(ports: Ports, session: str) -> None:
    writer = Writer(ports.log, ports.clock, session, "")
    head = ports.log.tail(session).head
    writer.append(head, lambda s, _: [TurnBegan(turn="t", inputs=(s.pending[0].offset,))])


def finish(ports: Ports, session: str) -> None:
    writer = Writer(ports.log, ports.clock, session, "")
    head = ports.log.tail(session).head
    writer.append(head, lambda s, _: [Answered(turn="t", inputs=(0,), text="done")])


@pytest.mark.parametrize("begun", [False, True])
def test_while_an_event_is_worked_off_another_may_be_refused_or_skipped(
    ask4: Ask, ports: Ports, background: Background, *, begun: bool
) -> None:
    trigger, body = made(ask4, policy="reject"), {"session": "s"}
    key = {"idempotency-key": "k1"}
    first = taken(ask4, trigger, body, headers=key)
    session = first["conversationId"]
    if begun:
        begin(ports, session)
    refused(sent(ask4, trigger, body), 409, "CONFLICT")
    assert taken(ask4, trigger, body, headers=key) == first, "which has been taken in"
    assert taken(ask4, trigger, {"session": "other"})["status"] == "queued"
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"policy": "skip"})
    skipped = {"ok": True, "id": None, "status": "skipped", "conversationId": session}
    assert taken(ask4, trigger, body) == skipped
    assert len(inputs(ports, session)) == 1
    if not begun:
        begin(ports, session)
    finish(ports, session)
    assert taken(ask4, trigger, body)["status"] == "queued"
    assert len(background.runs.list(trigger, 10, None)) == 3


def test_too_many_that_wait_are_the_only_limit(ask4: Ask) -> None:
    trigger, body = made(ask4), {"session": "s"}
    for _ in range(MAX_PENDING):
        taken(ask4, trigger, body)
    answer = sent(ask4, trigger, body)
    refused(answer, 429, "LIMITS_REACHED")
    assert answer.headers["x-failure-code"] == "LIMITS_REACHED"


# --- sent again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["Idempotency-Key", "webhook-id", "svix-id", "X-GitHub-Delivery"]
)
def test_a_delivery_that_comes_again_is_answered_alike_and_is_one_run(
    ask4: Ask, ports: Ports, background: Background, clock: FakeClock, header: str
) -> None:
    trigger, key = made(ask4), {header: "d1"}
    first = sent(ask4, trigger, {"text": "hi"}, headers=key)
    clock.sleep(3600)
    again = sent(ask4, trigger, {"text": "hi"}, headers=key)
    assert again.json == first.json
    assert "x-replayed" not in first.headers
    assert again.headers["x-replayed"] == "true"
    assert len(all_inputs(ports)) == len(background.runs.list(trigger, 10, None)) == 1
    assert taken(ask4, trigger, {"text": "hi"}, headers={header: "d2"}) != first.json
    refused(sent(ask4, trigger, {"text": "ho"}, headers=key), 409, "CONFLICT")
    refused(sent(ask4, trigger, {"text": "hi"}, headers={header: "é"}), 400, "BAD_REQUEST")


def test_equal_events_without_a_key_are_two(ask4: Ask, ports: Ports) -> None:
    trigger = made(ask4)
    first = taken(ask4, trigger, {"text": "hi", "session": "s"})
    assert taken(ask4, trigger, {"text": "hi", "session": "s"})["id"] != first["id"]
    assert len(all_inputs(ports)) == 2


def test_deliveries_of_two_triggers_have_nothing_to_do_with_one_another(ask4: Ask) -> None:
    key = {"idempotency-key": "d1"}
    first = taken(ask4, made(ask4), {"text": "one"}, headers=key)
    assert taken(ask4, made(ask4), {"text": "two"}, headers=key) != first


def test_what_was_skipped_stays_skipped_however_often_it_is_sent(
    ask4: Ask, ports: Ports, background: Background
) -> None:
    trigger, body = made(ask4, policy="skip"), {"session": "s"}
    session = taken(ask4, trigger, body)["conversationId"]
    key = {"idempotency-key": "k1"}
    skipped = sent(ask4, trigger, body, headers=key)
    assert skipped.json["status"] == "skipped"
    assert "x-replayed" not in skipped.headers
    for policy in ("skip", "enqueue"):
        again = sent(ask4, trigger, body, headers=key)
        assert (again.json, again.headers["x-replayed"]) == (skipped.json, "true")
        if policy == "skip":
            begin(ports, session)
            finish(ports, session)
            ask4("POST", f"{TRIGGERS}/{trigger}/update", {"policy": "enqueue"})
    other = sent(ask4, trigger, {"session": "s", "text": "Other."}, headers=key)
    refused(other, 409, "CONFLICT")
    assert len(inputs(ports, session)) == len(background.runs.list(trigger, 10, None)) == 1


def test_what_was_refused_may_be_taken_in_when_it_is_sent_again(ask4: Ask, ports: Ports) -> None:
    trigger, body = made(ask4, policy="reject"), {"session": "s"}
    session = taken(ask4, trigger, body)["conversationId"]
    key = {"idempotency-key": "k1"}
    refused(sent(ask4, trigger, body, headers=key), 409, "CONFLICT")
    begin(ports, session)
    finish(ports, session)
    assert taken(ask4, trigger, body, headers=key)["status"] == "queued"


def test_a_delivery_finds_its_session_though_the_trigger_goes_on_with_another(
    ask4: Ask, ports: Ports, clock: FakeClock
) -> None:
    trigger, key = made(ask4, sessionDuration=60_000), {"webhook-id": "d1"}
    body = {"session": "s"}
    first = taken(ask4, trigger, body, headers=key)
    clock.sleep(61)
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"botId": "b"})
    assert taken(ask4, trigger, body, headers=key) == first
    assert len(all_inputs(ports)) == 1


def test_what_was_deleted_with_its_session_does_not_come_back(
    ask4: Ask, ports: Ports, background: Background
) -> None:
    trigger, key = made(ask4), {"webhook-id": "d1"}
    for body in ({"session": "s"}, {}):
        key = {"webhook-id": f"d{len(body)}"}
        first = taken(ask4, trigger, body, headers=key)
        delete(ports, first["conversationId"])
        again = sent(ask4, trigger, body, headers=key)
        assert (again.json["status"], again.json["id"]) == ("skipped", None)
        assert again.headers["x-replayed"] == "true"
    assert not all_inputs(ports)


# --- at once, and half way -----------------------------------------------------------------------

TRIGGER = BackgroundTrigger("t", 1, 1, agent_key="a", name="T")
PERSON = Contact("Ann", "ann@example.com")


def intake(backend: Backend, event: Delivered, **more: Any) -> Taken:
    ports, background = more.pop("ports", backend.ports), more.pop("kept", backend.background)
    return take(ports, background, replace(TRIGGER, **more), event, 30, "trace")


def at_once(count: int, do: Callable[[int], Taken]) -> list[Taken]:
    barrier = threading.Barrier(count)
    done: list[Taken] = []

    def run(n: int) -> None:
        barrier.wait()
        done.append(do(n))

    in_threads(run, count)
    return done


@pytest.mark.parametrize("policy", ["enqueue", "skip"])
@pytest.mark.parametrize("seed", ["", "s"])
@pytest.mark.parametrize("duration", [None, 0])
def test_the_same_delivery_many_times_at_once_is_one_run(
    backend: Backend, seed: str, duration: int | None, policy: TriggerPolicy
) -> None:
    one = replace(EVENT, session=seed, contact=PERSON, key="k", digest="d")
    trigger = {"session_duration": duration, "policy": policy}
    done = at_once(6, lambda _: intake(backend, one, **trigger))
    assert len({t.run for t in done}) == 1
    assert sum(not t.repeated for t in done) == 1
    assert len([*backend.ports.sessions.all()]) == len(all_inputs(backend.ports)) == 1
    assert len(backend.background.runs.list("t", 10, None)) == 1


def test_the_first_events_of_a_session_at_once_are_told_to_one(backend: Backend) -> None:
    one = replace(EVENT, session="s", contact=PERSON)
    done = at_once(6, lambda n: intake(backend, replace(one, text=str(n))))
    assert len({t.conversation for t in done}) == 1
    [session] = backend.ports.sessions.all()
    assert {i.texts for i in inputs(backend.ports, session.id)} == {(str(n),) for n in range(6)}
    assert len(backend.background.runs.list("t", 10, None)) == 6
    assert len([*backend.ports.customers.all()]) == 1


def test_the_first_events_after_a_deletion_at_once_are_told_to_one(backend: Backend) -> None:
    first = intake(backend, replace(EVENT, session="s"))
    delete(backend.ports, first.conversation)
    done = at_once(6, lambda _: intake(backend, replace(EVENT, session="s")))
    [found] = {t.conversation for t in done}
    assert found != first.conversation


def test_of_those_that_are_skipped_beside_another_one_is_taken(backend: Backend) -> None:
    done = at_once(6, lambda _: intake(backend, replace(EVENT, session="s"), policy="skip"))
    assert sorted(t.status for t in done) == ["queued", *["skipped"] * 5]
    assert len(all_inputs(backend.ports)) == 1
    assert len(backend.background.runs.list("t", 10, None)) == 1


def test_one_that_is_taken_in_as_it_is_to_be_skipped_is_not(backend: Backend) -> None:
    """It came twice at once, and the turn that was in its way ended between the two looks."""
    first = intake(backend, replace(EVENT, session="s"), policy="skip")
    one = replace(EVENT, session="s", key="k", digest="d")
    ports = backend.ports
    others: list[Taken] = []

    class Late(_Mortal):
        def __getattr__(self, name: str) -> Any:
            if name == "claim" and not others:
                begin(ports, first.conversation)
                finish(ports, first.conversation)
                others.append(intake(backend, one, policy="skip"))
            return getattr(self._port, name)

    late = replace(ports, log=Late(ports.log, (), Life(0)))
    mine = intake(backend, one, policy="skip", ports=late)
    assert others[0].status == mine.status == "queued"
    assert mine.run == others[0].run
    assert mine.repeated
    assert len(all_inputs(ports)) == 2


def test_one_that_is_skipped_as_it_is_to_be_taken_in_is_not_taken_in(backend: Backend) -> None:
    ports = backend.ports
    session = intake(backend, replace(EVENT, session="s")).conversation
    begin(ports, session)
    finish(ports, session)
    declined: list[bool] = []

    class Late(_Mortal):
        def __getattr__(self, name: str) -> Any:
            if name == "append" and not declined:
                other = Writer(ports.log, ports.clock, session, "")
                incarnation = ports.log.tail(session).head.incarnation
                declined.append(other.decline(incarnation, IdempotencyKey("k", "d")))
            return getattr(self._port, name)

    late = replace(ports, log=Late(ports.log, (), Life(0)))
    one = replace(EVENT, session="s", key="k", digest="d")
    mine = intake(backend, one, policy="skip", ports=late)
    assert declined == [True]
    assert (mine.status, mine.run, mine.repeated) == ("skipped", None, True)
    assert len(all_inputs(ports)) == 1


class Died(BaseException):
    """The process ends here."""


@dataclass
class Life:
    """Ends after so many writes."""

    writes: int
    done: list[str] = field(default_factory=list)

    def of(self, port: Any, *names: str) -> Any:
        return _Mortal(port, names, self)

    def wrote(self, name: str) -> None:
        self.done.append(name)
        if len(self.done) == self.writes:
            raise Died


class _Mortal:
    def __init__(self, port: Any, names: tuple[str, ...], life: Life) -> None:
        self._port, self._names, self._life = port, names, life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._names:
            return found

        def write(*args: Any, **more: Any) -> Any:
            answer = found(*args, **more)
            self._life.wrote(name)
            return answer

        return write


def mortal(backend: Backend, life: Life) -> dict[str, Any]:
    ports, kept = backend.ports, backend.background
    return {
        "ports": replace(
            ports,
            log=life.of(ports.log, "append"),
            sessions=life.of(ports.sessions, "create"),
            customers=life.of(ports.customers, "create"),
            wake_ups=life.of(ports.wake_ups, "send"),
        ),
        "kept": replace(
            kept,
            kept=life.of(kept.kept, "claim"),
            deliveries=life.of(kept.deliveries, "claim"),
            runs=life.of(kept.runs, "put"),
        ),
    }


WRITES = ["claim", "claim", "create", "create", "append", "send", "put"]


@pytest.mark.parametrize("after", range(1, len(WRITES) + 1))
@pytest.mark.parametrize("later", [0, 2 * DAY // 3])
def test_wherever_it_stops_a_repeat_makes_it_whole(
    backend: Backend, after: int, later: int
) -> None:
    one = replace(EVENT, session="s", contact=PERSON, key="k", digest="d")
    life = Life(after)
    with pytest.raises(Died):
        intake(backend, one, session_duration=60_000, **mortal(backend, life))
    assert life.done == WRITES[:after]
    backend.received()
    backend.clock.ms += later // 2
    second = intake(backend, one, session_duration=60_000)
    assert second.status == "queued"
    assert second.repeated == (after >= 5)
    assert second.run == intake(backend, one, session_duration=60_000).run
    assert [s.id for s in backend.ports.sessions.all()] == [second.conversation]
    assert len(all_inputs(backend.ports)) == 1
    assert [*backend.background.runs.list("t", 10, None)] == [second.run]
    assert len([*backend.ports.customers.all()]) == 1
    assert WakeUp(second.conversation, guards=1) in backend.received()


@pytest.mark.parametrize("after", range(1, 4))
def test_wherever_it_stops_the_next_event_of_its_session_finds_that(
    backend: Backend, after: int
) -> None:
    one = replace(EVENT, session="s")
    with pytest.raises(Died):
        intake(backend, one, **mortal(backend, Life(after)))
    done = intake(backend, one)
    assert [s.id for s in backend.ports.sessions.all()] == [done.conversation]
    assert intake(backend, one).conversation == done.conversation


def test_a_session_that_is_deleted_under_its_hands_is_left_for_a_new_one(backend: Backend) -> None:
    one = replace(EVENT, session="s")
    first = intake(backend, one)
    ports = backend.ports
    deleted: list[bool] = []

    class Deletes(_Mortal):
        def __getattr__(self, name: str) -> Any:
            if name == "append" and not deleted:
                deleted.append(True)
                delete(ports, first.conversation)
            return getattr(self._port, name)

    late = replace(ports, log=Deletes(ports.log, (), Life(0)))
    done = intake(backend, one, ports=late)
    assert done.status == "queued"
    assert done.conversation != first.conversation
    assert len(inputs(ports, done.conversation)) == 1


def test_the_same_key_with_another_event_is_refused_without_a_trace(backend: Backend) -> None:
    one = replace(EVENT, key="k", digest="d")
    intake(backend, one)
    with pytest.raises(IdempotencyKeyReused):
        intake(backend, replace(one, digest="e"))
    assert len(all_inputs(backend.ports)) == 1


def test_runs_sort_by_time(backend: Backend) -> None:
    made = []
    for _ in range(3):
        made.append(intake(backend, EVENT).run)
        backend.clock.sleep(1)
    assert [*backend.background.runs.list("t", 10, None)] == made[::-1]


@pytest.mark.parametrize(
    ("more", "error"),
    [({"paused": "Why."}, Conflict), ({"agent_key": ""}, Conflict), ({"agent_key": "c"}, Conflict)],
)
def test_what_takes_nothing_leaves_no_session(
    backend: Backend, more: dict[str, Any], error: type[CuelineError]
) -> None:
    with pytest.raises(error):
        intake(backend, EVENT, **more)
    assert not [*backend.ports.sessions.all()]


def test_a_body_and_a_query_tell_deliveries_apart() -> None:
    key = {"webhook-id": "d1"}
    given = [
        delivered("t", "POST", {}, key, b"x"),
        delivered("t", "PUT", {}, key, b"x"),
        delivered("t", "POST", {"session": ["s"]}, key, b"x"),
        delivered("t", "POST", {}, key, b"y"),
    ]
    assert len({one.digest for one in given}) == 4
    assert len({one.key for one in given}) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["text", "session", "contact", "contact.name", "contact_email", "x"])


@given(
    body=st.binary(max_size=200)
    | st.dictionaries(NAMES, JSON | st.dictionaries(st.sampled_from(["name", "email"]), JSON)).map(
        lambda value: json.dumps(value).encode()
    ),
    query=st.dictionaries(NAMES, st.lists(st.text(max_size=20), max_size=2)),
    headers=st.dictionaries(st.sampled_from(DELIVERY_HEADERS), st.text(max_size=20)),
    default=st.sampled_from(["", "Look."]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_is_text_or_is_refused(
    body: bytes, query: dict[str, list[str]], headers: dict[str, str], default: str
) -> None:
    try:
        event = delivered("t", "POST", query, headers, body)
    except InvalidRequest:
        return
    texts = event.texts(default)
    check_text([*texts])
    assert all(text.encode() for text in texts)
    assert event.contact.fingerprint
