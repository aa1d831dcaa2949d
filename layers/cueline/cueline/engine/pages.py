"""Lists of which some items are left out."""

from collections.abc import Callable
from typing import TypeVar

from cueline.engine.ports import Page

T = TypeVar("T")

MOST_LOOKS = 5
"""Pages that one request reads; then it gives out what it has, and where the list goes on."""


def kept_page(
    fetch: Callable[[int, str | None], Page[T]],
    keep: Callable[[T], bool],
    limit: int,
    page_key: str | None,
) -> Page[T]:
    """Up to `limit` items that `keep` wants; maybe fewer, even none, though it goes on."""
    items: list[T] = []
    for _ in range(MOST_LOOKS):
        page = fetch(limit - len(items), page_key)
        items += filter(keep, page.items)
        page_key = page.next
        if page_key is None or len(items) >= limit:
            break
    return Page(items, page_key)
