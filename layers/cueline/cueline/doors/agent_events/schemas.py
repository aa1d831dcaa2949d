"""JSON Schemas as callers give them, as far as providers and published clients must read them."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

LARGEST = 64_000
"""Characters of a schema as JSON."""
MOST_PARTS = 2_000
"""Schemas in a schema; to check as many takes half a second."""
MOST_IN_A_ROW = 64
"""Schemas for one value, each within the one before: Python's stack is what they are judged on."""


def _valid(schema: dict[str, Any]) -> dict[str, Any]:
    _check_size(schema)
    # On first use: few requests bring a schema, and reading the rules of all drafts takes long.
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    try:
        draft = validator_for(schema, default=Draft202012Validator)
        draft.check_schema(schema)
    except SchemaError as error:
        place = error.json_path.removeprefix("$").removeprefix(".") or "it"
        raise ValueError(f"is no JSON Schema: {place[:100]}: {error.message[:200]}") from None
    except Exception:  # whatever the library, or the compiler of patterns, trips over
        raise ValueError(
            "is no JSON Schema: its `$schema`, or a pattern in it, cannot be read"
        ) from None
    _check_references(schema, draft.META_SCHEMA["$schema"])
    return schema


def _check_size(schema: dict[str, Any]) -> None:
    """Before anything else: what is checked costs time by its size."""
    if len(json.dumps(schema, ensure_ascii=False)) > LARGEST:
        raise ValueError(f"must not have more than {LARGEST:,} characters")
    parts, todo = 0, [schema]
    while todo:
        value: Any = todo.pop()
        # What may be a schema, since telling them apart takes the rules of the draft.
        parts += isinstance(value, dict | bool)
        if isinstance(value, dict | list):
            todo.extend(value.values() if isinstance(value, dict) else value)
    if parts > MOST_PARTS:
        raise ValueError(f"must not have more than {MOST_PARTS:,} schemas in it")


# --- references ----------------------------------------------------------------------------------

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OF_THE_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


def _check_references(schema: dict[str, Any], draft: str) -> None:
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing.jsonschema import specification_with

    kind: Any = specification_with(draft)
    heights: dict[int, int] = {}

    def height(part: Any, resolver: Any, within: frozenset[int]) -> int:
        """How many schemas in a row judge one value; those of `within` wait for this one."""
        if not isinstance(part, dict):
            return 0
        if id(part) in within:
            raise _WrongReferenceError(_IN_CIRCLES)
        if id(part) not in heights:
            now = within | {id(part)}
            followed = [_followed(part[name], resolver) for name in _REFERENCES if name in part]
            next_ones = [
                *((one.contents, one.resolver) for one in followed),
                *((one, _inside(one, resolver, kind)) for one in _of_the_same_value(part)),
            ]
            heights[id(part)] = 1 + max((height(*one, now) for one in next_ones), default=0)
            if heights[id(part)] > MOST_IN_A_ROW:
                raise _WrongReferenceError(_TOO_MANY)
            todo.extend((one, _inside(one, resolver, kind)) for one in kind.subresources_of(part))
        return heights[id(part)]

    try:
        todo = [(schema, REGISTRY.resolver_with_root(kind.create_resource(schema)))]
        while todo:
            height(*todo.pop(), frozenset())
    except _WrongReferenceError:
        raise
    except RecursionError:
        raise ValueError(_TOO_MANY) from None
    except Exception:  # an `$id` that no URL can be made of, or a schema that is none
        raise ValueError("is no JSON Schema: what is referred to cannot be read") from None


_IN_CIRCLES = "must not refer to itself without going into a property or an item"
_TOO_MANY = f"must not have more than {MOST_IN_A_ROW} references in a row"


class _WrongReferenceError(ValueError):
    """The message is the caller's to read, as that of any ValueError here."""


def _inside(schema: Any, resolver: Any, kind: Any) -> Any:
    return resolver.in_subresource(kind.create_resource(schema))


def _followed(reference: Any, resolver: Any) -> Any:
    try:
        return resolver.lookup(reference)
    except Exception:  # a reference is anything that a caller writes
        raise _WrongReferenceError(
            f"refers to {str(reference)[:100]}, which is nothing in the schema itself"
        ) from None


def _of_the_same_value(schema: dict[str, Any]) -> Iterator[Any]:
    for name in _OF_THE_SAME_VALUE:
        match schema.get(name):
            case list(inner):
                yield from inner
            case dict(inner) if name == "dependentSchemas":
                yield from inner.values()
            case dict(inner):
                yield inner


# --- what is asked of them beside -----------------------------------------------------------------


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
        for name in _YES_OR_NO:
            if part.get(name, False) not in (True, False):
                raise ValueError(f"{place} must have true or false as `{name}`")
        if part.get("required") in (True, False):  # as it was in the first drafts
            raise ValueError(f"{place} must have a list as `required`")
    return schema


# Published clients read both spellings into the same field.
_YES_OR_NO = ("additionalProperties", "additional_properties")

ArgumentSchema = Annotated[dict[str, Any], AfterValidator(_arguments)]
"""Of a tool's arguments; an empty one is none."""
AnswerSchema = Annotated[dict[str, Any], AfterValidator(_answer)]
"""Of a structured answer. Published clients read no agent at all where one is not like this."""


def strict_problem(schema: Mapping[str, Any]) -> str | None:
    """Why no provider holds an answer to this AnswerSchema strictly; None where they do."""
    for place, part in _parts(schema):
        kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
        if "object" not in kinds and "properties" not in part:
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
