"""Door 1's schedules: made, shown, changed, removed; and what comes of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cueline import bootstrap
from cueline.adapters.memory import MemoryWakeUps
from cueline.adapters.memory.background import MemoryFirings
from cueline.doors.access import Access, hashed
from cueline.doors.background_triggers import messages_in
from cueline.doors.background_triggers.arming import firing_name
from cueline.engine import sessions
from cueline.engine.background import Background, BackgroundTrigger
from cueline.engine.ports import Key, Ports, Secret
from cueline.engine.turn import Limits
from cueline.engine.worker import Worker
from cueline.errors import InvalidRequest, Unavailable
from cueline.log.events import Input
from tests.clock import FakeClock
from tests.functions.background import agents, background
from tests.functions.conftest import Ask
from tests.gateway import Answer
from tests.models import ScriptedModel, refused

__all__ = ["agents", "background"]

SCHEDULES = "/v2/agents/a/schedules"
ONE = f"{SCHEDULES}/daily"
HELLO = [{"type": "text", "content": "Sum the day up."}]
HOURLY = {"type": "interval", "interval": "PT1H"}
SMALLEST: dict[str, Any] = {"name": "Daily", "message": HELLO, "schedule": HOURLY}
START = datetime(2026, 11, 27, 20, 47, 30, tzinfo=UTC)
HOUR = 3_600_000
LEASE = 30

Fire = Callable[[], None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(round(START.timestamp() * 1000))


@pytest.fixture
def ask1(ask: Ask, background: Background, agents: None, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks door 1; the agents `a` and `b` are there."""
    monkeypatch.setattr(bootstrap, "background", lambda: background)
    return ask


@pytest.fixture
def daily(ask1: Ask) -> dict[str, Any]:
    return made(ask1, key="daily")


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def fire(ports: Ports, background: Background, clock: FakeClock, model: ScriptedModel) -> Fire:
    """An hour later; what comes of it is worked off."""

    def once() -> None:
        clock.sleep(3600)
        send(ports, background, clock.now())
        work(ports, model)

    return once


def made(ask1: Ask, path: str = SCHEDULES, **fields: Any) -> dict[str, Any]:
    answer = ask1("POST", path, {**SMALLEST, **fields})
    assert answer.status == 201, answer.text
    return dict(answer.json)


def send(ports: Ports, background: Background, at: int) -> None:
    """As EventBridge Scheduler does."""
    _, _, message = armed(background)[firing_name("schedule.a.daily")]
    time = f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    body = message.replace("<aws.scheduler.scheduled-time>", time)
    messages_in.work_off(ports, background, body, f"message at {at}", LEASE, "trace")


def work(ports: Ports, model: ScriptedModel) -> None:
    worker = Worker(ports, lambda: model, Limits(lease=LEASE))
    assert isinstance(ports.wake_ups, MemoryWakeUps)
    for _ in range(5):
        for wake_up in ports.wake_ups.drain():
            worker.handle(wake_up, 100.0, "worker")


def armed(background: Background) -> dict[str, tuple[str, str, str]]:
    assert isinstance(background.firings, MemoryFirings)
    return background.firings.made


def stored(background: Background, key: str = "daily") -> BackgroundTrigger:
    found = background.triggers.get(f"schedule.a.{key}")
    assert found
    return found


def wrong(answer: Answer) -> set[str]:
    assert (answer.status, answer.json["code"]) == (400, "invalid_request"), answer.text
    return set(answer.json["field_errors"])


# --- made and shown ------------------------------------------------------------------------------


def test_a_schedule_is_shown_as_it_was_made(ask1: Ask) -> None:
    told: dict[str, Any] = {
        "key": "daily",
        "name": "Daily",
        "description": "At nine.",
        "message": [*HELLO, {"type": "text", "content": "Be\n\nbrief."}],
        "schedule": {"type": "cron", "cron_expression": "0 9 * * 1-5"},
        "enabled": True,
        "session_metadata": {"report": {"kind": "daily"}},
        "max_executions_to_keep": 3,
    }
    shown = made(ask1, **told)
    assert shown == {
        **told,
        "agent_key": "a",
        "created_at": "2026-11-27T20:47:30.000Z",
        "next_execution_at": "2026-11-30T09:00:00.000Z",
    }
    assert ask1("GET", ONE).json == shown
    assert ask1("GET", SCHEDULES).json == {"schedules": [shown], "metadata": {}}


def test_what_is_left_out_has_its_default(daily: dict[str, Any]) -> None:
    assert daily == {
        **SMALLEST,
        "key": "daily",
        "agent_key": "a",
        "enabled": True,
        "max_executions_to_keep": 10,
        "created_at": "2026-11-27T20:47:30.000Z",
        "next_execution_at": "2026-11-27T21:47:00.000Z",
    }


