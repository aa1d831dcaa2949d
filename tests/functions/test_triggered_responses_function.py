"""Door 2's REST function: an API Gateway event in, an answer out; and its agents and customers."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cueline import bootstrap
from cueline.doors.access import Access, hashed
from cueline.doors.cors import Cors
from cueline.doors.triggered_responses.event_routes import EVENT_ROUTES
from cueline.doors.triggered_responses.routes import ROUTES
from cueline.engine.ports import Key, Ports, Secret
from cueline.log.triggers import BuyTime, FollowUp, Guideline
from functions.triggered_responses import app
from tests.clock import FakeClock
from tests.functions import published
from tests.functions.conftest import Ask, logged_by
from tests.gateway import REQUEST_ID, Answer

ALL_ROUTES = (*ROUTES, *EVENT_ROUTES)
KEYED = {"idempotency-key": "once"}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged_by(app.logger) as stream:
        yield stream


def refused(answer: Answer, status: int) -> Any:
    """The `detail` of an answer that both published clients can read."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return published.Refusal.model_validate(answer.json).detail


def place(answer: Answer) -> list[Any]:
    """Of the one thing that is wrong with a request."""
    detail = refused(answer, 422)
    assert isinstance(detail, list), detail
    [problem] = detail
    return list(problem.loc)


# --- every route ---------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ALL_ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_answers_in_the_door_s_shape(ask2: Ask, route: Any) -> None:
    answer = ask2(route.method, route.path.replace("{", "").replace("}", ""), {})
    assert answer.headers["x-request-id"] == REQUEST_ID
    if answer.status < 300:
        assert answer.status == route.status
    else:
        assert refused(answer, answer.status)
        assert answer.status in {404, 422}


def test_an_unknown_route_is_not_found(ask2: Ask) -> None:
    assert refused(ask2("GET", "/agentz"), 404)
    assert refused(ask2("PUT", "/agents/a"), 404)


