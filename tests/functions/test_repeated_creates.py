"""Door 1: the same request to make something, sent again, makes it once."""

from collections.abc import Callable
from typing import Any

import pytest

from cueline import bootstrap
from cueline.doors.access import Access, hashed
from cueline.engine.ports import Key, Ports, Secret
from tests.clock import FakeClock
from tests.functions.conftest import Ask
from tests.gateway import Answer

AGENT: dict[str, Any] = {"name": "A", "tool_configurations": {}, "model": {"name": "m"}}
AGENTS, SESSIONS = "/v2/agents", "/v2/agents/a/sessions"
MINUTE = 60_000

Make = Callable[..., Answer]


@pytest.fixture
def clock() -> FakeClock:
    """Its chance differs from draw to draw."""

    class Clock(FakeClock):
        drawn = 0

        def random(self) -> float:
            self.drawn += 1
            return self.drawn / 1000

    return Clock()


@pytest.fixture(params=[AGENTS, SESSIONS])
def path(request: pytest.FixtureRequest, ask: Ask) -> str:
    assert ask("POST", AGENTS, {**AGENT, "key": "a", "name": "Host"}).status == 201
    return str(request.param)


@pytest.fixture
def make(ask: Ask, path: str) -> Make:
    """Makes an agent or a session, under an Idempotency-Key or none."""

    def send(idempotency_key: str | None = None, /, **fields: Any) -> Answer:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        body = {**AGENT, **fields} if path == AGENTS else fields
        return ask("POST", path, body, headers=headers)

    return send


def count(ask: Ask, path: str) -> int:
    body = ask("GET", path).json
    return len([one for one in body.get("agents", body.get("sessions")) if one["key"] != "a"])


# --- with an Idempotency-Key ---------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"key": "mine"}, {"name": "Named", "description": "d"}])
def test_the_same_key_and_body_make_one(
    ask: Ask, path: str, make: Make, clock: FakeClock, fields: dict[str, Any]
) -> None:
    first = make("k1", **fields)
    clock.ms += 100 * MINUTE
    again = make("k1", **fields)
    assert (first.status, again.status) == (201, 201)
    assert again.json == first.json
    assert count(ask, path) == 1
    assert ask("GET", f"{path}/{first.json['key']}").json == first.json


def test_the_order_of_a_body_s_fields_does_not_matter(ask: Ask, path: str, make: Make) -> None:
    first = make("k1", name="N", metadata={"a": 1, "b": 2})
    assert make("k1", metadata={"b": 2, "a": 1}, name="N").json == first.json
    assert count(ask, path) == 1


@pytest.mark.parametrize("key", [None, "mine"])
@pytest.mark.parametrize("other", [{"name": "Other"}, {"description": "d"}, {"metadata": {"a": 1}}])
def test_the_same_key_with_another_body_is_refused(
    ask: Ask, path: str, make: Make, key: str | None, other: dict[str, Any]
) -> None:
    own = {"key": key} if key else {}
    first = make("k1", **own)
    answer = make("k1", **own, **other)
    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")
    assert not answer.json["retryable"]
    assert count(ask, path) == 1
    assert ask("GET", f"{path}/{first.json['key']}").json == first.json


def test_another_key_makes_another_one(ask: Ask, path: str, make: Make) -> None:
    made = {make(key).json["key"] for key in ("k1", "k2", None, None)}
    assert len(made) == 4
    assert all(len(key) <= 50 for key in made)
    assert count(ask, path) == 4


def test_requests_that_name_different_keys_are_not_compared(
    ask: Ask, path: str, make: Make
) -> None:
    assert [make("k1", key=key).json["key"] for key in ("x", "y", "x")] == ["x", "y", "x"]
    assert count(ask, path) == 2


def test_a_key_of_its_own_that_another_request_took_is_a_conflict(path: str, make: Make) -> None:
    make("k1", key="mine")
    for idempotency_key in ("k2", None):
        answer = make(idempotency_key, key="mine")
        assert (answer.status, answer.json["code"][-6:]) == (409, "exists")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_repeat_gives_what_was_made_as_it_is_now(
    ask: Ask, path: str, make: Make, method: str
) -> None:
    made = make("k1").json
    changes = {"name": "New"} if method == "PATCH" else {**AGENT, "name": "New"}
    changed = ask(method, f"{path}/{made['key']}", changes)
    if path == SESSIONS and method == "PUT":
        assert changed.status == 404
        return
    assert changed.json["name"] == "New"
    again = make("k1")
    assert (again.status, again.json) == (201, changed.json)
    assert make("k1", description="d").status == 422


