"""The door's lists: a page with a cursor, or everything as lines of JSON."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cueline.doors.background_triggers.calls import Call, Reply
from cueline.doors.shared import MAX_PAGE_BYTES
from cueline.doors.strict import invalid
from cueline.engine.ports import Clock, Part, Place
from cueline.errors import InvalidRequest, Unavailable

Fields = dict[str, Any]
MOST = 100
"""Items of a page; what is no number, or less than 1, stands for that too."""
READ_SECONDS = 15.0
"""After which the answer has what was found until then."""
LINES = "application/jsonl"

_NUMBER = re.compile(r"[0-9]{1,9}")
_META = re.compile(r"meta(?:\.(.+)|((?:\[[^\[\]]+\])+))")
"""`meta.app.key`, and `meta[app][key]`."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    take: int | None
    """None is all that there is."""
    backwards: bool
    """Newest first."""
    cursor: str | None
    """The id of the last item of the page before."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """What `meta` must have, by path."""
    lines: bool = False

    @classmethod
    def of(cls, call: Call, order: str = "desc") -> "ListQuery":
        """Other parameters mean nothing and are ignored, and so are values that mean nothing."""
        given, lines = call.one("order"), wants_lines(call.headers.get("accept", ""))
        return cls(
            take=_take(call.one("take") or "", lines=lines),
            backwards=(given if given in ("asc", "desc") else order) == "desc",
            cursor=call.one("cursor") or None,
            meta={path: v[-1] for name, v in call.query.items() if v and (path := _path(name))},
            lines=lines,
        )

    def wants(self, meta: Mapping[str, Any]) -> bool:
        return all(_text(_found(meta, path)) == value for path, value in self.meta.items())

    @property
    def ahead(self) -> int:
        """How many items are looked at before anybody asks whether so many are needed."""
        return min(self.take or MOST, MOST)

    def part(self, place_of: Callable[[str], Place | None]) -> Part:
        """What is behind the cursor, whose place `place_of` knows. Raises InvalidRequest."""
        after = None
        if self.cursor is not None and (after := place_of(self.cursor)) is None:
            raise no_cursor()
        return Part(after, newest_first=self.backwards, ahead=self.ahead)


def no_cursor() -> InvalidRequest:
    return invalid({"cursor": "must be the id of an item of this list"})


def listed(query: ListQuery, clock: Clock, items: Iterable[Fields | None]) -> Reply:
    """`items` are those after the cursor, and None wherever one has been looked at in vain.

    A page may be shorter than asked for, and is empty only at the end: published clients stop
    there. Lines that end before the list does say so last. Raises Unavailable.
    """
    shown, whole = _gathered(query, clock, items)
    if not (shown or whole):
        raise Unavailable("Nothing was found in the time that there is. Ask for less.")
    if query.lines:
        return _lines(shown, whole=whole)
    last = {"cursor": shown[-1]["id"]} if shown else {}
    return Reply({"items": shown, **last})


def wants_lines(accept: str) -> bool:
    """Whichever of the two is named first; JSON, where neither is."""
    for one in accept.lower().split(","):
        kind = one.partition(";")[0].strip()
        if kind in (LINES, "application/x-ndjson", "application/json"):
            return kind != "application/json"
    return False


def _gathered(
    query: ListQuery, clock: Clock, items: Iterable[Fields | None]
) -> tuple[list[Fields], bool]:
    """The items, and whether they are all that was asked for."""
    until = clock.monotonic() + READ_SECONDS
    shown: list[Fields] = []
    size = 0
    for item in items:
        if item is not None:
            size += len(json.dumps(item))
            if shown and size > MAX_PAGE_BYTES:
                return shown, False
            shown.append(item)
            if len(shown) == query.take:
                return shown, True
        if clock.monotonic() >= until:
            return shown, False
    return shown, True


def _lines(shown: Sequence[Fields], *, whole: bool) -> Reply:
    """In ASCII: a published client breaks characters that two of its reads share."""
    told: list[Fields] = [{"type": "item", "data": item} for item in shown]
    if not whole:
        cursor = shown[-1]["id"]
        why = f"This list is too long for one answer. It goes on with `cursor={cursor}`."
        more = {"message": why, "code": "CONTENT_TOO_LARGE", "cursor": cursor}
        told.append({"type": "error", "data": more})
    text = "".join(json.dumps(one) + "\n" for one in told)
    return Reply(text=text, content_type=LINES)


# --- the query -----------------------------------------------------------------------------------


def _take(given: str, *, lines: bool) -> int | None:
    number = int(given) if _NUMBER.fullmatch(given) else 0
    if lines:
        return number or None
    return min(number or MOST, MOST)


def _path(name: str) -> str:
    """What a parameter names in `meta`; empty for all other parameters."""
    if not (found := _META.fullmatch(name)):
        return ""
    return found[1] or found[2][1:-1].replace("][", ".")


def _found(meta: Any, path: str) -> Any:
    """What is there under the whole path, or else part by part."""
    if not isinstance(meta, Mapping):
        return None
    if path in meta:
        return meta[path]
    first, _, rest = path.partition(".")
    return _found(meta.get(first), rest) if rest else None


def _text(value: Any) -> str | None:
    """As it stands in a query; None where nothing is."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