def test_every_route_wants_a_key(ask2: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    ports.keys.put(Key("k1", "Ops", (Secret(hashed("secret")),), 1))
    checked = Access(ports.keys, ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(ports, checked))
    for route in ALL_ROUTES:
        assert refused(ask2(route.method, route.path, {}), 401)
    for headers in ({"X-Api-Key": "k1.secret"}, {"Authorization": "Bearer k1.secret"}):
        assert ask2("GET", "/agents", headers=headers).status == 200
    assert refused(ask2("GET", "/agents", headers={"x-api-key": "k1.wrong"}), 401)


def test_a_page_of_a_named_origin_may_read_answers_and_errors(
    ask2: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    for path, status in (("/agents", 200), ("/agents/none", 404), ("/nowhere", 404)):
        answer = ask2("GET", path, headers={"Origin": "https://example.com"})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "https://example.com"


def test_an_unexpected_error_tells_nothing_of_itself(
    ask2: Ask, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def broken() -> None:
        raise RuntimeError("hush-hush")

    monkeypatch.setattr(bootstrap, "rest", broken)
    answer = ask2("GET", "/agents")
    assert refused(answer, 500)
    assert "hush-hush" not in answer.text + log.getvalue()
    assert "RuntimeError" in log.getvalue()


def test_a_request_leaves_one_line_without_its_body(ask2: Ask, log: io.StringIO) -> None:
    ask2("POST", "/agents", {"name": "private"}, headers={"x-api-key": "k1.hush"})
    [line] = map(json.loads, log.getvalue().splitlines())
    assert (line["route"], line["status"]) == ("POST /agents", 201)
    assert "private" not in log.getvalue()
    assert "hush" not in log.getvalue()


def test_a_body_that_is_no_json_is_refused_in_the_clients_shape(ask2: Ask) -> None:
    assert place(ask2("POST", "/agents", "{")) == ["body"]
    assert place(ask2("POST", "/sessions", '{"agent_id":NaN}')) == ["body"]
    assert place(ask2("POST", "/customers", "")) == ["body", "name"]


def test_an_idempotency_key_that_is_none_is_refused(ask2: Ask) -> None:
    answer = ask2("POST", "/agents", {"name": "A"}, headers={"idempotency-key": "a b"})
    assert "Idempotency-Key" in refused(answer, 422)


# --- agents --------------------------------------------------------------------------------------


def made(ask: Ask, **fields: Any) -> dict[str, Any]:
    answer = ask("POST", "/agents", {"name": "Support", **fields})
    assert answer.status == 201, answer.text
    published.Agent.model_validate(answer.json)
    return dict(answer.json)


def test_an_agent_is_made_with_the_published_defaults(ask2: Ask) -> None:
    agent = made(ask2)
    assert len(agent["id"]) == 10
    assert agent == {
        "id": agent["id"],
        "name": "Support",
        "description": None,
        "max_engine_iterations": 3,
        "composition_mode": "fluid",
        "message_output_mode": "block",
        "tags": [],
    }
    assert ask2("GET", f"/agents/{agent['id']}").json == agent
    assert ask2("GET", "/agents").json == [agent]


def test_an_agent_keeps_all_that_it_is_given(ask2: Ask) -> None:
    given = {
        "id": "my-agent",
        "description": "Be kind.",
        "max_engine_iterations": 7,
        "composition_mode": "strict_canned",
        "message_output_mode": "stream",
        "tags": ["t1", "t2", "t1"],
        "model": "gpt-x",
        "follow_ups": [{"after_seconds": 60, "guidelines": [{"action": "Ask."}]}],
        "buy_time": {"after_seconds": 3},
    }
    agent = made(ask2, **given)
    told = [{"action": "Ask.", "rationale": "unspecified"}]
    assert agent == {
        **given,
        "name": "Support",
        "tags": ["t1", "t2"],
        "follow_ups": [{"after_seconds": 60, "guidelines": told}],
        "buy_time": {"after_seconds": 3.0, "times": 1, "guidelines": []},
    }


def test_a_description_is_what_the_model_reads_as_instruction(ask2: Ask, ports: Ports) -> None:
    made(ask2, id="a", description="Be kind.")
    [instruction] = ports.agents.get("a").step("").instructions
    assert (instruction.name, instruction.template) == ("description", "Be kind.")
    ask2("PATCH", "/agents/a", {"description": "Be brief."})
    [instruction] = ports.agents.get("a").step("").instructions
    assert instruction.template == "Be brief."
    ask2("PATCH", "/agents/a", {"description": ""})
    assert ports.agents.get("a").step("").instructions == ()
    assert ask2("GET", "/agents/a").json["description"] is None
    ask2("PATCH", "/agents/a", {"description": "Again."})
    assert [i.template for i in ports.agents.get("a").step("").instructions] == ["Again."]


def test_the_model_that_an_agent_names_is_kept_else_the_deployment_s(
    ask2: Ask, ports: Ports
) -> None:
    made(ask2, id="a")
    assert ports.agents.get("a").model == ""
    assert ask2("PATCH", "/agents/a", {"model": "gpt-x"}).json["model"] == "gpt-x"
    assert ports.agents.get("a").model == "gpt-x"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": " "}, ["name"]),
        ({"name": "x" * 101}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"name": "a\0"}, ["name"]),
        ({"name": "A", "id": "not a key"}, ["id"]),
        ({"name": "A", "id": ""}, ["id"]),
        ({"name": "A", "max_engine_iterations": 0}, ["max_engine_iterations"]),
        ({"name": "A", "composition_mode": "x"}, ["composition_mode"]),
        ({"name": "A", "message_output_mode": "x"}, ["message_output_mode"]),
        ({"name": "A", "tags": "t"}, ["tags"]),
        ({"name": "A", "tags": [""]}, ["tags", 0]),
        ({"name": "A", "model": ""}, ["model"]),
        ({"name": "A", "buy_time": {}}, ["buy_time", "after_seconds"]),
    ],
)
def test_an_agent_that_cannot_be_is_refused(
    ask2: Ask, body: dict[str, Any], where: list[Any]
) -> None:
    assert place(ask2("POST", "/agents", body)) == ["body", *where]


