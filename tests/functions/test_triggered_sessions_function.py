"""Door 2's sessions: made, listed, changed, deleted, on the same log as door 1's."""

from dataclasses import replace
from typing import Any

import pytest

from cueline import bootstrap
from cueline.doors.triggered_responses import sessions as use_cases
from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.sessions import find
from cueline.errors import Unavailable
from cueline.log.events import Input, ModeChanged, TurnBegan, TurnInterrupted
from cueline.log.triggers import BuyTime, FollowUp
from tests.clock import FakeClock
from tests.functions import published
from tests.functions.conftest import Ask
from tests.functions.test_triggered_responses_function import KEYED, place, refused
from tests.gateway import REQUEST_ID

MINUTE = 60_000


@pytest.fixture(autouse=True)
def agents(ask2: Ask) -> None:
    for key in ("a", "b"):
        assert ask2("POST", "/agents", {"name": key.upper(), "id": key}).status == 201


def made(ask2: Ask, agent: str = "a", **fields: Any) -> dict[str, Any]:
    answer = ask2("POST", "/sessions", {"agent_id": agent, **fields})
    assert answer.status == 201, answer.text
    published.Session.model_validate(answer.json)
    return dict(answer.json)


def path(session: dict[str, Any]) -> str:
    return f"/sessions/{session['id']}"


def keys(session: dict[str, Any]) -> tuple[str, str]:
    agent, _, key = session["id"].partition(".")
    return agent, key


def listed(ask2: Ask, **query: Any) -> list[str]:
    answer = ask2("GET", "/sessions", query=query)
    assert answer.status == 200, answer.text
    return [session["id"] for session in answer.json]


# --- making --------------------------------------------------------------------------------------


def test_a_session_is_made_for_the_guest(ask2: Ask) -> None:
    session = made(ask2)
    agent, _, key = session["id"].partition(".")
    assert agent == "a"
    assert len(key) == 10
    assert key.isalnum()
    assert session == {
        "id": session["id"],
        "agent_id": "a",
        "customer_id": "guest",
        "creation_utc": "2025-06-15T15:06:40.000Z",
        "title": None,
        "mode": "auto",
        "consumption_offsets": {"client": 0},
        "metadata": {},
        "labels": [],
    }
    assert ask2("GET", path(session)).json == session
    assert ask2("GET", "/sessions").json == [session]


def test_a_session_keeps_all_that_it_is_given(ask2: Ask, ports: Ports) -> None:
    given: dict[str, Any] = {
        "customer_id": "nobody knows",
        "title": "T",
        "metadata": {"x": 1, "n": None, "deep": [{"a": "ä"}]},
        "labels": ["l1", "l2", "l1"],
        "tti_minutes": 5,
        "follow_ups": [{"after_seconds": 60}],
        "buy_time": {"after_seconds": 2},
    }
    session = made(ask2, **given)
    assert (
        session.items()
        >= {
            **given,
            "labels": ["l1", "l2"],
            "follow_ups": [{"after_seconds": 60, "guidelines": []}],
            "buy_time": {"after_seconds": 2.0, "times": 1, "guidelines": []},
        }.items()
    )
    assert ask2("GET", path(session)).json == session
    stored, _ = find(ports, *keys(session))
    assert stored.follow_ups == (FollowUp(after_seconds=60),)
    assert stored.buy_time == BuyTime(after_seconds=2)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["agent_id"]),
        ({"agent_id": None}, ["agent_id"]),
        ({"agent_id": "a", "title": "x" * 201}, ["title"]),
        ({"agent_id": "a", "title": 1}, ["title"]),
        ({"agent_id": "a", "title": "a\0"}, ["title"]),
        ({"agent_id": "a", "customer_id": ""}, ["customer_id"]),
        ({"agent_id": "a", "customer_id": "a\u0007"}, ["customer_id"]),
        ({"agent_id": "a", "metadata": []}, ["metadata"]),
        ({"agent_id": "a", "labels": "l"}, ["labels"]),
        ({"agent_id": "a", "labels": [""]}, ["labels", 0]),
        ({"agent_id": "a", "tti_minutes": -1}, ["tti_minutes"]),
        ({"agent_id": "a", "metadata": {"k": "x" * 32_000}}, []),
    ],
)
def test_a_session_that_cannot_be_is_refused(
    ask2: Ask, body: dict[str, Any], where: list[Any]
) -> None:
    assert place(ask2("POST", "/sessions", body)) == ["body", *where]
    assert listed(ask2) == []


