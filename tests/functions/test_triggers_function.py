"""Door 4's triggers: made, shown, changed, fired by hand, and gone again."""

from dataclasses import replace
from typing import Any

import pytest

from cueline import bootstrap
from cueline.adapters.memory.background import MemoryFirings
from cueline.doors.access import Access, hashed
from cueline.doors.background_triggers import triggers as door
from cueline.engine.agent import Agent
from cueline.engine.background import Background, BackgroundTrigger
from cueline.engine.ports import Key, Ports, Secret
from cueline.errors import InvalidRequest, Unavailable
from cueline.log.events import Input
from tests.clock import FakeClock
from tests.functions.background import (
    SIGNING,
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

__all__ = ["agents", "ask4", "background"]

MINUTE = 60_000
DAY = 86_400_000
EVERYTHING: dict[str, Any] = {
    "name": "Orders",
    "description": "Tells of every new order.",
    "meta": {"team": "shop", "deep": {"er": [1, None]}},
    "botId": "b",
    "authenticate": False,
    "sessionDuration": 60_000,
    "schedule": "30 9 * * mon-fri",
    "timezone": "Europe/Berlin",
    "text": "Look at the new orders.",
    "policy": "coalesce",
    "delay": 5,
    "maxAge": 600,
    "maxAttempts": 2,
    "pauseAfter": 0,
}
OWN = {
    *("id", "secret", "createdAt", "updatedAt", "lastTriggerAt", "nextTriggerAt"),
    *("paused", "pausedReason", "consecutiveFailures"),
}


def firings(background: Background) -> list[tuple[str, str, str]]:
    assert isinstance(background.firings, MemoryFirings)
    return [*background.firings.made.values()]


def stored(background: Background, trigger: str) -> BackgroundTrigger:
    found = background.triggers.get(trigger)
    assert found
    return found


# --- made and shown ------------------------------------------------------------------------------


def test_a_trigger_is_shown_as_it_was_made_and_its_secret_beside_it(ask4: Ask) -> None:
    answer = ask4("POST", f"{TRIGGERS}/create", EVERYTHING)
    assert {*answer.json} == {"id"}, "the secret is not in it"
    found = shown(ask4, answer.json["id"])
    assert {name: found[name] for name in EVERYTHING} == EVERYTHING
    assert {*found} == {*EVERYTHING} | OWN
    assert len(bytes.fromhex(found["secret"])) == 32
    assert found["createdAt"] == found["updatedAt"] == 1_750_000_000_000
    assert found["lastTriggerAt"] is None
    assert found["nextTriggerAt"] > found["createdAt"]
    assert not found["paused"]


def test_what_nobody_says_has_a_meaning_too(ask4: Ask) -> None:
    found = shown(ask4, ask4("POST", f"{TRIGGERS}/create", {}).json["id"])
    assert {name: found.get(name) for name in EVERYTHING} == {
        "name": "",
        "description": "",
        "meta": {},
        "botId": None,
        "authenticate": True,
        "sessionDuration": None,
        "schedule": None,
        "timezone": None,
        "text": "",
        "policy": "enqueue",
        "delay": 0,
        "maxAge": 0,
        "maxAttempts": 4,
        "pauseAfter": 10,
    }
    assert "botId" not in found


def test_both_prefixes_lead_to_the_door(ask4: Ask) -> None:
    trigger = made(ask4)
    assert ask4("GET", f"/v1/integration/trigger/{trigger}/fetch").status == 200
    refused(ask4("GET", f"/v2/integration/trigger/{trigger}/fetch"), 404, "NOT_FOUND")
    refused(ask4("GET", f"{TRIGGERS}/{trigger}/nothing"), 404, "NOT_FOUND")
    refused(ask4("POST", f"{TRIGGERS}/{trigger}/fetch"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5),
        ("name", "x" * 201),
        ("name", "\x00"),
        ("meta", []),
        ("meta", {"x": "y" * 33_000}),
        ("botId", "nobody"),
        ("botId", "no.body"),
        ("authenticate", "yes"),
        ("sessionDuration", 999),
        ("sessionDuration", -1),
        ("sessionDuration", 32 * DAY),
        ("schedule", "sometimes"),
        ("timezone", "Middle/Earth"),
        ("policy", "maybe"),
        ("delay", -1),
        ("maxAge", 10**9),
        ("maxAttempts", 0),
        ("pauseAfter", -1),
        ("nmae", "Orders"),
    ],
)
def test_what_no_trigger_can_have_is_refused_by_its_name(
    ask4: Ask, background: Background, field: str, value: Any
) -> None:
    for path in ("create", f"{made(ask4)}/update"):
        message = refused(ask4("POST", f"{TRIGGERS}/{path}", {field: value}), 400, "BAD_REQUEST")
        assert field in message
    assert len([*background.triggers.all()]) == 1
    assert not firings(background)