def test_an_agent_that_is_too_large_is_refused(ask2: Ask) -> None:
    policies = [
        {"after_seconds": n + 1, "guidelines": [{"action": "x" * 9_000}] * 20} for n in range(2)
    ]
    assert place(ask2("POST", "/agents", {"name": "A", "follow_ups": policies})) == ["body"]


def test_an_agent_changes_only_in_what_is_given(ask2: Ask, ports: Ports, clock: FakeClock) -> None:
    before = made(ask2, id="a", description="Be kind.", tags=["t1"], max_engine_iterations=5)
    clock.ms += 1
    answer = ask2("PATCH", "/agents/a", {"name": "New", "tags": {"add": ["t2"], "remove": ["t1"]}})
    assert answer.json == {**before, "name": "New", "tags": ["t2"]}
    assert ports.agents.get("a").updated_at == clock.now()
    nothing = dict.fromkeys(
        ("name", "description", "max_engine_iterations", "composition_mode", "tags", "model")
    )
    assert ask2("PATCH", "/agents/a", nothing).json == answer.json
    assert ports.agents.get("a").version == 1


def test_policies_of_an_agent_are_taken_away_by_null(ask2: Ask) -> None:
    before = made(ask2, id="a")
    policies = {"follow_ups": [{"after_seconds": 5}], "buy_time": {"after_seconds": 1}}
    assert ask2("PATCH", "/agents/a", policies).json.keys() == {*before, *policies}
    assert ask2("PATCH", "/agents/a", dict.fromkeys(policies)).json == before


@pytest.mark.parametrize("body", [{"name": ""}, {"tags": ["t"]}, {"max_engine_iterations": "x"}])
def test_a_change_that_cannot_be_is_refused(ask2: Ask, body: dict[str, Any]) -> None:
    made(ask2, id="a")
    assert place(ask2("PATCH", "/agents/a", body)) == ["body", *body]


def test_an_unknown_agent_is_not_found(ask2: Ask) -> None:
    for method, body in (("GET", None), ("PATCH", {"name": "A"}), ("DELETE", None)):
        assert refused(ask2(method, "/agents/nope", body), 404) == "There is no agent 'nope'."
        assert refused(ask2(method, "/agents/n%20pe", body), 404)


def test_an_agent_is_deleted_whatever_sessions_it_has(ask2: Ask) -> None:
    made(ask2, id="a")
    session = ask2("POST", "/sessions", {"agent_id": "a"}).json["id"]
    answer = ask2("DELETE", "/agents/a")
    assert (answer.status, answer.text) == (204, "")
    assert refused(ask2("DELETE", "/agents/a"), 404)
    assert ask2("GET", f"/sessions/{session}").status == 200
    assert refused(ask2("POST", "/sessions", {"agent_id": "a"}), 404)


def test_the_list_of_agents_has_all_of_them_oldest_first(ask2: Ask, clock: FakeClock) -> None:
    names = []
    for n in range(105):
        names.append(made(ask2, id=f"a{200 - n}")["id"])
        clock.ms += 1
    assert [agent["id"] for agent in ask2("GET", "/agents").json] == names


def test_an_id_that_is_taken_is_a_conflict(ask2: Ask, clock: FakeClock) -> None:
    made(ask2, id="a")
    assert refused(ask2("POST", "/agents", {"name": "B", "id": "a"}), 409)
    again = ask2("POST", "/agents", {"name": "Support", "id": "a"})
    assert again.status == 201, "a client's own retry"
    clock.ms += 61_000
    assert refused(ask2("POST", "/agents", {"name": "Support", "id": "a"}), 409)