@pytest.mark.parametrize("agent", ["nope", "not a key", ""])
def test_a_session_of_an_unknown_agent_is_not_made(ask2: Ask, agent: str) -> None:
    assert refused(ask2("POST", "/sessions", {"agent_id": agent}), 404)


def test_a_retry_under_an_idempotency_key_gives_the_same_session(ask2: Ask) -> None:
    body = {"agent_id": "a", "title": "T"}
    first = ask2("POST", "/sessions", body, headers=KEYED)
    ask2("PATCH", path(first.json), {"title": "New", "mode": "manual"})
    again = ask2("POST", "/sessions", body, headers=KEYED)
    assert (again.status, again.json) == (201, {**first.json, "title": "New", "mode": "manual"})
    assert len(listed(ask2)) == 1
    assert refused(ask2("POST", "/sessions", {"agent_id": "a"}, headers=KEYED), 422)
    assert made(ask2)["id"] != made(ask2)["id"]


def test_a_greeting_is_asked_for_once(ask2: Ask, ports: Ports) -> None:
    greeted = {"allow_greeting": "true"}
    body = {"agent_id": "a"}
    first = ask2("POST", "/sessions", body, headers=KEYED, query=greeted)
    again = ask2("POST", "/sessions", body, headers=KEYED, query=greeted)
    assert first.json == again.json
    quiet = ask2("POST", "/sessions", body, query={"allow_greeting": "false"}).json
    for session, asked in ((first.json, 1), (quiet, 0)):
        head = ports.log.tail(session["id"]).head
        events = ports.log.read(session["id"], head.incarnation, -1, 10)
        inputs = [one.event for one in events if isinstance(one.event, Input)]
        assert len(inputs) == asked
        assert all(one.trigger and one.trace == REQUEST_ID.replace("-", "") for one in inputs)
    wrong = ask2("POST", "/sessions", body, query={"allow_greeting": "perhaps"})
    assert place(wrong) == ["query", "allow_greeting"]


# --- finding -------------------------------------------------------------------------------------


def test_an_unknown_session_is_not_found(ask2: Ask) -> None:
    for method, body in (("GET", None), ("PATCH", {"title": "T"}), ("DELETE", None)):
        for session in ("a.nope", "nope.nope"):
            answer = ask2(method, f"/sessions/{session}", body)
            assert refused(answer, 404) == f"There is no session '{session}'."
        for odd in ("nope", "a.%00", "a.b.c", "%F0%9F%8E%88"):
            assert refused(ask2(method, f"/sessions/{odd}", body), 404)


def test_a_session_of_the_other_door_is_shown_here_and_the_other_way(ask: Ask, ask2: Ask) -> None:
    body = {"key": "s", "name": "One", "metadata": {"m": 1}, "tti_minutes": 9}
    assert ask("POST", "/v2/agents/a/sessions", body).status == 201
    session = ask2("GET", "/sessions/a.s").json
    published.Session.model_validate(session)
    assert session.items() >= {
        "title": "One", "customer_id": "guest", "metadata": {"m": 1}, "tti_minutes": 9,
    }.items()  # fmt: skip
    assert listed(ask2) == ["a.s"]
    ask2("PATCH", "/sessions/a.s", {"title": "Two", "labels": {"upsert": ["l"]}})
    there = ask("GET", "/v2/agents/a/sessions/s").json
    assert (there["name"], there["metadata"]) == ("Two", {"m": 1})
    agent, key = keys(made(ask2))
    assert ask("GET", f"/v2/agents/{agent}/sessions/{key}").status == 200


# --- lists ---------------------------------------------------------------------------------------


