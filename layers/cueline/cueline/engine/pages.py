"""Lists of which some items are left out."""

from collections.abc import Callable
from typing import TypeVar

from cueline.engine.ports import Page

T = TypeVar("T")

ENOUGH_LOOKS = 5
"""Pages that one request reads; then it gives out what it has, and where the list goes on."""
MOST_LOOKS = 20
"""The same while it has nothing."""
WIDE = 100
"""Items that are looked at together where those before were all left out."""


def kept_page(
    fetch: Callable[[int, str | None], Page[T]],
    keep: Callable[[T], bool],
    limit: int,
    page_key: str | None,
) -> Page[T]:
    """Up to `limit` items that `keep` wants; maybe fewer, though the list goes on.

    None at all only where very many are left out: published clients take that for the end.
    """
    items: list[T] = []
    for look in range(MOST_LOOKS):
        left = limit - len(items)
        page = fetch(WIDE if look and not items else left, page_key)
        while len(kept := [at for at, item in enumerate(page.items) if keep(item)]) > left:
            page = fetch(kept[left - 1] + 1, page_key)  # which knows where the list goes on
        items += [page.items[at] for at in kept]
        page_key = page.next
        if page_key is None or len(items) == limit or (items and look + 1 >= ENOUGH_LOOKS):
            break
    return Page(items, page_key)
