"""What the doors write and read alike."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from cueline.errors import NotFound

KEY = re.compile(r"[0-9a-zA-Z_-]{1,50}")
"""Of agents and sessions; used with `fullmatch`."""
MAX_PAGE_BYTES = 4_000_000
"""Of one answer, as JSON: a function may give 6 MB."""
MAX_ECHO = 100
"""Characters of what the caller sent that an error shows."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What is answered to an error; `headers` come on top of the content type."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def key_in(path: str, missing: type[NotFound]) -> str:
    """The key, as it stands in a path. What cannot be one names nothing, so it is not found."""
    key = unquote(path)
    if not KEY.fullmatch(key):
        raise missing(key[:MAX_ECHO])
    return key


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, of milliseconds since 1970."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def count_that_fits(items: list[dict[str, Any]]) -> int:
    """At least 1, if there is one: no item is as big as a page may be."""
    size = 0
    for count, item in enumerate(items):
        size += len(json.dumps(item))
        if count and size > MAX_PAGE_BYTES:
            return count
    return len(items)