def test_a_retry_under_an_idempotency_key_gives_the_same_agent(ask2: Ask) -> None:
    first = ask2("POST", "/agents", {"name": "A"}, headers=KEYED)
    ask2("PATCH", f"/agents/{first.json['id']}", {"name": "B"})
    again = ask2("POST", "/agents", {"name": "A"}, headers=KEYED)
    assert (again.status, again.json) == (201, {**first.json, "name": "B"})
    assert len(ask2("GET", "/agents").json) == 1
    assert refused(ask2("POST", "/agents", {"name": "C"}, headers=KEYED), 422)
    assert made(ask2)["id"] != made(ask2)["id"]


# --- one store, two doors ------------------------------------------------------------------------

OF_DOOR_1: dict[str, Any] = {
    "key": "one",
    "name": "One",
    "description": "The first.",
    "tool_configurations": {},
    "model": {"name": "m"},
    "first_step": {
        "instructions": [{"type": "inline", "name": "tone", "template": "Be kind."}],
        "output_parser": {"type": "default"},
    },
}


def test_an_agent_of_the_other_door_is_shown_with_defaults(ask: Ask, ask2: Ask) -> None:
    assert ask("POST", "/v2/agents", OF_DOOR_1).status == 201
    shown = ask2("GET", "/agents/one").json
    published.Agent.model_validate(shown)
    assert shown == {
        "id": "one",
        "name": "One",
        "description": "The first.",
        "max_engine_iterations": None,
        "composition_mode": "fluid",
        "message_output_mode": "block",
        "tags": [],
        "model": "m",
    }
    assert ask2("POST", "/sessions", {"agent_id": "one"}).status == 201


def test_a_change_leaves_what_only_the_other_door_knows(ask: Ask, ask2: Ask) -> None:
    ask("POST", "/v2/agents", OF_DOOR_1)
    before = ask("GET", "/v2/agents/one").json
    ask2("PATCH", "/agents/one", {"description": "Changed.", "max_engine_iterations": 2})
    assert ask("GET", "/v2/agents/one").json == {**before, "description": "Changed."}


def test_an_agent_of_this_door_is_usable_through_the_other(ask: Ask, ask2: Ask) -> None:
    made(ask2, id="two", description="Be kind.")
    assert ask("GET", "/v2/agents/two").json["name"] == "Support"
    assert ask("POST", "/v2/agents/two/sessions", {"key": "s"}).status == 201
    session = ask2("GET", "/sessions/two.s").json
    published.Session.model_validate(session)
    assert session["agent_id"] == "two"
    assert ask("PATCH", "/v2/agents/two", {"name": "Renamed"}).status == 200
    assert ask2("GET", "/agents/two").json["name"] == "Renamed"


def test_what_the_other_door_shows_of_an_agent_of_this_one_can_be_put_back(
    ask: Ask, ask2: Ask
) -> None:
    before = made(ask2, id="two", description="Be kind.")
    shown = ask("GET", "/v2/agents/two").json
    assert shown["model"]["name"] == ""
    assert ask("PUT", "/v2/agents/two", shown).status == 200
    assert ask2("GET", "/agents/two").json == before
    blank = {**shown, "model": {"name": " "}}
    assert ask("PUT", "/v2/agents/two", blank).status == 400


# --- customers -----------------------------------------------------------------------------------


def customer(ask: Ask, **fields: Any) -> dict[str, Any]:
    answer = ask("POST", "/customers", {"name": "Alice", **fields})
    assert answer.status == 201, answer.text
    published.Customer.model_validate(answer.json)
    return dict(answer.json)


