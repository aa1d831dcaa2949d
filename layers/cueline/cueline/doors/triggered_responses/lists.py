"""What the door's lists share: their query, their pages, and what is too much for one answer."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from cueline.doors.shared import MAX_PAGE_BYTES, count_that_fits, timestamp
from cueline.doors.triggered_responses.errors import wrong
from cueline.doors.triggered_responses.wire import Wire
from cueline.errors import InvalidRequest

__all__ = ["ListQuery", "array", "listing", "timestamp"]

T = TypeVar("T")
Place = tuple[int, str]
"""Where an item stands: its time of making (ms) and its id."""

PINNED = (-1, "")
"""The place after what heads a list in either direction."""


class ListQuery(Wire):
    """Without a limit the answer is a bare array, with one it is a page."""

    limit: Annotated[int, Field(ge=1, le=100)] | None = None
    cursor: str | None = None
    sort: Literal["asc", "desc"] | None = None


def listing(
    items: Sequence[T],
    query: ListQuery,
    place: Callable[[T], Place],
    to_wire: Callable[[T], dict[str, Any]],
    pinned: Sequence[dict[str, Any]] = (),
    keep: Callable[[T], bool] = lambda _: True,
) -> Any:
    """`pinned` heads the list, however it is sorted. Raises Unprocessable for a wrong cursor.

    What `keep` does not want is left out of the answer, but counts: it is asked for one page only.

    `total_count` is that of the whole list on each page. A page may be shorter than its limit
    where its items are large.
    """
    backwards = query.sort == "desc"
    ordered = sorted(items, key=place, reverse=backwards)
    after = _place_in(query.cursor) if query.cursor else None
    head = [(PINNED, one) for one in pinned] if after is None else []
    rest = ordered
    if after not in (None, PINNED):
        rest = [i for i in ordered if (place(i) < after if backwards else place(i) > after)]
    if query.limit is None:
        return array([*(one for _, one in head), *map(to_wire, filter(keep, rest))])
    wanted = rest[: max(0, query.limit - len(head))]
    shown = [*head, *((place(item), to_wire(item)) for item in wanted)][: query.limit]
    shown = shown[: count_that_fits([one for _, one in shown])]
    kept = {place(item) for item in wanted if keep(item)}
    more = len(shown) < len(head) + len(rest)
    return {
        "items": [one for at, one in shown if at == PINNED or at in kept],
        "total_count": len(pinned) + len(ordered),
        "has_more": more,
        "next_cursor": _cursor(shown[-1][0]) if more else None,
    }


def array(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raises InvalidRequest where the answer would be larger than a function may give."""
    if items and count_that_fits(items) < len(items):
        raise InvalidRequest(
            f"This list is larger than {MAX_PAGE_BYTES // 1_000_000} MB, which is too much for one "
            "answer. Ask for a part of it: with a `limit`, where the list has that, or a filter."
        )
    return items


def _cursor(place: Place) -> str:
    text = json.dumps(place, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place_in(cursor: str) -> Place:
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    match found:
        # Decoders are lenient: only what a list would have made itself comes back in.
        case [int(at), str(of)] if _cursor((at, of)) == cursor:
            return at, of
    raise wrong(["query", "cursor"], "Input should be a next_cursor that this list gave out")
