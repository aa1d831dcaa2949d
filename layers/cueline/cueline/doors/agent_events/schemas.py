"""JSON Schemas as callers give them, as far as providers and published clients must read them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator


def _valid(schema: dict[str, Any]) -> dict[str, Any]:
    # On first use: few requests bring a schema, and reading the rules of all drafts takes long.
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = error.json_path.removeprefix("$").removeprefix(".") or "it"
        raise ValueError(f"is no JSON Schema: {place[:100]}: {error.message[:200]}") from None
    return schema


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    if schema and schema.get("type") != "object":
        raise ValueError(_NO_OBJECT)
    return _valid(schema)


_NO_OBJECT = 'must be a JSON Schema with `"type": "object"`'


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") != "object":
        raise ValueError(_NO_OBJECT)
    for place, part in _parts(_valid(schema)):
        if not isinstance(part, dict) or "type" not in part:
            raise ValueError(f"{place} must be an object with a `type`")
        if part.get("additionalProperties", False) not in (True, False):
            raise ValueError(f"{place} must have true or false as `additionalProperties`")
    return schema


ArgumentSchema = Annotated[dict[str, Any], AfterValidator(_arguments)]
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
    """The schema, and those of its properties and items, each with its place; outer ones first."""
    yield place, schema
    if not isinstance(schema, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        yield from _parts(inner, f"`{name}`" if place == "the schema" else f"{place[:-1]}.{name}`")
    if "items" in schema:
        yield from _parts(schema["items"], f"the items of {place}")