@pytest.mark.parametrize("policy", ["interrupt", "steer", "silent"])
def test_what_is_for_the_turn_that_runs_is_not_held_back(
    ask4: Ask, background: Background, policy: str
) -> None:
    delayed, other = made(ask4, delay=5), made(ask4, policy=policy)
    for path, given in [
        ("create", {"policy": policy, "delay": 5}),
        (f"{delayed}/update", {"policy": policy}),
        (f"{other}/update", {"delay": 5}),
    ]:
        message = refused(ask4("POST", f"{TRIGGERS}/{path}", given), 400, "BAD_REQUEST")
        assert "delay: goes with the policies enqueue, coalesce, reject and skip" in message
        assert policy in message
    assert len([*background.triggers.all()]) == 2
    for trigger, change in [
        (delayed, {"policy": policy, "delay": 0}),
        (other, {"policy": "skip", "delay": 5}),
    ]:
        assert ask4("POST", f"{TRIGGERS}/{trigger}/update", change).status == 200


def test_what_other_editions_know_does_no_harm(ask4: Ask) -> None:
    trigger = made(ask4, blueprintId="x", alias="y", visibility="private", triggerSchedule="daily")
    assert shown(ask4, trigger)["schedule"] == "daily"


def test_a_body_that_a_web_page_may_send_unasked_is_refused(ask4: Ask) -> None:
    answer = ask4("POST", f"{TRIGGERS}/create", {}, headers={"content-type": "text/plain"})
    refused(answer, 400, "BAD_REQUEST")


def test_under_an_idempotency_key_one_trigger_is_made(ask4: Ask, background: Background) -> None:
    key = {"idempotency-key": "k1"}
    first = ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=key)
    assert ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=key).json == first.json
    other = ask4("POST", f"{TRIGGERS}/create", {"name": "Other"}, headers=key)
    refused(other, 409, "CONFLICT")
    assert len([*background.triggers.all()]) == len(firings(background)) == 1


def test_a_repeat_arms_what_its_first_try_did_not_come_to(
    ask4: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise Unavailable("The scheduler does not answer.")

    key = {"idempotency-key": "k1"}
    with monkeypatch.context() as broken:
        broken.setattr(door, "settle", dies)
        answer = ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=key)
        refused(answer, 503, "SERVICE_UNAVAILABLE")
    assert not firings(background)
    assert ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=key).status == 200
    assert len(firings(background)) == 1


@pytest.mark.parametrize("into_the_minute", [0, 59_000])
def test_what_the_client_sends_again_by_itself_makes_one_trigger(
    ask4: Ask,
    background: Background,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    into_the_minute: int,
) -> None:
    """The published client gives no key."""
    puts = background.firings.put
    failures = [Unavailable("EventBridge Scheduler is busy.")] * 2

    def busy(*what: str) -> None:
        if failures:
            raise failures.pop()
        puts(*what)

    monkeypatch.setattr(background.firings, "put", busy)
    clock.ms += into_the_minute - clock.ms % MINUTE
    answers = []
    for _ in range(4):
        answers.append(ask4("POST", f"{TRIGGERS}/create", EVERYTHING))
        clock.sleep(0.7)
    assert [answer.status for answer in answers] == [503, 503, 200, 200]
    [trigger] = background.triggers.all()
    assert answers[2].json == answers[3].json == {"id": trigger.id}
    assert len(firings(background)) == 1


