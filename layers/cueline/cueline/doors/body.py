"""Reading a JSON body that anybody may have sent: refused before it can do harm, with a reason."""

import base64
import binascii
import json
import math
import re
from functools import partial
from typing import Any, NoReturn

from cueline.errors import InvalidMessageContent, InvalidRequest

MAX_BODY = 1024 * 1024
"""Holds every text within the limits below, however its client escapes it."""
MAX_DEPTH = 32
MAX_TEXT_CHARACTERS = 100_000
"""Of all messages of one request together; about what a model's window holds."""
MAX_TEXT_BYTES = 256 * 1024
"""The same, in UTF-8: an input shares its segment of the log with what its turn's begin writes."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def raw_body(body: str | None, is_base64: bool) -> bytes:
    """The bytes that the caller sent, from API Gateway's rendering of them."""
    if not is_base64:
        return (body or "").encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The body could not be decoded.") from error


def read_json(raw: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object in `raw`; raises InvalidRequest.

    Any other content type is a 400: the door's clients know no 415, and web pages, which may send
    a form or plain text to a laptop's open port without asking it first, cannot send JSON so.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("Send the body with `content-type: application/json`.")
    if len(raw) > MAX_BODY:
        raise InvalidRequest(f"The body is larger than {MAX_BODY // 1024} KB.")
    return object_in(raw)


def object_in(raw: bytes, what: str = "The body") -> dict[str, Any]:
    """The JSON object in `raw`, which errors call `what`; raises InvalidRequest."""
    if not raw.strip():
        raise InvalidRequest(f"{what} is empty; it must be a JSON object.")
    value = _parsed(raw, what)
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object.")
    _check(value, what)
    return value


def check_text(texts: list[str]) -> None:
    """Raises InvalidMessageContent where what a user says is empty, too long, or not text."""
    for n, text in enumerate(texts):
        if not text.strip():
            raise _content(n, "is empty")
        if _CONTROL.search(text):
            raise _content(n, "contains control characters")
    if sum(map(len, texts)) > MAX_TEXT_CHARACTERS:
        raise InvalidMessageContent(f"The text is longer than {MAX_TEXT_CHARACTERS:,} characters.")
    if sum(len(text.encode()) for text in texts) > MAX_TEXT_BYTES:
        raise InvalidMessageContent(f"The text is larger than {MAX_TEXT_BYTES // 1024} KB.")


def has_controls(text: str) -> bool:
    return bool(_CONTROL.search(text))


def _content(n: int, what: str) -> InvalidMessageContent:
    field = f"messages.{n}.content"
    return InvalidMessageContent(f"The message {what}.", {field: what})


def _parsed(raw: bytes, what: str) -> Any:
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=partial(_object, what),
            parse_constant=partial(_no_number, what),
            parse_float=partial(_float, what),
            parse_int=partial(_int, what),
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not valid UTF-8.") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"{what} is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from error
    except RecursionError as error:
        raise _too_deep(what) from error


def _object(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidRequest(f"{what} names a field twice.")
    return members


def _no_number(what: str, name: str) -> NoReturn:
    raise InvalidRequest(f"{what} is not valid JSON: {name} is no JSON number.")


def _float(what: str, digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise InvalidRequest(f"{what} contains a number that is too large.")
    return value


def _int(what: str, digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**63:
        raise InvalidRequest(f"{what} contains an integer that does not fit into 64 bits.")
    return value


def _check(body: dict[str, Any], what: str) -> None:
    """What the parser lets through: too deep nesting, and halves of surrogate pairs."""
    todo: list[tuple[Any, int]] = [(body, 1)]
    while todo:
        value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(what)
        if isinstance(value, dict):
            todo += ((v, depth + 1) for v in value.values())
            todo += ((k, depth) for k in value)
        elif isinstance(value, list):
            todo += ((v, depth + 1) for v in value)
        elif isinstance(value, str) and not value.isascii():
            _check_unicode(value, what)


def _check_unicode(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{what} contains half of a surrogate pair.") from error


def _too_deep(what: str) -> InvalidRequest:
    return InvalidRequest(f"{what} is nested deeper than {MAX_DEPTH} levels.")