def test_filters_are_met_all_together(ask2: Ask, clock: FakeClock) -> None:
    one = made(ask2, customer_id="c1", labels=["x", "y"])["id"]
    clock.ms += 1
    two = made(ask2, customer_id="c2", labels=["y"])["id"]
    clock.ms += 1
    three = made(ask2, "b", customer_id="c1", labels=["x"])["id"]
    assert listed(ask2) == [one, two, three]
    assert listed(ask2, sort="desc") == [three, two, one]
    assert listed(ask2, agent_id="a") == [one, two]
    assert listed(ask2, customer_id="c1") == [one, three]
    assert listed(ask2, labels="y") == [one, two]
    assert listed(ask2, labels=["x", "y"]) == [one]
    assert listed(ask2, agent_id="b", labels=["x"], customer_id="c1") == [three]
    assert listed(ask2, agent_id="nope") == listed(ask2, labels="nope") == []


def test_pages_of_a_filtered_list_come_to_the_whole_of_it(ask2: Ask, clock: FakeClock) -> None:
    wanted = []
    for n in range(9):
        session = made(ask2, labels=["x"] if n % 2 else [])
        wanted += [session["id"]] if n % 2 else []
        clock.ms += n % 3
    for sort in ("asc", "desc"):
        found: list[str] = []
        query: dict[str, Any] = {"limit": "1", "labels": ["x"], "sort": sort}
        while True:
            page = ask2("GET", "/sessions", query=query).json
            published.Sessions.model_validate(page)
            found += [session["id"] for session in page["items"]]
            assert page["total_count"] == 4
            if not page["has_more"]:
                break
            query["cursor"] = page["next_cursor"]
        assert sorted(found) == sorted(wanted)
        assert found == listed(ask2, labels=["x"], sort=sort)


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"sort": "up"}, {"cursor": "x"}]
)
def test_a_list_that_cannot_be_is_refused(ask2: Ask, query: dict[str, str]) -> None:
    assert place(ask2("GET", "/sessions", query=query)) == ["query", *query]


def test_sessions_that_have_expired_or_are_being_built_are_left_out(
    ask2: Ask, ports: Ports, clock: FakeClock
) -> None:
    expiring, building = made(ask2, tti_minutes=1), made(ask2)
    stays = made(ask2)["id"]
    stored, _ = find(ports, *keys(building))
    ports.sessions.replace(replace(stored, building=True, version=1))
    clock.ms += MINUTE - 1
    assert sorted(listed(ask2)) == sorted([expiring["id"], stays])
    clock.ms += 1
    assert listed(ask2) == [stays]
    page = ask2("GET", "/sessions", query={"limit": "10"}).json
    # What has expired counts until it is removed: to know better would be a look at each log.
    shown = [one["id"] for one in page["items"]]
    assert (shown, page["total_count"], page["has_more"]) == ([stays], 2, False)
    assert refused(ask2("GET", path(expiring)), 404)


# --- changing ------------------------------------------------------------------------------------


def test_all_but_the_mode_changes_in_one_write(ask2: Ask, ports: Ports) -> None:
    session = made(ask2, title="T", metadata={"a": 1, "b": 2}, labels=["l1", "l2"])
    change = {
        "title": "New",
        "customer_id": "c9",
        "agent_id": "b",
        "consumption_offsets": {"client": 7},
        "metadata": {"set": {"a": 0, "c": None}, "unset": ["b"]},
        "labels": {"upsert": ["l3"], "remove": ["l1"]},
        "tti_minutes": 3,
        "follow_ups": [],
        "buy_time": {"after_seconds": 1},
    }
    answer = ask2("PATCH", path(session), change)
    published.Session.model_validate(answer.json)
    assert answer.json == {
        **session,
        **change,
        "metadata": {"a": 0, "c": None},
        "labels": ["l2", "l3"],
        "buy_time": {"after_seconds": 1.0, "times": 1, "guidelines": []},
    }
    assert ask2("GET", path(session)).json == answer.json
    stored, tail = find(ports, *keys(session))
    assert (stored.version, stored.answers, tail.head.at) == (1, "b", 0)
    assert listed(ask2, agent_id="b") == [session["id"]]
    assert ask2("PATCH", path(session), {"agent_id": "a"}).json["agent_id"] == "a"
    assert find(ports, *keys(session))[0].answers == ""