def test_a_schedule_is_armed_until_it_is_removed(
    ask1: Ask, daily: dict[str, Any], background: Background
) -> None:
    expression, zone, message = armed(background)[firing_name("schedule.a.daily")]
    assert (expression, zone) == ("cron(47 * * * ? *)", "UTC")
    assert json.loads(message)["trigger"] == "schedule.a.daily"
    assert ask1("DELETE", ONE).status == 204
    assert not armed(background)
    assert ask1("GET", ONE).status == 404
    assert ask1("GET", SCHEDULES).json["schedules"] == []
    again = ask1("DELETE", ONE)
    assert (again.status, again.json["code"]) == (404, "not_found")


def test_a_schedule_that_is_disabled_is_not_armed(ask1: Ask, background: Background) -> None:
    shown = made(ask1, key="daily", enabled=False)
    assert not shown["enabled"]
    assert "next_execution_at" not in shown
    assert not armed(background)
    shown = ask1("PATCH", ONE, {"enabled": True}).json
    assert shown["enabled"]
    assert len(armed(background)) == 1
    assert not ask1("PATCH", ONE, {"enabled": False}).json["enabled"]
    assert not armed(background)
    assert ask1("PATCH", ONE, {"enabled": None}).json["enabled"]


def test_one_key_names_one_schedule_of_each_agent(ask1: Ask, daily: dict[str, Any]) -> None:
    taken = ask1("POST", SCHEDULES, {**SMALLEST, "key": "daily", "name": "Another"})
    assert (taken.status, taken.json["code"]) == (409, "conflict")
    other = made(ask1, "/v2/agents/b/schedules", key="daily")
    assert other["agent_key"] == "b"
    assert [s["agent_key"] for s in ask1("GET", SCHEDULES).json["schedules"]] == ["a"]


def test_the_client_s_own_retry_makes_nothing_anew(ask1: Ask, daily: dict[str, Any]) -> None:
    assert made(ask1, key="daily") == daily


def test_a_key_that_is_not_given_is_made_up(ask1: Ask) -> None:
    shown = made(ask1)
    assert shown["key"].startswith("sch_daily_")
    assert ask1("GET", f"{SCHEDULES}/{shown['key']}").json == shown


def test_an_idempotency_key_makes_one_schedule(ask1: Ask) -> None:
    headers = {"Idempotency-Key": "k"}
    first = ask1("POST", SCHEDULES, SMALLEST, headers=headers)
    assert ask1("POST", SCHEDULES, SMALLEST, headers=headers).json == first.json
    other = ask1("POST", SCHEDULES, {**SMALLEST, "name": "Other"}, headers=headers)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert len(ask1("GET", SCHEDULES).json["schedules"]) == 1