def test_a_customer_is_made_and_found(ask2: Ask) -> None:
    alice = customer(ask2)
    assert alice == {
        "id": alice["id"],
        "creation_utc": "2025-06-15T15:06:40.000Z",
        "name": "Alice",
        "metadata": {},
        "tags": [],
    }
    assert len(alice["id"]) == 10
    assert ask2("GET", f"/customers/{alice['id']}").json == alice
    full = {"id": "ä.b c", "metadata": {"k": "v"}, "tags": ["t"]}
    assert customer(ask2, **full).items() >= full.items()
    assert ask2("GET", "/customers/%C3%A4.b%20c").json["id"] == "ä.b c"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "A", "id": ""}, ["id"]),
        ({"name": "A", "id": "a\n"}, ["id"]),
        ({"name": "A", "id": "x" * 201}, ["id"]),
        ({"name": "A", "metadata": {"k": 1}}, ["metadata", "k"]),
        ({"name": "A", "metadata": {"k": None}}, ["metadata", "k"]),
        ({"name": "A", "metadata": []}, ["metadata"]),
        ({"name": "A", "tags": [1]}, ["tags", 0]),
        ({"name": "A", "metadata": {"k": "x" * 32_000}}, []),
    ],
)
def test_a_customer_that_cannot_be_is_refused(
    ask2: Ask, body: dict[str, Any], where: list[Any]
) -> None:
    assert place(ask2("POST", "/customers", body)) == ["body", *where]


def test_the_guest_is_always_there_and_nobody_can_change_it(ask2: Ask) -> None:
    guest = ask2("GET", "/customers/guest").json
    published.Customer.model_validate(guest)
    assert (guest["id"], guest["name"], guest["metadata"], guest["tags"]) == (
        "guest", "Guest", {}, [],
    )  # fmt: skip
    assert ask2("GET", "/customers").json == [guest]
    assert "guest" in refused(ask2("PATCH", "/customers/guest", {"name": "G"}), 422)
    assert "guest" in refused(ask2("DELETE", "/customers/guest"), 422)
    assert refused(ask2("POST", "/customers", {"name": "G", "id": "guest"}), 409)


def test_a_customer_changes_only_in_what_is_given(ask2: Ask) -> None:
    alice = customer(ask2, id="c", metadata={"a": "1", "b": "2"}, tags=["t1"])
    change = {
        "metadata": {"set": {"c": "3", "a": ""}, "unset": ["b", "x"]},
        "tags": {"add": ["t2"], "remove": ["t1"]},
    }
    changed = ask2("PATCH", "/customers/c", change)
    assert changed.json == {**alice, "metadata": {"a": "", "c": "3"}, "tags": ["t2"]}
    assert ask2("PATCH", "/customers/c", {"name": "Bob"}).json == {**changed.json, "name": "Bob"}
    nothing = dict.fromkeys(("name", "metadata", "tags"))
    assert ask2("PATCH", "/customers/c", nothing).json["name"] == "Bob"
    assert ask2("GET", "/customers/c").json["name"] == "Bob"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": ""}, ["name"]),
        ({"metadata": {"set": {"k": 1}}}, ["metadata", "set", "k"]),
        ({"tags": ["t"]}, ["tags"]),
        ({"metadata": {"set": {"k": "x" * 32_000}}}, []),
    ],
)
def test_a_change_to_a_customer_that_cannot_be_is_refused(
    ask2: Ask, body: dict[str, Any], where: list[Any]
) -> None:
    customer(ask2, id="c")
    assert place(ask2("PATCH", "/customers/c", body)) == ["body", *where]


def test_an_unknown_customer_is_not_found(ask2: Ask) -> None:
    for method, body in (("GET", None), ("PATCH", {"name": "A"}), ("DELETE", None)):
        assert refused(ask2(method, "/customers/nope", body), 404)


def test_a_deleted_customer_is_gone(ask2: Ask) -> None:
    customer(ask2, id="c")
    answer = ask2("DELETE", "/customers/c")
    assert (answer.status, answer.text) == (204, "")
    assert refused(ask2("DELETE", "/customers/c"), 404)
    assert len(ask2("GET", "/customers").json) == 1


