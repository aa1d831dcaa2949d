"""The form that a caller wants an answer in: checked as the provider does, and kept to."""

from collections.abc import Iterator, Mapping
from typing import Any

from local.practice.arguments import arguments_for
from local.practice.heard import BadRequest, check_fields, check_name, check_type, invalid_value

_TYPES = ("text", "json_object", "json_schema")
_FIELDS = ("name", "schema", "strict", "description")


def read_form(given: object, where: str, inside: str | None = None) -> Mapping[str, Any] | None:
    """The JSON Schema of the answer; None where it is plain text.

    Chat Completions has the schema one level deeper than Responses: `inside` this field.
    """
    if given is None:
        return None
    check_type(given, dict, where)
    assert isinstance(given, dict)  # noqa: S101
    kind = given.get("type")
    if kind not in _TYPES:
        raise invalid_value(kind, _TYPES, f"{where}.type")
    if kind != "json_schema":
        check_fields(given, ("type",), where)
        return {"type": "object"} if kind == "json_object" else None
    if not inside:
        check_fields(given, ("type", *_FIELDS), where)
        return _schema({name: value for name, value in given.items() if name != "type"}, where)
    check_fields(given, ("type", inside), where)
    check_type(given.get(inside), dict, f"{where}.{inside}")
    return _schema(given[inside], f"{where}.{inside}")


def filled(form: Mapping[str, Any], message: str) -> str:
    """An answer in this form, in the words of the message where it has some."""
    return arguments_for(form, message)


def _schema(given: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    check_fields(given, _FIELDS, where)
    for name in ("name", "schema"):
        if given.get(name) is None:
            raise BadRequest(
                f"Missing required parameter: '{where}.{name}'.",
                param=f"{where}.{name}",
                code="missing_required_parameter",
            )
    check_name(given["name"], f"{where}.name")
    schema = given["schema"]
    check_type(schema, dict, f"{where}.schema")
    for name, kind in (("strict", bool), ("description", str)):
        if given.get(name) is not None:
            check_type(given[name], kind, f"{where}.{name}")
    if schema.get("type") != "object":
        raise _invalid(given, f"must be 'type: \"object\"', got '{schema.get('type')}'", where)
    if given.get("strict") and (problem := next(_unstrict(schema, ()), None)):
        raise _invalid(given, problem, where)
    found: Mapping[str, Any] = schema
    return found


def _invalid(given: Mapping[str, Any], why: str, where: str) -> BadRequest:
    return BadRequest(
        f"Invalid schema for response_format '{given['name']}': {why}.",
        param=f"{where}.schema",
        code="invalid_json_schema",
    )


def _unstrict(schema: Any, place: tuple[str, ...]) -> Iterator[str]:
    """What keeps the provider from holding an answer to the schema."""
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties", {})
    if schema.get("type") == "object" or properties:
        if schema.get("additionalProperties") is not False:
            yield f"In context={place}, 'additionalProperties' is required and must be false"
        if set(properties) != set(schema.get("required", ())):
            yield f"In context={place}, 'required' must include every key in properties"
    for name, inner in properties.items():
        yield from _unstrict(inner, (*place, "properties", name))
    yield from _unstrict(schema.get("items"), (*place, "items"))