def unkeyed(ask4: Ask) -> str:
    """The id of what is made."""
    return str(ask4("POST", f"{TRIGGERS}/create", {"name": "Same"}).json["id"])


def test_who_makes_two_alike_a_minute_apart_has_two(
    ask4: Ask, background: Background, clock: FakeClock
) -> None:
    clock.ms += MINUTE - clock.ms % MINUTE
    first = unkeyed(ask4)
    clock.ms += MINUTE - 1
    assert unkeyed(ask4) == first
    clock.ms += 1
    assert unkeyed(ask4) != first
    assert len([*background.triggers.all()]) == 2


def test_what_was_changed_since_is_not_what_a_retry_means(ask4: Ask, clock: FakeClock) -> None:
    first = unkeyed(ask4)
    ask4("POST", f"{TRIGGERS}/{first}/update", {"name": "Changed"})
    assert unkeyed(ask4) != first
    assert shown(ask4, first)["name"] == "Changed"


def test_who_makes_again_what_was_deleted_gets_another_secret(ask4: Ask, clock: FakeClock) -> None:
    first = shown(ask4, unkeyed(ask4))
    ask4("POST", f"{TRIGGERS}/{first['id']}/delete", {})
    clock.sleep(1)
    assert shown(ask4, unkeyed(ask4))["secret"] != first["secret"]


def refuse(*_: object) -> None:
    raise InvalidRequest("No schedule can be made of this.", {"schedule": "refused"})


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k1"}])
def test_nothing_is_made_of_a_schedule_that_cannot_be_armed(
    ask4: Ask,
    background: Background,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
) -> None:
    monkeypatch.setattr(background.firings, "put", refuse)
    answer = ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=headers)
    refused(answer, 400, "BAD_REQUEST")
    assert not [*background.triggers.all()]


def test_a_trigger_stays_whose_maker_repeats_himself_when_its_schedule_is_refused(
    ask4: Ask, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"idempotency-key": "k1"}
    trigger = ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=key).json["id"]
    clock.ms += MINUTE
    monkeypatch.setattr(MemoryFirings, "put", refuse)
    answer = ask4("POST", f"{TRIGGERS}/create", EVERYTHING, headers=key)
    refused(answer, 400, "BAD_REQUEST")
    assert shown(ask4, trigger)


# --- lists ---------------------------------------------------------------------------------------


def test_lists_show_the_newest_first_page_by_page(ask4: Ask, clock: FakeClock) -> None:
    names = ["one", "two", "three"]
    for name in names:
        made(ask4, name=name, meta={"n": name}, botId="b" if name == "two" else "a")
        clock.sleep(1)

    def listed(**query: str) -> list[str]:
        return [t["name"] for t in ask4("GET", f"{TRIGGERS}/list", query=query).json["items"]]

    assert listed() == ["three", "two", "one"]
    assert listed(order="asc") == names
    assert listed(**{"meta.n": "two"}) == ["two"]
    assert listed(botId="b") == ["two"]
    first = ask4("GET", f"{TRIGGERS}/list", query={"take": "2"}).json
    assert [t["name"] for t in first["items"]] == ["three", "two"]
    assert listed(take="2", cursor=first["cursor"]) == ["one"]
    refused(ask4("GET", f"{TRIGGERS}/list", query={"cursor": "?"}), 400, "BAD_REQUEST")


def test_a_list_shows_what_a_fetch_does(ask4: Ask) -> None:
    trigger = made(ask4)
    assert ask4("GET", f"{TRIGGERS}/list").json["items"] == [shown(ask4, trigger)]
    lines = ask4("GET", f"{TRIGGERS}/list", headers={"accept": "application/jsonl"})
    assert trigger in lines.text
    assert lines.text.startswith('{"type": "item"')


