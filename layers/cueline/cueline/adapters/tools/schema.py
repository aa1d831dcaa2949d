"""JSON Schema, with answers that a model can act on."""

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, relevance
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

MOST_PROBLEMS = 3
LONGEST = 200
"""Characters of one problem; a message that repeats a long value says less, not more."""


def problem(schema: Mapping[str, Any], value: Any) -> str | None:
    """Why the value does not fit, for a model to mend; None where it does.

    Draft 2020-12, unless the schema names another one. References lead nowhere but into the
    schema itself.
    """
    try:
        validator = _validator(json.dumps(schema))
        found = sorted(islice(validator.iter_errors(value), 100), key=relevance, reverse=True)
    except SchemaError as error:
        return f"The JSON Schema is itself not valid at {error.json_path}: {_short(error.message)}."
    except Unresolvable as error:
        return f"The JSON Schema is itself not valid: it refers to {_short(error.ref)}."
    except (RecursionError, TypeError, ValueError):  # refers to itself; is no JSON
        return "The JSON Schema is itself not valid."
    return "; ".join(map(_told, found[:MOST_PROBLEMS])) + "." if found else None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    kind.check_schema(parsed)
    # Without a registry of our own, a reference to a URL would be fetched.
    return kind(parsed, registry=Registry())


def _told(error: ValidationError) -> str:
    expected: Any = error.validator_value
    match error.validator:
        case "type":
            names = expected if isinstance(expected, str) else " or ".join(expected)
            said = f"expected {names}, got {_short(json.dumps(error.instance, default=str))}"
        case "enum":
            said = f"expected one of {json.dumps(expected)}"
        case "const":
            said = f"expected {json.dumps(expected)}"
        case "required" | "additionalProperties" | "dependentRequired":
            said = error.message
        case other:
            said = f"does not meet {other} {json.dumps(expected)}"
    return f"{error.json_path}: {_short(said)}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