def test_what_was_deleted_in_between_is_made_anew(ask: Ask, path: str, make: Make) -> None:
    first = make("k1").json["key"]
    assert ask("DELETE", f"{path}/{first}").status == 204
    assert make("k1", description="other").status == 201
    assert count(ask, path) == 1


def test_a_key_stands_for_one_session_of_each_agent(ask: Ask) -> None:
    for agent in ("a", "b"):
        ask("POST", AGENTS, {**AGENT, "key": agent})
        made = ask("POST", f"/v2/agents/{agent}/sessions", {}, headers={"idempotency-key": "k"})
        assert made.json["agent_key"] == agent
        assert count(ask, f"/v2/agents/{agent}/sessions") == 1


def test_callers_do_not_share_their_keys(
    ask: Ask, path: str, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    for caller in ("c1", "c2"):
        ports.keys.put(Key(caller, "Ops", (Secret(hashed("secret")),), 1))
    access = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, access))

    def make(caller: str, idempotency_key: str | None, body: dict[str, Any]) -> Answer:
        headers = {"x-api-key": f"{caller}.secret"}
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        return ask("POST", path, {**(AGENT if path == AGENTS else {}), **body}, headers=headers)

    first, second = make("c1", "k1", {}), make("c2", "k1", {"name": "Other"})
    assert (first.status, second.status) == (201, 201)
    assert first.json["key"] != second.json["key"]
    assert make("c1", "k1", {}).json == first.json
    for idempotency_key in ("k2", None):
        own = {"key": f"mine-{idempotency_key}"}
        assert make("c1", idempotency_key, own).status == 201
        assert make("c2", idempotency_key, own).status == 409
        assert make("c1", idempotency_key, own).status == 201


@pytest.mark.parametrize("wrong", ["", " ", "a b", "é", "a\n", "x" * 256])
def test_an_idempotency_key_is_1_to_255_visible_characters(
    ask: Ask, path: str, make: Make, wrong: str
) -> None:
    answer = make(wrong)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert "Idempotency-Key" in answer.json["field_errors"]
    assert count(ask, path) == 0
    assert make("!" + "x" * 253 + "~").status == 201


def test_writes_that_can_be_repeated_anyway_ignore_the_header(ask: Ask, make: Make) -> None:
    for headers in ({"idempotency-key": "k1"}, {"idempotency-key": ""}):
        assert ask("PATCH", f"{AGENTS}/a", {"name": "N"}, headers=headers).status == 200
        assert ask("PATCH", f"{AGENTS}/a", {"name": "M"}, headers=headers).status == 200


# --- without one: what is probably the client's own retry ----------------------------------------


def test_an_identical_request_within_a_minute_gets_what_it_made(
    ask: Ask, path: str, make: Make, clock: FakeClock
) -> None:
    first = make(key="mine", name="N")
    clock.ms += MINUTE - 1
    again = make(key="mine", name="N")
    assert (again.status, again.json) == (201, first.json)
    assert make(key="mine", name="M").status == 409
    assert make("k1", key="mine", name="N").status == 409
    clock.ms += 1
    assert make(key="mine", name="N").status == 409
    assert count(ask, path) == 1


def test_after_a_change_it_is_a_conflict(ask: Ask, path: str, make: Make) -> None:
    make(key="mine", name="N")
    ask("PATCH", f"{path}/mine", {"name": "N"})
    assert make(key="mine", name="N").status == 409


def test_a_made_up_key_that_is_taken_by_chance_is_no_retry(
    ask: Ask, path: str, make: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "random", lambda: 0.5)
    assert make().json["key"] != make().json["key"]
    assert count(ask, path) == 2


def test_what_names_no_key_is_made_each_time(ask: Ask, path: str, make: Make) -> None:
    assert make().json["key"] != make().json["key"]
    assert count(ask, path) == 2
