"""JSON Schemas as callers give them, as far as providers and published clients must read them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator


def _object(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if schema.get("type", "object") != "object" or ("type" not in schema and schema):
        raise ValueError('must be a JSON Schema with `"type": "object"`')
    _checked("it", schema)
    return schema


def _checked(place: str, part: Mapping[str, Any]) -> None:
    if not isinstance(part.get("properties", {}), dict):
        raise ValueError(f"{place} has `properties` that are no object")  # noqa: TRY004
    required = part.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError(f"{place} has `required` that is no array of strings")


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") != "object":
        raise ValueError('must be a JSON Schema with `"type": "object"`')
    for place, part in _parts(schema):
        if not isinstance(part, dict) or "type" not in part:
            raise ValueError(f"{place} must be an object with a `type`")
        _checked(place, part)
        for name, kind, what in (
            ("additionalProperties", bool, "true or false"),
            ("enum", list, "an array"),
            ("description", str, "a string"),
        ):
            if name in part and not isinstance(part[name], kind):
                raise ValueError(f"{place} has `{name}` that is not {what}")
    return schema


ArgumentSchema = Annotated[dict[str, Any], AfterValidator(_object)]
"""Of a tool's arguments; an empty one is none."""
AnswerSchema = Annotated[dict[str, Any], AfterValidator(_answer)]
"""Of a structured answer. Published clients read no agent at all where one is not like this."""


def strict_problem(schema: Mapping[str, Any]) -> str | None:
    """Why no provider holds an answer to this AnswerSchema strictly; None where they do."""
    for place, part in _parts(schema):
        if part["type"] != "object" and "properties" not in part:
            continue
        if part.get("additionalProperties") is not False:
            return f'with `strict`, {place} needs `"additionalProperties": false`'
        missing = [
            name for name in part.get("properties", {}) if name not in part.get("required", [])
        ]
        if missing:
            return f"with `strict`, {place} needs all its properties in `required`: {missing[0]}"
    return None


def _parts(schema: Any, place: str = "the schema") -> Iterator[tuple[str, Any]]:
    """The schema itself and those of properties and items, each with its place, outer ones first.

    Who iterates refuses what is no schema before it asks for the next.
    """
    yield place, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _parts(inner, f"`{name}`" if place == "the schema" else f"{place[:-1]}.{name}`")
    if "items" in schema:
        yield from _parts(schema["items"], f"the items of {place}")