def test_schedules_of_agents_are_not_shown(ask4: Ask, background: Background) -> None:
    hidden = BackgroundTrigger("schedule.a.daily", 1, 1, agent_key="a", authenticate=False)
    assert background.triggers.create(hidden)
    assert ask4("GET", f"{TRIGGERS}/list").json == {"items": []}
    refused(ask4("GET", f"{TRIGGERS}/{hidden.id}/fetch"), 404, "NOT_FOUND")
    refused(ask4("POST", f"{TRIGGERS}/{hidden.id}/event", {}), 401, "NOT_AUTHENTICATED")
    refused(ask4("GET", f"{TRIGGERS}/list", query={"cursor": hidden.id}), 400, "BAD_REQUEST")


# --- changed -------------------------------------------------------------------------------------


def test_an_update_changes_what_it_names_and_null_is_the_default(
    ask4: Ask, clock: FakeClock
) -> None:
    trigger = ask4("POST", f"{TRIGGERS}/create", EVERYTHING).json["id"]
    before = shown(ask4, trigger)
    clock.sleep(5)
    body = {"name": "Bills", "sessionDuration": None, "schedule": None, "maxAttempts": None}
    answer = ask4("POST", f"{TRIGGERS}/{trigger}/update", body)
    assert (answer.status, answer.json) == (200, {"id": trigger})
    assert shown(ask4, trigger) == {
        **before,
        "name": "Bills",
        "sessionDuration": None,
        "schedule": None,
        "maxAttempts": 4,
        "nextTriggerAt": None,
        "updatedAt": clock.ms,
    }


def test_what_was_shown_may_come_back_whole_and_changes_nothing(
    ask4: Ask, background: Background, clock: FakeClock
) -> None:
    trigger = ask4("POST", f"{TRIGGERS}/create", EVERYTHING).json["id"]
    before = shown(ask4, trigger)
    clock.sleep(5)
    assert ask4("POST", f"{TRIGGERS}/{trigger}/update", before).status == 200
    assert shown(ask4, trigger) == before
    assert stored(background, trigger).version == 0


def test_a_schedule_is_armed_changed_and_taken_away(ask4: Ask, background: Background) -> None:
    trigger = made(ask4)
    assert not firings(background)
    for schedule, expected in (("09:30", "cron(30 9 * * ? *)"), ("08:15", "cron(15 8 * * ? *)")):
        ask4("POST", f"{TRIGGERS}/{trigger}/update", {"schedule": schedule})
        assert [f[0] for f in firings(background)] == [expected]
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"paused": True})
    assert not firings(background)
    assert shown(ask4, trigger)["nextTriggerAt"] is None
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"paused": False})
    assert len(firings(background)) == 1
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"schedule": None})
    assert not firings(background)


def test_an_update_that_comes_again_arms_what_its_first_try_did_not_come_to(
    ask4: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise Unavailable("The scheduler does not answer.")

    trigger = made(ask4)
    with monkeypatch.context() as broken:
        broken.setattr(door, "settle", dies)
        answer = ask4("POST", f"{TRIGGERS}/{trigger}/update", {"schedule": "daily"})
        refused(answer, 503, "SERVICE_UNAVAILABLE")
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"schedule": "daily"})
    assert len(firings(background)) == 1


def test_a_schedule_that_cannot_be_armed_leaves_everything_as_it_was(
    ask4: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = made(ask4, name="Orders", schedule="08:00")
    before, armed = shown(ask4, trigger), firings(background)
    puts = background.firings.put

    def selective(name: str, expression: str, timezone: str, message: str) -> None:
        if expression == "cron(30 9 * * ? *)":
            # Meanwhile somebody else changes something else.
            door.change(background, trigger, lambda old: replace(old, description="Theirs"))
            refuse()
        puts(name, expression, timezone, message)

    monkeypatch.setattr(background.firings, "put", selective)
    body = {"name": "Bills", "schedule": "09:30"}
    refused(ask4("POST", f"{TRIGGERS}/{trigger}/update", body), 400, "BAD_REQUEST")
    assert shown(ask4, trigger) == {**before, "description": "Theirs"}
    assert firings(background) == armed


def test_a_new_secret_ends_the_old_one(ask4: Ask) -> None:
    trigger = made(ask4)
    old = shown(ask4, trigger)["secret"]
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"rotateSecret": True})
    assert shown(ask4, trigger)["secret"] != old
    answer = sent(ask4, trigger, {}, headers={"authorization": f"Bearer {old}"})
    refused(answer, 401, "NOT_AUTHENTICATED")
    assert taken(ask4, trigger, {})["ok"]


