"""JSON that a model or a tool has written, as far as every client can read it again."""

import json
import math
from typing import Any, NoReturn


def loads(text: str) -> Any:
    """The value. Raises ValueError for NaN, what is too large for a number, halves of surrogate
    pairs, and nesting that no parser follows, as for what is no JSON at all."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def value_of(text: str) -> Any:
    """The same; None where there is none."""
    try:
        return loads(text)
    except ValueError:
        return None


def value_or_text(text: str) -> Any:
    """The same; the text itself where it is no JSON that every client can read."""
    try:
        return loads(text)
    except ValueError:
        return text


def object_of(text: str) -> dict[str, Any] | None:
    """The JSON object; None for everything else."""
    value = value_of(text)
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large")
    return value
