"""JSON Schema, with answers that a model can act on."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, relevance
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

MOST_PROBLEMS = 3
LONGEST = 200
"""Characters of one problem; a message that repeats a long value says less, not more."""
LARGEST = 64_000
"""Characters of a schema. Whether a larger one is valid takes too long to find out."""
MOST_STEPS = 50_000
"""Keywords that are applied in one judgement, for a second or two: references may double them."""
# Python's expressions cannot be stopped, and hold up all other threads; and they are not those
# that schemas are written with. The last two depend on `patternProperties`.
_LEFT_OUT = ("pattern", "patternProperties", "additionalProperties", "unevaluatedProperties")

_left: ContextVar[int] = ContextVar("left")


class _TooDeepError(Exception):
    """A judgement has taken all its steps."""


def problem(schema: Mapping[str, Any], value: Any) -> str | None:
    """Why the value does not fit, for a model to mend; None where it does.

    Draft 2020-12, unless the schema names another one. References lead nowhere but into the
    schema itself. What patterns say (`pattern`, `patternProperties`, and which properties are
    additional to those) and formats is not judged, nor is anything by a schema that is too large:
    the tool itself must.
    """
    try:
        text = json.dumps(schema)
        if len(text) > LARGEST:
            return None
        validator = _validator(text)
        _left.set(MOST_STEPS)
        found = sorted(islice(validator.iter_errors(value), 100), key=relevance, reverse=True)
        return "; ".join(map(_told, found[:MOST_PROBLEMS])) + "." if found else None
    except _TooDeepError:
        return "The JSON Schema is too deep to be applied to this: it takes too many steps."
    except SchemaError as error:
        return f"The JSON Schema is itself not valid at {error.json_path}: {_short(error.message)}."
    except Unresolvable as error:
        return f"The JSON Schema is itself not valid: it refers to {_short(str(error.ref))}."
    except Exception:  # refers to itself; is no JSON; and whatever else the library trips over
        return "The JSON Schema is itself not valid."


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    parsed = json.loads(schema)
    draft: Any = validator_for(parsed, default=Draft202012Validator)
    # Formats would be those of patterns, of which Python's are not the measure.
    draft.check_schema(parsed, format_checker=None)
    # Without a registry of our own, a reference to a URL would be fetched.
    bounded: Validator = _bounded(draft, '"patternProperties"' in schema)(
        parsed, registry=Registry()
    )
    return bounded


@cache
def _bounded(draft: Any, patterned: bool) -> Any:
    """The draft, within so many steps, without what would match patterns."""
    keywords = {name: _counted(keyword) for name, keyword in draft.VALIDATORS.items()}
    left_out = _LEFT_OUT if patterned else _LEFT_OUT[:2]
    keywords |= dict.fromkeys(set(left_out) & set(keywords), _nothing)
    keywords["uniqueItems"] = _counted(_unique)
    return extend(draft, keywords)  # type: ignore[no-untyped-call]


def _counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def judged(validator: Any, *given: Any) -> Iterator[ValidationError]:
        if (left := _left.get() - 1) < 0:
            raise _TooDeepError
        _left.set(left)
        yield from keyword(validator, *given) or ()

    return judged


def _nothing(*_: Any) -> Iterator[ValidationError]:
    return iter(())


def _unique(_: Any, wanted: Any, value: Any, *__: Any) -> Iterator[ValidationError]:
    if not (wanted and isinstance(value, list)):
        return
    # The library compares each with each where they cannot be sorted.
    if len({json.dumps(one, sort_keys=True) for one in value}) < len(value):
        yield ValidationError("has items twice")


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
