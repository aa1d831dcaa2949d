"""Server-sent events out of raw bytes, and the JSON in them, whatever the network cut them into."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cueline.errors import ModelError

LARGEST_EVENT = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `name` is its `event:` line, empty where there was none."""

    name: str
    data: bytes


def malformed(what: str, *, retryable: bool = True) -> ModelError:
    return ModelError(
        "model_malformed", f"The model provider answered with {what}.", retryable=retryable
    )


def server_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a byte stream, split at line feeds only: U+2028 and its like are data.

    An event that the stream's end cut is dropped, as the standard has it, except `[DONE]`, which
    some servers send last and leave open.
    """
    name, data, size, first = "", list[bytes](), 0, True
    for line in _lines(chunks):
        if first:
            line, first = line.removeprefix(_BOM), False
        if not line:
            if data:
                yield ServerEvent(name, b"\n".join(data))
            name, data, size = "", [], 0
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
            size += len(value) + 1
            if size > LARGEST_EVENT:
                raise malformed("an event that is too large")
        elif field == b"event":
            name = value.strip().decode("utf-8", "replace")
    if data == [b"[DONE]"]:
        yield ServerEvent(name, data[0])


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []  # joined once a line: a long line in tiny chunks stays linear
    size = 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if b"\n" in chunk:
            lines = b"".join(parts).split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield line[:-1] if line[-1:] == b"\r" else line
            parts, size = [rest], len(rest)
        if size > LARGEST_EVENT:
            raise malformed("a line that is too long")
    if size:
        yield b"".join(parts)


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object of one event; anything else is `model_malformed`."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise malformed("an event that is not JSON") from None
    if not isinstance(value, dict):
        raise malformed("an event that is not a JSON object")
    return value


def text_of(value: object) -> str:
    """A text field, where null is the empty text."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed("a text of the wrong type")
    return value


def count_of(value: object) -> int:
    """A token count, where null is 0."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise malformed("a token count of the wrong type")
    return value


def object_of(value: object) -> dict[str, Any]:
    """An object, where null is the empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed("a part of the wrong type")
    return value


def list_of(value: object) -> list[Any]:
    """A list, where null is the empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed("a list of the wrong type")
    return value


class Text:
    """Text in deltas, made safe to store: a pair of surrogates that two deltas share is joined.

    JSON can name half a character. UTF-8 cannot: the first write to the log would fail.
    """

    def __init__(self) -> None:
        self._half = ""

    def add(self, delta: str) -> str:
        if not self._half and delta.isascii():
            return delta
        delta, self._half = self._half + delta, ""
        if delta and "\ud800" <= delta[-1] <= "\udbff":
            delta, self._half = delta[:-1], delta[-1]
        return whole(delta)

    def rest(self) -> str:
        rest, self._half = self._half, ""
        return whole(rest)


def whole(text: str) -> str:
    """The text with surrogate pairs joined and lone ones replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
