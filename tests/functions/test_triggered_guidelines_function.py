"""Door 2's guidelines, which are kept with their agents."""

from typing import Any

import pytest

from cueline.doors.triggered_responses import guidelines as use_cases
from cueline.engine.agent import Guideline
from cueline.engine.ports import Ports
from tests.functions import published
from tests.functions.conftest import Ask
from tests.functions.test_triggered_responses_function import KEYED, place, refused


@pytest.fixture(autouse=True)
def agents(ask2: Ask) -> None:
    for key in ("a", "b"):
        assert ask2("POST", "/agents", {"name": key.upper(), "id": key}).status == 201


def made(ask2: Ask, agent: str = "a", **fields: Any) -> dict[str, Any]:
    body = {"condition": "they ask for prices", "tags": [f"agent:{agent}"], **fields}
    answer = ask2("POST", "/guidelines", body)
    assert answer.status == 201, answer.text
    published.Guideline.model_validate(answer.json)
    return dict(answer.json)


def read(ask2: Ask, guideline: str) -> dict[str, Any]:
    answer = ask2("GET", f"/guidelines/{guideline}")
    assert answer.status == 200, answer.text
    published.GuidelineRead.model_validate(answer.json)
    assert answer.json.keys() == {"guideline", "relationships", "tool_associations"}
    return dict(answer.json["guideline"])


def listed(ask2: Ask, **query: str) -> list[str]:
    answer = ask2("GET", "/guidelines", query=query)
    assert answer.status == 200, answer.text
    return [guideline["id"] for guideline in answer.json]


# --- making --------------------------------------------------------------------------------------


def test_a_guideline_is_kept_with_the_agent_that_its_tag_names(ask2: Ask, ports: Ports) -> None:
    guideline = made(ask2, action="say them")
    agent, _, key = guideline["id"].partition(".")
    assert agent == "a"
    assert len(key) == 10
    assert guideline == {
        "id": guideline["id"],
        "condition": "they ask for prices",
        "action": "say them",
        "description": None,
        "criticality": "medium",
        "enabled": True,
        "tags": ["agent:a"],
        "metadata": {},
        "composition_mode": None,
        "track": True,
        "labels": [],
        "priority": 0,
    }
    [kept] = ports.agents.get("a").guidelines
    assert (kept.id, kept.condition, kept.action) == (
        guideline["id"], "they ask for prices", "say them",
    )  # fmt: skip
    assert read(ask2, guideline["id"]) == guideline


def test_a_guideline_keeps_all_that_it_is_given(ask2: Ask) -> None:
    given: dict[str, Any] = {
        "id": "my guideline: 1",
        "description": "d",
        "criticality": "high",
        "metadata": {"k": [1, None]},
        "enabled": False,
        "tags": ["other", "agent:a"],
        "labels": ["l"],
        "priority": -3,
        "composition_mode": "strict_canned",
        "track": False,
    }
    guideline = made(ask2, **given)
    assert guideline.items() >= given.items()
    assert guideline["action"] is None
    assert read(ask2, "my%20guideline%3A%201") == guideline


@pytest.mark.parametrize("tags", [None, [], ["x"], ["agent:a", "agent:b"]])
def test_exactly_one_tag_must_name_an_agent(ask2: Ask, tags: Any) -> None:
    answer = ask2("POST", "/guidelines", {"condition": "c", "tags": tags})
    assert place(answer) == ["body", "tags"]
    assert "exactly one tag" in answer.json["detail"][0]["msg"]


@pytest.mark.parametrize("agent", ["nope", "no key", ""])
def test_an_unknown_agent_has_no_guidelines(ask2: Ask, agent: str) -> None:
    body = {"condition": "c", "tags": [f"agent:{agent}"]}
    assert refused(ask2("POST", "/guidelines", body), 404)
    assert listed(ask2, tag_id=f"agent:{agent}") == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"condition": ""}, ["condition"]),
        ({"condition": None}, ["condition"]),
        ({"id": ""}, ["id"]),
        ({"action": 1}, ["action"]),
        ({"criticality": "utmost"}, ["criticality"]),
        ({"metadata": "m"}, ["metadata"]),
        ({"enabled": "perhaps"}, ["enabled"]),
        ({"labels": [1]}, ["labels", 0]),
        ({"priority": 1.5}, ["priority"]),
        ({"composition_mode": "x"}, ["composition_mode"]),
        ({"track": []}, ["track"]),
    ],
)
def test_a_guideline_that_cannot_be_is_refused(
    ask2: Ask, fields: dict[str, Any], where: list[Any]
) -> None:
    body = {"condition": "c", "tags": ["agent:a"], **fields}
    assert place(ask2("POST", "/guidelines", body)) == ["body", *where]


def test_an_id_must_be_unique_among_all_agents(ask2: Ask) -> None:
    first = made(ask2, id="g")
    assert made(ask2, id="g") == first, "a client's own retry"
    for other in ({"tags": ["agent:b"]}, {"action": "something else"}):
        body = {"condition": "they ask for prices", "id": "g", "tags": ["agent:a"], **other}
        assert refused(ask2("POST", "/guidelines", body), 409)
    assert listed(ask2) == ["g"]


def test_a_retry_under_an_idempotency_key_gives_the_same_guideline(ask2: Ask) -> None:
    body = {"condition": "c", "tags": ["agent:a"]}
    first = ask2("POST", "/guidelines", body, headers=KEYED)
    again = ask2("POST", "/guidelines", body, headers=KEYED)
    assert (again.status, again.json) == (201, first.json)
    assert listed(ask2) == [first.json["id"]]
    assert refused(ask2("POST", "/guidelines", {**body, "action": "x"}, headers=KEYED), 422)


