"""What does not fit a JSON Schema, told so that a model can mend it."""

import socket
from typing import Any

import pytest

from cueline.adapters.tools.schema import problem

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "array", "items": {"type": "integer", "maximum": 7}},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "value", [{"city": "Bonn"}, {"city": "Bonn", "days": [], "unit": "C"}, {"city": "Bü"}]
)
def test_what_fits_is_no_problem(value: object) -> None:
    assert problem(CITY, value) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({}, "$: 'city' is a required property."),
        ({"city": 7}, "$.city: expected string, got 7."),
        ({"city": "Bonn", "days": [1, 9]}, "$.days[1]: does not meet maximum 7."),
        ({"city": "Bonn", "unit": "K"}, '$.unit: expected one of ["C", "F"].'),
        (
            {"city": "Bonn", "x": 1},
            "$: Additional properties are not allowed ('x' was unexpected).",
        ),
        ([], "$: expected object, got []."),
    ],
)
def test_a_problem_names_the_place_and_what_is_expected_there(value: object, told: str) -> None:
    assert problem(CITY, value) == told


def test_several_problems_are_told_at_once_but_not_all_of_them() -> None:
    told = problem(CITY, {"city": "x", "unit": 1, "days": ["a", "b", "c"]})
    assert told is not None
    assert told.count("; ") == 2


def test_a_problem_is_short_however_long_the_value_is() -> None:
    told = problem({"type": "integer"}, "x" * 10_000)
    assert told is not None
    assert len(told) < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"properties": {"a": 1}},
        {"$schema": 5},
        {"$schema": []},
        {"$ref": 5},
        {"$schema": "http://json-schema.org/draft-04/schema#", "$ref": 5},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#"},
        {"type": "string", "x": {1, 2}},
    ],
    ids=str,
)
def test_a_schema_that_is_itself_wrong_is_told_to_be(schema: dict[str, Any]) -> None:
    told = problem(schema, "value")
    assert told is not None
    assert told.startswith("The JSON Schema is itself not valid")
    assert told.endswith(".")


DRAFT_4 = "http://json-schema.org/draft-04/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"properties": {"a": {"pattern": "a{99999999999999}"}}},
        {"properties": {"a": {"pattern": r"^\p{L}+$"}}},
        {"properties": {"a": {"format": "regex"}}},
        {"patternProperties": {"(": False}, "additionalProperties": False},
        {"patternProperties": {"^(a+)+$": False}, "unevaluatedProperties": False},
        {"propertyNames": {"pattern": "^(a+)+$"}},
        {"$schema": DRAFT_4, "patternProperties": {"(": {}}, "additionalProperties": False},
    ],
    ids=str,
)
def test_patterns_are_left_to_the_tool_since_matching_them_may_never_end(
    schema: dict[str, Any],
) -> None:
    assert problem(schema, {"a": "a" * 60 + "!", "a" * 60 + "!": 1}) is None
    assert problem({**schema, "required": ["b"]}, {}) is not None


def test_references_that_double_the_work_at_each_step_are_given_up() -> None:
    steps: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)
    }
    told = problem({"$ref": "#/$defs/d0", "$defs": {**steps, "d40": {}}}, {})
    assert told is not None
    assert "too deep" in told


def test_a_long_list_is_still_judged() -> None:
    listed = {"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}
    assert problem(listed, list(range(20_000))) is None
    assert problem(listed, [*range(20_000), "x"]) is not None


def test_items_that_cannot_be_sorted_are_unique_without_comparing_each_with_each() -> None:
    items: list[Any] = [{"n": n} for n in range(20_000)]
    assert problem({"uniqueItems": True}, items) is None
    assert problem({"uniqueItems": True}, [*items, {"n": 7}]) is not None


def test_a_schema_that_takes_long_to_check_is_left_to_the_tool() -> None:
    assert problem({"anyOf": [{}] * 200_000}, {}) is None


def test_no_reference_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    told = problem({"$ref": "http://169.254.169.254/latest"}, {})
    assert (
        told == "The JSON Schema is itself not valid: it refers to http://169.254.169.254/latest."
    )


def test_a_schema_may_be_of_another_draft() -> None:
    items: dict[str, Any] = {"items": [{"type": "integer"}], "additionalItems": False}
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", **items}
    assert problem(draft, [1]) is None
    assert problem(draft, [1, 2]) is not None
    told = problem(items, [1])
    assert told is not None  # since 2020-12 a list of items is `prefixItems`
    assert "itself not valid" in told