def test_who_could_not_arm_a_schedule_does_when_asked_again(
    ask1: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("Not now.")

    with monkeypatch.context() as away:
        away.setattr(background.firings, "put", fail)
        assert ask1("POST", SCHEDULES, {**SMALLEST, "key": "daily"}).status == 503
    made(ask1, key="daily")
    assert len(armed(background)) == 1

    with monkeypatch.context() as away:
        away.setattr(background.firings, "remove", fail)
        assert ask1("DELETE", ONE).status == 503
    assert ask1("DELETE", ONE).status == 404
    assert not armed(background)


def test_what_cannot_be_armed_is_not_made_nor_changed(
    ask1: Ask, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InvalidRequest("No schedule can be made of this.", {"schedule": "refused"})

    with monkeypatch.context() as strict:
        strict.setattr(background.firings, "put", refuse)
        assert ask1("POST", SCHEDULES, {**SMALLEST, "key": "daily"}).status == 400
    assert not [*background.triggers.all()]
    before = made(ask1, key="daily")
    puts = background.firings.put

    def selective(name: str, expression: str, *more: str) -> None:
        if expression == "rate(90 minutes)":
            refuse()
        puts(name, expression, *more)

    monkeypatch.setattr(background.firings, "put", selective)
    body = {"schedule": {"type": "interval", "interval": "PT90M"}}
    assert ask1("PATCH", ONE, body).status == 400
    assert ask1("GET", ONE).json == before


def test_a_list_goes_on_where_its_last_page_ended(ask1: Ask, clock: FakeClock) -> None:
    for key in ("z", "b", "c", "a"):
        made(ask1, key=key)
        clock.sleep(0.001 if key == "b" else 0)
    seen: list[str] = []
    query = {"limit": "3"}
    while True:
        page = ask1("GET", SCHEDULES, query=query).json
        seen += [one["key"] for one in page["schedules"]]
        if "page_key" not in page["metadata"]:
            break
        query["page_key"] = page["metadata"]["page_key"]
        ask1("DELETE", f"{SCHEDULES}/{seen[-1]}")
    assert seen == ["b", "z", "a", "c"]
    assert ask1("GET", SCHEDULES, query={"page_key": "x"}).status == 400


# --- changed -------------------------------------------------------------------------------------


def test_what_is_not_given_stays(ask1: Ask, daily: dict[str, Any]) -> None:
    changed = ask1("PATCH", ONE, {"description": "D", "session_metadata": {"a": 1}})
    assert changed.json == {**daily, "description": "D", "session_metadata": {"a": 1}}
    nulls = {"description": None, "session_metadata": None, "max_executions_to_keep": None}
    assert ask1("PATCH", ONE, nulls).json == daily
    assert ask1("PATCH", ONE, {}).json == daily


def test_a_changed_schedule_is_armed_anew(
    ask1: Ask, daily: dict[str, Any], background: Background
) -> None:
    changed = {"type": "interval", "interval": "PT90M"}
    shown = ask1("PATCH", ONE, {"schedule": changed}).json
    assert shown["schedule"] == changed
    assert shown["next_execution_at"] == "2026-11-27T22:17:30.000Z"
    assert armed(background)[firing_name("schedule.a.daily")][0] == "rate(90 minutes)"


def test_enabling_forgets_why_a_schedule_had_paused_itself(
    ask1: Ask, daily: dict[str, Any], background: Background
) -> None:
    paused = replace(stored(background), paused="10 runs failed", failures=10, version=1)
    assert background.triggers.replace(paused)
    shown = ask1("GET", ONE).json
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "10 runs failed")
    assert ask1("PATCH", ONE, {"enabled": True}).json == daily
    assert stored(background).failures == 0


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"key": "a.b"}, "key"),
        ({"key": "x" * 51}, "key"),
        ({"message": []}, "message"),
        ({"message": None}, "message"),
        ({"message": "Hello"}, "message"),
        ({"message": [{"type": "image"}]}, "message.0"),
        ({"schedule": None}, "schedule"),
        ({"schedule": "hourly"}, "schedule"),
        ({"schedule": {"type": "once"}}, "schedule"),
        ({"schedule": {"type": "interval"}}, "schedule.interval"),
        ({"schedule": {"type": "interval", "interval": "hourly"}}, "schedule.interval"),
        ({"schedule": {"type": "interval", "interval": "PT59S"}}, "schedule.interval"),
        ({"schedule": {"type": "interval", "interval": "PT0M"}}, "schedule.interval"),
        ({"schedule": {"type": "interval", "interval": "P"}}, "schedule.interval"),
        ({"schedule": {"type": "interval", "interval": "PT90S"}}, "schedule.interval"),
        ({"schedule": {"type": "cron", "cron_expression": "daily"}}, "schedule.cron_expression"),
        ({"schedule": {"type": "cron", "cron_expression": "9:00"}}, "schedule.cron_expression"),
        (
            {"schedule": {"type": "cron", "cron_expression": "0 9 * * 8"}},
            "schedule.cron_expression",
        ),
        (
            {"schedule": {"type": "cron", "cron_expression": "0 9 13 * 5"}},
            "schedule.cron_expression",
        ),
        ({"schedule": {**HOURLY, "timezone": "UTC"}}, "schedule.timezone"),
        ({"enabled": "yes"}, "enabled"),
        ({"session_metadata": []}, "session_metadata"),
        ({"session_metadata": {"x": "x" * 32_000}}, "session_metadata"),
        ({"description": "\0"}, "description"),
        ({"max_executions_to_keep": 0}, "max_executions_to_keep"),
        ({"max_executions_to_keep": 51}, "max_executions_to_keep"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    ask1: Ask, background: Background, fields: dict[str, Any], field: str
) -> None:
    assert wrong(ask1("POST", SCHEDULES, {**SMALLEST, **fields})) == {field}
    assert not [*background.triggers.all()]
    made(ask1, key="daily")
    if "key" not in fields:
        assert wrong(ask1("PATCH", ONE, fields)) == {field}


def test_a_message_of_nothing_is_refused(ask1: Ask) -> None:
    answer = ask1("POST", SCHEDULES, {**SMALLEST, "message": [{"type": "text", "content": " "}]})
    assert (answer.status, answer.json["code"]) == (400, "invalid_message_content")


def test_skills_of_a_schedule_are_not_built(ask1: Ask) -> None:
    skill = {"type": "skill", "skill_name": "s"}
    answer = ask1("POST", SCHEDULES, {**SMALLEST, "message": [*HELLO, skill]})
    assert (answer.status, answer.json["code"]) == (501, "not_implemented")


