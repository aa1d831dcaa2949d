"""What conditions calculate with: JSON values, and never an exception."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

_STEP = re.compile(r"""\.([^\s.\[\]'"*]+)|\[(-?[0-9]{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]""")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# --- looking up ----------------------------------------------------------------------------------


def path(text: str) -> Path:
    """Of `$.a.b`, `$['a'][0]`; raises ValueError that says what was expected instead."""
    at, steps = 1, list[str | int]()
    if not text.startswith("$"):
        raise ValueError("a path that begins with `$`")
    while at < len(text):
        if not (step := _STEP.match(text, at)):
            raise ValueError(f"`.name`, `['name']` or `[0]` before {text[at:][:20]!r} in a path")
        index = step[2]
        name = next((name for name in (step[1], step[3], step[4]) if name is not None), "")
        steps.append(int(index) if index else name)
        at = step.end()
    return tuple(steps)


def found(context: Any, steps: Path) -> Any:
    """None where the path leads nowhere."""
    for step in steps:
        if isinstance(step, str) and isinstance(context, Mapping):
            context = context.get(step)
        elif isinstance(step, int) and isinstance(context, list | tuple):
            context = context[step] if -len(context) <= step < len(context) else None
        else:
            return None
    return context


# --- comparing and calculating -------------------------------------------------------------------


def equal(one: Any, other: Any) -> bool:
    """Numbers, texts, booleans and nulls, each with their like only."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    return _like(one, other) and bool(one == other)


def ordered(one: Any, sign: str, other: Any) -> bool:
    return _like(one, other) and _ORDER[sign](one, other)


def _like(one: Any, other: Any) -> bool:
    return (isinstance(one, str) and isinstance(other, str)) or (
        _is_number(one) and _is_number(other)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any) -> float | None:
    """None for what is no number, or none that can be calculated with."""
    if not _is_number(value):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def calculated(one: Any, sign: str, other: Any) -> float | None:
    left, right = number(one), number(other)
    if left is None or right is None or (sign == "/" and not right):
        return None
    match sign:
        case "+":
            return number(left + right)
        case "-":
            return number(left - right)
        case "*":
            return number(left * right)
        case _:
            return number(left / right)


# --- functions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Function:
    """`takes` shows its arguments, of which there are `least` to `most`."""

    name: str
    takes: str
    of: Callable[..., Any]
    least: int
    most: int


def _len(value: Any) -> int | None:
    return len(value) if isinstance(value, str | list | Mapping) else None


def _lower(value: Any) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _upper(value: Any) -> str | None:
    return value.upper() if isinstance(value, str) else None


def _contains(whole: Any, part: Any) -> bool:
    """Text in text, a value in an array, a name in an object."""
    if isinstance(whole, list):
        return any(equal(one, part) for one in whole)
    return isinstance(part, str) and isinstance(whole, str | Mapping) and part in whole


def _starts_with(whole: Any, part: Any) -> bool:
    return isinstance(whole, str) and isinstance(part, str) and whole.startswith(part)


def _ends_with(whole: Any, part: Any) -> bool:
    return isinstance(whole, str) and isinstance(part, str) and whole.endswith(part)


def _abs(value: Any) -> float | None:
    return None if (found := number(value)) is None else abs(found)


def _min(*values: Any) -> float | None:
    return _of_numbers(min, values)


def _max(*values: Any) -> float | None:
    return _of_numbers(max, values)


def _of_numbers(pick: Callable[[list[float]], float], values: tuple[Any, ...]) -> float | None:
    numbers = [found for value in values if (found := number(value)) is not None]
    return pick(numbers) if len(numbers) == len(values) else None


MOST_VALUES = 100
FUNCTIONS = {
    function.name.lower(): function
    for function in (
        Function("len", "value", _len, 1, 1),
        Function("lower", "text", _lower, 1, 1),
        Function("upper", "text", _upper, 1, 1),
        Function("contains", "whole, part", _contains, 2, 2),
        Function("startsWith", "text, start", _starts_with, 2, 2),
        Function("endsWith", "text, end", _ends_with, 2, 2),
        Function("abs", "number", _abs, 1, 1),
        Function("min", "number, ...", _min, 1, MOST_VALUES),
        Function("max", "number, ...", _max, 1, MOST_VALUES),
    )
}
"""By their names in small letters, without `_`."""