def test_what_is_null_or_left_out_stays(ask2: Ask, ports: Ports) -> None:
    session = made(ask2, title="T", customer_id="c", tti_minutes=5, labels=["l"])
    nothing = dict.fromkeys(
        ("title", "mode", "customer_id", "agent_id", "consumption_offsets", "metadata", "labels")
    )
    for body in ({}, nothing, {"tti_minutes": None, "consumption_offsets": {"client": None}}):
        answer = ask2("PATCH", path(session), body)
        assert (answer.status, answer.json) == (200, session)
    assert find(ports, *keys(session))[0].version == 0


def test_falsy_values_are_values(ask2: Ask) -> None:
    session = made(ask2, title="T", tti_minutes=5, metadata={"a": 1})
    change = {"tti_minutes": 0, "metadata": {"set": {"a": 0, "b": False, "c": ""}}, "title": ""}
    changed = ask2("PATCH", path(session), change).json
    assert changed["metadata"] == {"a": 0, "b": False, "c": ""}
    assert changed["title"] is None
    assert "tti_minutes" not in changed


def test_policies_of_a_session_are_given_back_to_its_agent_by_null(ask2: Ask) -> None:
    session = made(ask2, follow_ups=[{"after_seconds": 5}], buy_time={"after_seconds": 1})
    cleared = ask2("PATCH", path(session), {"follow_ups": None, "buy_time": None}).json
    assert "follow_ups" not in cleared
    assert "buy_time" not in cleared


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"title": "x" * 201}, ["title"]),
        ({"mode": "semi"}, ["mode"]),
        ({"customer_id": ""}, ["customer_id"]),
        ({"agent_id": 1}, ["agent_id"]),
        ({"consumption_offsets": {"client": -1}}, ["consumption_offsets", "client"]),
        ({"metadata": {"set": []}}, ["metadata", "set"]),
        ({"metadata": {"unset": "a"}}, ["metadata", "unset"]),
        ({"labels": ["l"]}, ["labels"]),
        ({"labels": {"upsert": [1]}}, ["labels", "upsert", 0]),
        ({"follow_ups": [{"after_seconds": 0}]}, ["follow_ups", 0, "after_seconds"]),
        ({"mode": "manual", "metadata": {"set": {"k": "x" * 32_000}}}, []),
    ],
)
def test_a_change_that_cannot_be_is_refused_whole(
    ask2: Ask, body: dict[str, Any], where: list[Any]
) -> None:
    session = made(ask2)
    assert place(ask2("PATCH", path(session), body)) == ["body", *where]
    assert ask2("GET", path(session)).json == session


def test_an_unknown_agent_does_not_get_a_session(ask2: Ask) -> None:
    session = made(ask2)
    for ghost in ("ghost", "no key"):
        answer = ask2("PATCH", path(session), {"agent_id": ghost, "mode": "manual"})
        assert "agent" in refused(answer, 404)
    assert ask2("GET", path(session)).json == session