def test_a_trigger_that_is_made_again_has_no_secret_that_it_had_before(
    ask4: Ask, clock: FakeClock
) -> None:
    def make() -> str:
        headers = {"idempotency-key": "orders"}
        made: str = ask4("POST", f"{TRIGGERS}/create", {"botId": "a"}, headers=headers).json["id"]
        return made

    trigger = make()
    old = shown(ask4, trigger)["secret"]
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"rotateSecret": True})
    ask4("POST", f"{TRIGGERS}/{trigger}/delete", {})
    clock.sleep(90 * 86_400)
    assert make() == trigger, "under the same key it has the same id"
    assert shown(ask4, trigger)["secret"] != old
    answer = sent(ask4, trigger, {}, headers={"authorization": f"Bearer {old}"})
    refused(answer, 401, "NOT_AUTHENTICATED")


def test_who_pauses_a_trigger_by_hand_says_so_and_who_goes_on_forgets_its_failures(
    ask4: Ask, background: Background
) -> None:
    trigger = made(ask4)
    assert background.triggers.replace(
        replace(stored(background, trigger), failures=3, paused="3 runs failed.", version=1)
    )
    assert shown(ask4, trigger)["consecutiveFailures"] == 3
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"paused": True})
    assert shown(ask4, trigger)["pausedReason"] == "3 runs failed.", "which is why it is"
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"paused": False})
    found = shown(ask4, trigger)
    assert (found["paused"], found["pausedReason"]) == (False, None)
    assert found["consecutiveFailures"] == 0
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"paused": True})
    assert shown(ask4, trigger)["pausedReason"] == "Somebody has paused it."


def test_two_who_change_at_once_both_do(
    ask4: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = made(ask4)
    replaces = background.triggers.replace
    first: list[bool] = []

    def late(new: BackgroundTrigger) -> bool:
        if not first:
            first.append(True)
            ask4("POST", f"{TRIGGERS}/{trigger}/update", {"name": "Theirs"})
        return replaces(new)

    monkeypatch.setattr(background.triggers, "replace", late)
    ask4("POST", f"{TRIGGERS}/{trigger}/update", {"description": "Mine"})
    found = shown(ask4, trigger)
    assert (found["name"], found["description"]) == ("Theirs", "Mine")


# --- gone ----------------------------------------------------------------------------------------


def test_a_deleted_trigger_is_gone_with_its_schedule(ask4: Ask, background: Background) -> None:
    trigger = ask4("POST", f"{TRIGGERS}/create", EVERYTHING).json["id"]
    answer = ask4("POST", f"{TRIGGERS}/{trigger}/delete", {})
    assert (answer.status, answer.json) == (200, {"id": trigger})
    assert not firings(background)
    for method, path in (
        ("GET", "fetch"),
        *(("POST", path) for path in ("update", "delete", "setup", "invoke")),
    ):
        answer = ask4(method, f"{TRIGGERS}/{trigger}/{path}", None if method == "GET" else {})
        refused(answer, 404, "NOT_FOUND")


def test_a_delete_that_comes_again_takes_away_the_schedule_that_was_left(
    ask4: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise Unavailable("The scheduler does not answer.")

    trigger = ask4("POST", f"{TRIGGERS}/create", EVERYTHING).json["id"]
    with monkeypatch.context() as broken:
        broken.setattr(door, "settle", dies)
        ask4("POST", f"{TRIGGERS}/{trigger}/delete", {})
    assert firings(background)
    ask4("POST", f"{TRIGGERS}/{trigger}/delete", {})
    assert not firings(background)


# --- fired by hand -------------------------------------------------------------------------------


def texts(ports: Ports, session: str) -> list[tuple[str, ...]]:
    head = ports.log.tail(session).head
    found = ports.log.read(session, head.incarnation, -1, 100)
    return [r.event.texts for r in found if isinstance(r.event, Input)]


def test_setup_is_there(ask4: Ask) -> None:
    trigger = made(ask4)
    assert ask4("POST", f"{TRIGGERS}/{trigger}/setup", {}).json == {"id": trigger}


def test_who_invokes_a_trigger_sends_it_an_event(
    ask4: Ask, ports: Ports, background: Background, clock: FakeClock
) -> None:
    trigger = made(ask4)
    answer = ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {}).json
    assert answer["id"] == trigger
    assert background.runs.get(trigger, answer["runId"])
    assert texts(ports, answer["conversationId"]) == [("Somebody has started you by hand.",)]
    assert shown(ask4, trigger)["lastTriggerAt"] == clock.ms
    more = ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {"text": "And this."}).json
    assert more["conversationId"] == answer["conversationId"]
    assert texts(ports, answer["conversationId"])[1:] == [("And this.",)]


