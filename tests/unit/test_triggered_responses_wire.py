"""Reading what door 2 is sent, and what it says of what it cannot take."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.doors.creation import Creation
from cueline.doors.triggered_responses import keys, lists
from cueline.doors.triggered_responses.agents import CreateAgent
from cueline.doors.triggered_responses.errors import STATUS, Unprocessable, error_answer, wrong
from cueline.doors.triggered_responses.lists import ListQuery, array, listing
from cueline.doors.triggered_responses.sessions import CreateSession, DeleteQuery, UpdateSession
from cueline.doors.triggered_responses.wire import (
    Edit,
    LabelEdit,
    TagEdit,
    body_of,
    parse,
    parse_query,
)
from cueline.errors import (
    AgentExists,
    AgentNotFound,
    CuelineError,
    IdempotencyKeyReused,
    InvalidRequest,
    ModelError,
    NotBuilt,
    NotFound,
    SessionNotFound,
    TooManyPending,
    Unauthorized,
    Unavailable,
)
from cueline.log.triggers import BuyTime, FollowUp, Guideline
from tests.clock import FakeClock


def problems(model: Any, body: Any, place: str = "body") -> list[dict[str, Any]]:
    with pytest.raises(Unprocessable) as refused:
        parse(model, body, place)
    assert json.dumps(refused.value.problems)
    return list(refused.value.problems)


# --- bodies --------------------------------------------------------------------------------------


def test_a_problem_is_told_as_the_published_clients_know_it() -> None:
    known = "'fluid', 'canned_fluid', 'composited_canned' or 'strict_canned'"
    assert problems(CreateAgent, {"name": "A", "composition_mode": "loose"}) == [
        {
            "type": "enum",
            "loc": ["body", "composition_mode"],
            "msg": f"Input should be {known}",
            "input": "loose",
            "ctx": {"expected": known},
        }
    ]


def test_every_wrong_field_is_named_by_its_place() -> None:
    body = {
        "labels": ["a", 1],
        "metadata": {"set": [], "unset": "x"},
        "consumption_offsets": {"client": -1},
        "follow_ups": [{"after_seconds": 5}, {"after_seconds": 0, "guidelines": [{}]}],
    }
    found = {tuple(one["loc"]): one["type"] for one in problems(UpdateSession, body)}
    assert found == {
        ("body", "labels"): "model_type",
        ("body", "metadata", "set"): "dict_type",
        ("body", "metadata", "unset"): "list_type",
        ("body", "consumption_offsets", "client"): "greater_than_equal",
        ("body", "follow_ups", 1, "after_seconds"): "greater_than_equal",
        ("body", "follow_ups", 1, "guidelines", 0, "action"): "missing",
    }


def test_what_is_wrong_is_shown_again_only_while_it_is_small() -> None:
    [small] = problems(CreateSession, {"agent_id": 5})
    assert small["input"] == 5
    [large] = problems(CreateSession, {"agent_id": ["x" * 300]})
    assert "input" not in large


def test_of_very_many_problems_some_are_told() -> None:
    assert len(problems(CreateSession, {"agent_id": "a", "labels": [1] * 100})) == 20


def test_unknown_fields_and_nulls_are_taken_for_nothing() -> None:
    nothing = dict.fromkeys(("title", "customer_id", "metadata", "labels", "tti_minutes"))
    parsed = parse(CreateSession, {"agent_id": "a", "unheard_of": 1, **nothing})
    assert parsed == CreateSession(agent_id="a")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"a":NaN}', "NaN is no JSON number"),
        ('{"a":1e999}', "too large"),
        ('{"a":"\\ud800"}', "surrogate"),
        ('{"a":1,"a":2}', "twice"),
        ('{"a":123456789012345678901}', "64 bits"),
        ('{"a":' * 40 + "1" + "}" * 40, "deeper"),
        ('{"a":"' + "x" * 1_050_000 + '"}', "larger than 1024 KB"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_with_a_reason(body: str | None, why: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        body_of(body, False, "application/json; charset=utf-8")
    [problem] = refused.value.problems
    assert problem["loc"] == ["body"]
    assert why in problem["msg"]


def test_a_body_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(Unprocessable, match="UTF-8"):
        body_of("/w==", True, "application/json")


def test_a_body_of_another_content_type_is_refused() -> None:
    """A page of another site could send it without asking."""
    for kind in ("", "text/plain", "application/x-www-form-urlencoded"):
        with pytest.raises(Unprocessable, match="application/json"):
            body_of("{}", False, kind)


# --- queries -------------------------------------------------------------------------------------


def test_a_query_s_numbers_are_read_and_lists_kept_whole() -> None:
    read = parse_query(ListQuery, {"limit": ["5"], "sort": ["asc", "desc"], "x": ["1"]})
    assert read == ListQuery(limit=5, sort="desc")
    kept = parse_query(DeleteQuery, {"labels": ["a", "b"], "agent_id": []}, ["labels"])
    assert kept == DeleteQuery(labels=["a", "b"])


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"sort": "up"}, {"limit": ""}]
)
def test_a_query_s_problems_are_those_of_the_query(query: dict[str, str]) -> None:
    [problem] = problems(ListQuery, query, "query")
    assert problem["loc"] == ["query", next(iter(query))]


def test_a_filter_with_a_typo_must_not_stand_for_everything() -> None:
    [problem] = problems(DeleteQuery, {"agent": "a"}, "query")
    assert (problem["type"], problem["loc"]) == ("extra_forbidden", ["query", "agent"])


# --- edits ---------------------------------------------------------------------------------------


def test_what_is_set_comes_before_what_is_unset() -> None:
    edit = Edit(set={"b": 2, "c": None}, unset=["a", "b", "x"])
    assert edit.of({"a": 1, "d": 0}) == {"c": None, "d": 0}
    assert Edit().of({"a": 1}) == {"a": 1}


def test_labels_and_tags_are_there_once_in_the_order_of_their_coming() -> None:
    assert TagEdit(add=["c", "a", "c"], remove=["b"]).of(("a", "b")) == ("a", "c")
    assert LabelEdit(upsert=["b"], remove=["b"]).of(("a",)) == ("a",)
    assert LabelEdit().of(("a", "b")) == ("a", "b")


# --- what the agent says by itself ---------------------------------------------------------------


def test_policies_are_read_as_the_engine_has_them() -> None:
    parsed = parse(
        CreateSession,
        {
            "agent_id": "a",
            "follow_ups": [
                {"after_seconds": 60},
                {"after_seconds": 90, "guidelines": [{"action": "Ask", "rationale": "follow_up"}]},
            ],
            "buy_time": {
                "after_seconds": 2.5,
                "guidelines": [{"action": "Wait", "rationale": None}],
            },
        },
    )
    assert parsed.own() == {
        "follow_ups": (
            FollowUp(after_seconds=60),
            FollowUp(
                after_seconds=90, guidelines=(Guideline(action="Ask", rationale="follow_up"),)
            ),
        ),
        "buy_time": BuyTime(after_seconds=2.5, guidelines=(Guideline(action="Wait"),)),
    }


def test_a_policy_that_is_null_is_told_from_one_that_is_not_given() -> None:
    assert parse(UpdateSession, {}).own() == {}
    none = {"follow_ups": None, "buy_time": None}
    assert parse(UpdateSession, none).own() == none
    assert parse(UpdateSession, {"follow_ups": []}).own() == {"follow_ups": ()}


@pytest.mark.parametrize(
    "policy",
    [
        {"follow_ups": [{}]},
        {"follow_ups": [{"after_seconds": 367 * 86_400}]},
        {"follow_ups": [{"after_seconds": 1, "guidlines": []}]},
        {"follow_ups": [{"after_seconds": 1}] * 21},
        {"follow_ups": [{"after_seconds": 1, "guidelines": [{"action": " "}]}]},
        {"follow_ups": [{"after_seconds": 1, "guidelines": [{"action": "a", "rationale": "b"}]}]},
        {"buy_time": {"after_seconds": 0}},
        {"buy_time": {"after_seconds": 1, "times": 6}},
        {"buy_time": []},
    ],
)
def test_a_policy_that_could_not_be_kept_is_refused(policy: dict[str, Any]) -> None:
    assert problems(UpdateSession, policy)[0]["loc"][1] in policy


# --- ids -----------------------------------------------------------------------------------------


def test_ids_in_paths_are_decoded_once() -> None:
    assert keys.session_id_in("a%2Es") == ("a", "s")
    assert keys.customer_id_in("J%C3%BCrgen%20M.") == "Jürgen M."
    assert keys.agent_key_in("%61") == "a"


@pytest.mark.parametrize(
    "odd", ["", "a", "a.", ".s", "a.b.c", "a.s%0A", "a%2Fb.s", "ä.s", "x" * 51 + ".s", "%00.s"]
)
def test_what_cannot_be_a_session_s_id_names_none(odd: str) -> None:
    with pytest.raises(SessionNotFound):
        keys.session_id_in(odd)


@pytest.mark.parametrize(
    "odd", ["", "%20", "a%0A", "%00", "x" * 201, "%FF", "%2525", "a%2Fb", ".", "%2E%2E", "a%3Fb"]
)
def test_what_cannot_be_an_id_names_nothing(odd: str) -> None:
    for read in (keys.customer_id_in, keys.guideline_id_in):
        with pytest.raises(NotFound):
            read(odd)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(keys.is_id))
def test_an_id_in_a_path_is_the_one_that_its_maker_gave(text: str) -> None:
    assert keys.customer_id_in(quote(text, safe="")) == text


def test_ids_are_ten_letters_and_digits() -> None:
    clock = FakeClock()
    made = [keys.new_id(clock) for _ in range(100)]
    assert len(set(made)) == 100
    assert all(len(one) == 10 and one.isascii() and one.isalnum() for one in made)


def test_an_idempotency_key_always_comes_to_the_same_id_of_its_caller() -> None:
    clock = FakeClock()
    first = keys.new_id(clock, Creation("me", "k", {}))
    assert keys.new_id(clock, Creation("me", "k", {"a": 1})) == first
    assert keys.new_id(clock, Creation("you", "k", {})) != first
    assert keys.new_id(clock, Creation("me", None, {})) != keys.new_id(
        clock, Creation("me", None, {})
    )


def test_a_trace_has_32_hexadecimal_digits() -> None:
    request = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    assert keys.trace_id(request) == request.replace("-", "")
    other = keys.trace_id("test-invoke-request")
    assert len(other) == 32
    assert int(other, 16)
    assert keys.trace_id("test-invoke-request") == other


# --- lists ---------------------------------------------------------------------------------------

ITEMS = [(n // 2, f"i{n}") for n in range(7)]
"""Some are made in the same millisecond."""


def page(pinned: int = 0, items: Any = ITEMS, **query: Any) -> Any:
    heads = [{"id": f"pinned{n}"} for n in range(pinned)]
    return listing(items, ListQuery(**query), lambda i: i, lambda i: {"id": i[1]}, heads)


def ids(answer: Any) -> list[str]:
    items = answer["items"] if isinstance(answer, dict) else answer
    return [one["id"] for one in items]


def test_without_a_limit_a_list_is_a_bare_array() -> None:
    assert ids(page()) == [name for _, name in ITEMS]
    assert ids(page(1, sort="desc")) == ["pinned0", *(name for _, name in reversed(ITEMS))]


@pytest.mark.parametrize("pinned", [0, 1])
@pytest.mark.parametrize("sort", ["asc", "desc", None])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 100])
def test_pages_come_to_the_whole_list(pinned: int, sort: Any, limit: int) -> None:
    found: list[str] = []
    cursor = None
    while True:
        answer = page(pinned, limit=limit, cursor=cursor, sort=sort)
        assert answer["total_count"] == pinned + len(ITEMS)
        assert len(answer["items"]) <= limit
        found += ids(answer)
        assert answer["has_more"] == (len(found) < pinned + len(ITEMS))
        assert (answer["next_cursor"] is not None) == answer["has_more"]
        cursor = answer["next_cursor"]
        if not cursor:
            break
    assert found == ids(page(pinned, sort=sort))


def test_a_page_goes_on_where_its_last_item_was_though_that_is_gone() -> None:
    cursor = page(limit=3)["next_cursor"]
    left = [item for item in ITEMS if item[1] != "i2"]
    assert ids(page(items=left, limit=2, cursor=cursor)) == ["i3", "i4"]


@pytest.mark.parametrize("cursor", ["x", "e30", "WzAsMF0", "é", "[" * 10_000, "MjAyNnxh"])
def test_a_cursor_that_no_list_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        page(limit=1, cursor=cursor)
    assert refused.value.problems[0]["loc"] == ["query", "cursor"]


def test_a_page_of_large_items_is_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cueline.doors.shared.MAX_PAGE_BYTES", 40)
    answer = page(limit=7)
    assert ids(answer) == ["i0", "i1", "i2"]
    assert answer["has_more"]
    assert ids(page(limit=7, cursor=answer["next_cursor"])) == ["i3", "i4", "i5"]


def test_an_array_that_no_answer_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert array([]) == []
    monkeypatch.setattr("cueline.doors.shared.MAX_PAGE_BYTES", 40)
    with pytest.raises(InvalidRequest, match="limit"):
        page()
    assert lists.array([{"id": "i0"}]) == [{"id": "i0"}]


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("no"), 422),
        (IdempotencyKeyReused(), 422),
        (NotBuilt("It"), 422),
        (Unauthorized("no"), 401),
        (AgentNotFound("a"), 404),
        (keys.CustomerNotFound("c"), 404),
        (AgentExists("there"), 409),
        (TooManyPending("many"), 429),
        (Unavailable("later"), 503),
    ],
)
def test_an_error_is_told_as_detail(error: Exception, status: int) -> None:
    answer = error_answer(error, "r")
    assert (answer.status, answer.body) == (status, {"detail": str(error)})
    assert answer.headers["x-request-id"] == "r"
    assert ("retry-after" in answer.headers) == (status in {429, 503})


def test_problems_are_told_one_by_one() -> None:
    answer = error_answer(wrong(["body", "x"], "must not"), "r")
    problem = {"type": "value_error", "loc": ["body", "x"], "msg": "must not"}
    assert (answer.status, answer.body) == (422, {"detail": [problem]})


@pytest.mark.parametrize(
    "error", [RuntimeError("hush"), ModelError("model_cut", "hush", retryable=True)]
)
def test_a_bug_tells_nothing_of_itself(error: Exception) -> None:
    answer = error_answer(error, "r")
    assert answer.status == 500
    assert "hush" not in json.dumps(answer.body)


def test_every_error_that_a_request_can_meet_has_its_status() -> None:
    def below(kind: type[CuelineError]) -> set[str]:
        # Other doors have errors of their own.
        own = (
            {kind.code}
            if kind.__module__ in (CuelineError.__module__, Unprocessable.__module__)
            else set()
        )
        return own.union(*map(below, kind.__subclasses__()))

    assert below(CuelineError) - set(STATUS) == {"internal_error", ModelError.code}


def test_what_a_client_would_repeat_is_only_what_nobody_has_taken_in() -> None:
    assert {c for c, s in STATUS.items() if s >= 500 or s in {408, 429}} == {
        "rate_limit_exceeded",
        "unavailable",
    }