def test_metadata_is_merged_though_somebody_changes_it_at_the_same_time(
    ask2: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made(ask2, metadata={"a": 1})
    stored, _ = find(ports, *keys(session))
    write = ports.sessions.replace

    def raced(changed: Any) -> bool:
        monkeypatch.setattr(ports.sessions, "replace", write)
        assert write(replace(stored, version=1, metadata={"a": 1, "theirs": 2}))
        return write(changed)

    monkeypatch.setattr(ports.sessions, "replace", raced)
    changed = ask2("PATCH", path(session), {"metadata": {"set": {"mine": 3}}}).json
    assert changed["metadata"] == {"a": 1, "theirs": 2, "mine": 3}


# --- mode ----------------------------------------------------------------------------------------


def test_the_mode_is_the_log_s_and_its_copy_is_listed(ask2: Ask, ports: Ports) -> None:
    session = made(ask2)
    for mode in ("manual", "auto"):
        changed = ask2("PATCH", path(session), {"mode": mode, "title": mode}).json
        assert (changed["mode"], changed["title"]) == (mode, mode)
        assert ask2("GET", path(session)).json["mode"] == mode
        assert ask2("GET", "/sessions").json[0]["mode"] == mode
    events = ports.log.read(session["id"], find(ports, *keys(session))[0].incarnation, -1, 10)
    assert [one.event for one in events] == [ModeChanged(mode="manual"), ModeChanged(mode="auto")]


def test_the_mode_that_it_has_already_writes_nothing_to_the_log(ask2: Ask, ports: Ports) -> None:
    session = made(ask2)
    assert ask2("PATCH", path(session), {"mode": "auto"}).json == session
    assert ports.log.tail(session["id"]).head.at == 0


def test_a_hand_over_ends_the_open_turn_in_one_step(ask2: Ask, ports: Ports) -> None:
    session = made(ask2)
    _, tail = find(ports, *keys(session))
    writer = Writer(ports.log, ports.clock, session["id"], "trace")
    writer.append(tail.head, lambda *_: (Input(texts=("x",)), TurnBegan(turn="t", inputs=(0,))))
    assert ask2("PATCH", path(session), {"mode": "manual"}).json["mode"] == "manual"
    tail = ports.log.tail(session["id"])
    assert tail.head.state.open is None
    kinds = [type(one.event) for one in tail.events[-2:]]
    assert kinds == [TurnInterrupted, ModeChanged]


# --- deleting ------------------------------------------------------------------------------------


def test_a_deleted_session_is_gone_with_its_events(ask2: Ask, ports: Ports) -> None:
    session = made(ask2)
    answer = ask2("DELETE", path(session))
    assert (answer.status, answer.text) == (204, "")
    assert refused(ask2("DELETE", path(session)), 404)
    assert refused(ask2("GET", path(session)), 404)
    assert listed(ask2) == []
    assert ports.log.tail(session["id"]).head.state.deleted


def test_filters_say_which_sessions_are_deleted(ask2: Ask) -> None:
    def four() -> list[str]:
        return [
            made(ask2, agent, customer_id=customer, labels=[customer])["id"]
            for agent in ("a", "b")
            for customer in ("c1", "c2")
        ]

    for query, gone in (
        ({"agent_id": "a"}, [0, 1]),
        ({"customer_id": "c1"}, [0, 2]),
        ({"agent_id": "a", "customer_id": "c1"}, [0]),
        ({"labels": ["c2"]}, [1, 3]),
        ({"agent_id": "nope"}, []),
        ({}, [0, 1, 2, 3]),
    ):
        there = four()
        answer = ask2("DELETE", "/sessions", query=query)
        assert (answer.status, answer.text) == (204, "")
        left = [session for n, session in enumerate(there) if n not in gone]
        assert sorted(listed(ask2)) == sorted(left), query
        assert ask2("DELETE", "/sessions").status == 204


def test_a_filter_with_a_typo_deletes_nothing(ask2: Ask) -> None:
    session = made(ask2)["id"]
    assert place(ask2("DELETE", "/sessions", query={"customer": "c1"})) == ["query", "customer"]
    assert listed(ask2) == [session]


def test_more_than_there_is_time_for_is_to_be_asked_for_again(
    ask2: Ask, ports: Ports, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        made(ask2)
    remove = ports.sessions.remove

    def slowly(session: str, incarnation: int) -> None:
        clock.ms += 30_000
        remove(session, incarnation)

    monkeypatch.setattr(use_cases, "DELETED_AT_ONCE", 1)
    monkeypatch.setattr(ports.sessions, "remove", slowly)
    answer = ask2("DELETE", "/sessions")
    assert "again" in refused(answer, 503)
    assert answer.headers["retry-after"]
    assert len(listed(ask2)) == 2
    monkeypatch.setattr(ports.sessions, "remove", remove)
    assert ask2("DELETE", "/sessions").status == 204
    assert listed(ask2) == []


def test_a_store_that_does_not_answer_is_told_as_such(
    ask2: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Unavailable("DynamoDB does not answer.")

    monkeypatch.setattr(bootstrap, "rest", away)
    answer = ask2("GET", "/sessions")
    assert refused(answer, 503) == "DynamoDB does not answer."