def test_who_invokes_the_same_within_a_minute_asks_again(ask4: Ask, clock: FakeClock) -> None:
    trigger = made(ask4)
    first = ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {})
    again = ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {})
    assert again.json == first.json
    assert again.headers["x-replayed"] == "true"
    clock.sleep(60)
    assert ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {}).json["runId"] != first.json["runId"]


def test_a_retry_of_an_invoke_may_cross_the_minute(
    ask4: Ask, background: Background, clock: FakeClock
) -> None:
    trigger = made(ask4)

    def invoked(seconds: float) -> str:
        clock.ms += round(1000 * seconds)
        return str(ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {}).json["runId"])

    clock.ms += MINUTE - clock.ms % MINUTE
    first = invoked(59.9)
    assert invoked(0.3) == first
    assert invoked(59.6) == first
    second = invoked(0.1)
    assert second != first
    assert invoked(0.1) == second
    assert len(background.runs.list(trigger, 10, None)) == 2


def test_a_paused_trigger_is_not_invoked(ask4: Ask) -> None:
    trigger = made(ask4, paused=True)
    answer = ask4("POST", f"{TRIGGERS}/{trigger}/invoke", {})
    assert "paused" in refused(answer, 409, "CONFLICT")


# --- who may -------------------------------------------------------------------------------------


def test_the_account_is_asked_for_an_api_key_and_events_for_the_secret(
    ask4: Ask, ports: Ports, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = made(ask4)
    secret = shown(ask4, trigger)["secret"]
    ports.keys.put(Key("me", "Me", (Secret(hashed("x" * 40)),), created_at=0))
    access = Access(ports.keys, ports.clock, lambda: SIGNING)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, access))
    mine = {"authorization": f"Bearer me.{'x' * 40}"}
    for headers in ({}, {"authorization": f"Bearer {secret}"}):
        answer = ask4("GET", f"{TRIGGERS}/{trigger}/fetch", headers=headers)
        refused(answer, 401, "NOT_AUTHENTICATED")
    assert ask4("GET", f"{TRIGGERS}/{trigger}/fetch", headers=mine).status == 200
    refused(ask4("POST", f"{TRIGGERS}/{trigger}/event", {}, headers=mine), 401, "NOT_AUTHENTICATED")
    new = ask4("POST", f"{TRIGGERS}/create", {"botId": "a"}, headers=mine).json["id"]
    assert stored(background, new).caller == "me", "who pays for it"


def test_an_agent_named_by_a_trigger_is_one_that_is_there(ask4: Ask, ports: Ports) -> None:
    ports.agents.create(Agent(key="c", name="C", model="m", created_at=1, updated_at=1))
    trigger = made(ask4, botId="c")
    assert shown(ask4, trigger)["botId"] == "c"