def test_an_id_of_a_customer_that_is_taken_is_a_conflict(ask2: Ask, clock: FakeClock) -> None:
    first = customer(ask2, id="c")
    assert customer(ask2, id="c") == first, "a client's own retry"
    assert refused(ask2("POST", "/customers", {"name": "Bob", "id": "c"}), 409)
    clock.ms += 61_000
    assert refused(ask2("POST", "/customers", {"name": "Alice", "id": "c"}), 409)


def test_a_retry_under_an_idempotency_key_gives_the_same_customer(ask2: Ask) -> None:
    first = ask2("POST", "/customers", {"name": "A"}, headers=KEYED).json
    assert ask2("POST", "/customers", {"name": "A"}, headers=KEYED).json == first
    assert refused(ask2("POST", "/customers", {"name": "B"}, headers=KEYED), 422)
    ask2("PATCH", f"/customers/{first['id']}", {"name": "C"})
    assert ask2("POST", "/customers", {"name": "A"}, headers=KEYED).json["name"] == "C"


def test_pages_of_customers_begin_with_the_guest(ask2: Ask, clock: FakeClock) -> None:
    for n in range(4):
        customer(ask2, id=f"c{n}")
        clock.ms += 1
    first = ask2("GET", "/customers", query={"limit": "1"}).json
    published.Customers.model_validate(first)
    assert [one["id"] for one in first["items"]] == ["guest"]
    assert (first["total_count"], first["has_more"]) == (5, True)
    for sort, wanted in (("asc", ["c0", "c1"]), ("desc", ["c3", "c2"])):
        query = {"limit": "2", "cursor": first["next_cursor"], "sort": sort}
        page = ask2("GET", "/customers", query=query).json
        published.Customers.model_validate(page)
        assert [one["id"] for one in page["items"]] == wanted
        assert page["total_count"] == 5
    assert place(ask2("GET", "/customers", query={"limit": "101"})) == ["query", "limit"]
    assert place(ask2("GET", "/customers", query={"cursor": "x"})) == ["query", "cursor"]


# --- what the engine reads -----------------------------------------------------------------------


def test_policies_of_an_agent_are_what_the_engine_reads(ask2: Ask, ports: Ports) -> None:
    made(
        ask2,
        id="a",
        follow_ups=[{"after_seconds": 60, "guidelines": [{"action": "Ask."}]}],
        buy_time={"after_seconds": 2, "times": 2},
    )
    agent = ports.agents.get("a")
    assert agent.follow_ups == (FollowUp(after_seconds=60, guidelines=(Guideline(action="Ask."),)),)
    assert agent.buy_time == BuyTime(after_seconds=2, times=2)
    assert agent.max_iterations == 3


@pytest.mark.parametrize("path", ["/sessions/", "/sessions//", "/customers/", "/agents/"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_that_is_empty_names_nothing_and_above_all_not_everything(
    ask2: Ask, method: str, path: str
) -> None:
    ask2("POST", "/agents", {"id": "kept", "name": "A"})
    made = ask2("POST", "/sessions", {"agent_id": "kept"}).json
    assert ask2(method, path).status == 404
    assert ask2("GET", f"/sessions/{made['id']}").status == 200


def test_a_customer_of_a_key_is_found_again_after_a_change_and_is_not_another_one(
    ask2: Ask,
) -> None:
    key = {"idempotency-key": "k1"}
    made = ask2("POST", "/customers", {"name": "Alice"}, headers=key).json
    ask2("PATCH", f"/customers/{made['id']}", {"name": "Alicia"})
    again = ask2("POST", "/customers", {"name": "Alice"}, headers=key)
    assert (again.status, again.json["name"]) == (201, "Alicia")
    assert ask2("POST", "/customers", {"name": "Bob"}, headers=key).status == 422