@pytest.mark.parametrize("path", ["", "/daily", "/daily/executions"])
def test_an_agent_that_is_not_there_has_no_schedules(ask1: Ask, path: str) -> None:
    answer = ask1("GET", f"/v2/agents/none/schedules{path}")
    assert (answer.status, answer.json["code"]) == (404, "agent_not_found")
    if path:
        answer = ask1("GET", SCHEDULES + path)
        assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_a_schedule_is_paid_for_by_who_made_it(
    ask1: Ask, ports: Ports, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports.keys.put(Key("k1", "Ops", (Secret(hashed("secret")),), 1))
    checked = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, checked))
    headers = {"x-api-key": "k1.secret"}
    assert ask1("POST", SCHEDULES, {**SMALLEST, "key": "daily"}, headers=headers).status == 201
    assert stored(background).caller == "k1"


# --- executed ------------------------------------------------------------------------------------


def test_each_execution_has_a_session_of_its_own(
    ask1: Ask, daily: dict[str, Any], fire: Fire, ports: Ports
) -> None:
    fire()
    fire()
    newest, oldest = ask1("GET", f"{ONE}/executions").json["executions"]
    assert oldest == {
        "schedule_key": "daily",
        "workflow_run_id": oldest["workflow_run_id"],
        "session_key": oldest["session_key"],
        "attempt": 1,
        "status": "success",
        "executed_at": "2026-11-27T21:47:30.000Z",
    }
    assert newest["session_key"] != oldest["session_key"]
    session = ask1("GET", f"/v2/agents/a/sessions/{oldest['session_key']}").json
    assert session["name"] == "Daily"
    _, tail = sessions.find(ports, "a", oldest["session_key"])
    seen = ports.log.read(f"a.{oldest['session_key']}", tail.head.incarnation, -1, 100)
    said = [one.event for one in seen if isinstance(one.event, Input)]
    assert [one.texts for one in said] == [("Sum the day up.",)]
    shown = ask1("GET", ONE).json
    assert shown["last_execution_at"] == "2026-11-27T22:47:30.000Z"
    assert shown["next_execution_at"] == "2026-11-27T23:47:00.000Z"


def test_its_sessions_have_the_metadata_that_it_gives_them(
    ask1: Ask, ports: Ports, fire: Fire
) -> None:
    made(ask1, key="daily", session_metadata={"team": "sales"})
    fire()
    [told] = ask1("GET", f"{ONE}/executions").json["executions"]
    session = ask1("GET", f"/v2/agents/a/sessions/{told['session_key']}").json
    assert session["metadata"]["team"] == "sales"


def test_a_firing_that_comes_twice_is_one_execution(
    ask1: Ask, daily: dict[str, Any], ports: Ports, background: Background, clock: FakeClock
) -> None:
    for _ in range(2):
        send(ports, background, clock.now() + HOUR)
    work(ports, ScriptedModel())
    assert len(ask1("GET", f"{ONE}/executions").json["executions"]) == 1


def test_what_is_not_over_is_no_execution_yet(
    ask1: Ask, daily: dict[str, Any], ports: Ports, background: Background, clock: FakeClock
) -> None:
    send(ports, background, clock.now() + HOUR)
    assert ask1("GET", f"{ONE}/executions").json == {"executions": [], "metadata": {}}


def test_an_execution_that_fails_says_why(
    ask1: Ask, daily: dict[str, Any], fire: Fire, model: ScriptedModel
) -> None:
    model.scripts.append((refused(),))
    fire()
    (failed,) = ask1("GET", f"{ONE}/executions").json["executions"]
    assert failed["status"] == "error"
    assert failed["error_message"]


def test_as_many_executions_are_shown_as_the_schedule_keeps(
    ask1: Ask, daily: dict[str, Any], fire: Fire
) -> None:
    for _ in range(4):
        fire()
    ask1("PATCH", ONE, {"max_executions_to_keep": 3})
    first = ask1("GET", f"{ONE}/executions", query={"limit": "2"}).json
    page_key = first["metadata"]["page_key"]
    rest = ask1("GET", f"{ONE}/executions", query={"page_key": page_key}).json
    assert rest["metadata"] == {}
    times = [one["executed_at"][11:16] for one in first["executions"] + rest["executions"]]
    assert times == ["00:47", "23:47", "22:47"]
    assert ask1("GET", f"{ONE}/executions", query={"page_key": "run_x"}).status == 400


def test_an_execution_goes_with_its_session(ask1: Ask, daily: dict[str, Any], fire: Fire) -> None:
    fire()
    (one,) = ask1("GET", f"{ONE}/executions").json["executions"]
    assert ask1("DELETE", f"/v2/agents/a/sessions/{one['session_key']}").status == 204
    assert ask1("GET", f"{ONE}/executions").json["executions"] == []


def test_a_schedule_made_anew_does_not_show_what_an_older_one_did(
    ask1: Ask, daily: dict[str, Any], fire: Fire, clock: FakeClock
) -> None:
    fire()
    assert ask1("DELETE", ONE).status == 204
    clock.sleep(1)
    made(ask1, key="daily")
    assert ask1("GET", f"{ONE}/executions").json["executions"] == []