def test_an_agent_has_only_so_many(ask2: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use_cases, "MAX_GUIDELINES", 2)
    for _ in range(2):
        made(ask2)
    body = {"condition": "c", "tags": ["agent:a"]}
    assert "2 guidelines" in refused(ask2("POST", "/guidelines", body), 422)
    made(ask2, "b")


def test_guidelines_that_make_the_agent_too_large_are_refused(ask2: Ask) -> None:
    for _ in range(2):
        made(ask2, metadata={"k": "x" * 140_000})
    body = {"condition": "c", "tags": ["agent:a"], "metadata": {"k": "x" * 40_000}}
    assert place(ask2("POST", "/guidelines", body)) == ["body"]


# --- finding -------------------------------------------------------------------------------------


def test_a_tag_says_which_are_listed(ask2: Ask) -> None:
    one, two = made(ask2)["id"], made(ask2, tags=["agent:a", "x"])["id"]
    three = made(ask2, "b", tags=["x", "agent:b"])["id"]
    assert listed(ask2) == [one, two, three]
    assert listed(ask2, tag_id="agent:a") == [one, two]
    assert listed(ask2, tag_id="x") == [two, three]
    assert listed(ask2, tag_id="y") == []


def test_a_guideline_that_was_stored_without_tags_is_its_agent_s(ask2: Ask, ports: Ports) -> None:
    agent = ports.agents.get("a")
    plain = Guideline(id="plain", condition="c")
    ports.agents.replace(agent.model_copy(update={"guidelines": (plain,), "version": 1}))
    assert read(ask2, "plain")["tags"] == ["agent:a"]
    assert listed(ask2, tag_id="agent:a") == ["plain"]
    changed = ask2("PATCH", "/guidelines/plain", {"tags": {"add": ["x"]}})
    assert changed.json["guideline"]["tags"] == ["agent:a", "x"]


def test_an_unknown_guideline_is_not_found(ask2: Ask) -> None:
    made(ask2)
    for method, body in (("GET", None), ("PATCH", {"action": "x"}), ("DELETE", None)):
        for guideline in ("nope", "a.nope", "nope.nope", "%00"):
            assert refused(ask2(method, f"/guidelines/{guideline}", body), 404)


# --- changing ------------------------------------------------------------------------------------


def test_a_guideline_changes_only_in_what_is_given(ask2: Ask) -> None:
    before = made(ask2, action="say them", metadata={"a": 1, "b": 2}, labels=["l1"], priority=1)
    other = made(ask2)
    where = f"/guidelines/{before['id']}"
    change = {
        "condition": "they ask for the price",
        "description": "d",
        "criticality": "low",
        "enabled": False,
        "priority": 0,
        "metadata": {"set": {"c": 3}, "unset": ["a"]},
        "labels": {"upsert": ["l2"], "remove": ["l1"]},
        "tags": {"add": ["t"]},
        "composition_mode": "fluid",
        "tool_associations": {"add": [], "remove": None},
    }
    answer = ask2("PATCH", where, change)
    published.GuidelineRead.model_validate(answer.json)
    del change["tool_associations"]
    assert answer.json["guideline"] == {
        **before,
        **change,
        "metadata": {"b": 2, "c": 3},
        "labels": ["l2"],
        "tags": ["agent:a", "t"],
    }
    assert read(ask2, before["id"]) == answer.json["guideline"]
    assert read(ask2, other["id"]) == other
    assert ask2("PATCH", where, dict.fromkeys(change)).json == answer.json
    assert ask2("PATCH", where, {"action": None}).json["guideline"]["action"] == "say them"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"condition": ""}, ["condition"]),
        ({"tags": {"remove": ["agent:a"]}}, ["tags"]),
        ({"tags": {"add": ["agent:b"]}}, ["tags"]),
        ({"tags": {"add": ["agent:b"], "remove": ["agent:a"]}}, ["tags"]),
        ({"tool_associations": {"add": [{"service_name": "s", "tool_name": "t"}]}},
         ["tool_associations"]),
        ({"criticality": "utmost"}, ["criticality"]),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(
    ask2: Ask, body: dict[str, Any], where: list[Any]
) -> None:
    guideline = made(ask2)
    assert place(ask2("PATCH", f"/guidelines/{guideline['id']}", body)) == ["body", *where]
    assert read(ask2, guideline["id"]) == guideline


def test_a_deleted_guideline_is_gone(ask2: Ask) -> None:
    one, two = made(ask2)["id"], made(ask2)["id"]
    answer = ask2("DELETE", f"/guidelines/{one}")
    assert (answer.status, answer.text) == (204, "")
    assert refused(ask2("DELETE", f"/guidelines/{one}"), 404)
    assert listed(ask2) == [two]


def test_a_change_through_the_other_door_keeps_the_guidelines(ask: Ask, ask2: Ask) -> None:
    guideline = made(ask2)
    assert ask("PATCH", "/v2/agents/a", {"name": "New"}).status == 200
    assert read(ask2, guideline["id"]) == guideline


def test_an_agent_that_the_other_door_replaces_keeps_what_that_door_does_not_show(
    ask: Ask, ask2: Ask
) -> None:
    policies = {"follow_ups": [{"after_seconds": 5}], "buy_time": {"after_seconds": 1}}
    ask2("PATCH", "/agents/a", {"model": "m", "tags": {"add": ["t"]}, **policies})
    guideline, before = made(ask2), ask2("GET", "/agents/a").json
    shown = ask("GET", "/v2/agents/a").json
    assert ask("PUT", "/v2/agents/a", {**shown, "name": "New"}).status == 200
    assert ask2("GET", "/agents/a").json == {**before, "name": "New"}
    assert read(ask2, guideline["id"]) == guideline
