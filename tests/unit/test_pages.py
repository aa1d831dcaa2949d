"""Lists of which some items are left out: what one page has, and where the next one begins."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.engine.pages import ENOUGH_LOOKS, MOST_LOOKS, WIDE, kept_page
from cueline.engine.ports import Page


class Numbers:
    """A list of numbers that counts how often it is looked at; a key is the last one given out."""

    def __init__(self, count: int) -> None:
        self.count, self.looks = count, 0

    def fetch(self, limit: int, page_key: str | None) -> Page[int]:
        self.looks += 1
        first = int(page_key) + 1 if page_key else 0
        found = range(first, min(first + limit, self.count))
        return Page(found, str(found[-1]) if found and found[-1] + 1 < self.count else None)

    def pages(self, kept: Collection[int], limit: int) -> list[list[int]]:
        """As a published client reads them: to the end, or to a page that is empty."""
        key, pages = None, list[list[int]]()
        while True:
            page = kept_page(self.fetch, lambda n: n in kept, limit, key)
            pages.append(list(page.items))
            key = page.next
            if not key or not page.items:
                return pages


@given(kept=st.sets(st.integers(0, 400)), limit=st.integers(1, 12))
def test_pages_have_all_that_is_kept_in_its_order(kept: set[int], limit: int) -> None:
    pages = Numbers(401).pages(kept, limit)
    assert [n for page in pages for n in page] == sorted(kept)
    assert all(len(page) <= limit for page in pages)


def test_a_list_of_which_nothing_is_left_out_is_looked_at_once_a_page() -> None:
    numbers = Numbers(6)
    assert numbers.pages(range(6), 2) == [[0, 1], [2, 3], [4, 5]]
    assert numbers.looks == 3


@pytest.mark.parametrize("limit", [1, 10])
def test_what_stands_behind_a_thousand_others_is_on_the_first_page(limit: int) -> None:
    assert Numbers(2_000).pages({1_000}, limit)[0] == [1_000]


def test_one_page_looks_so_often_and_no_more() -> None:
    nothing, little = Numbers(10_000), Numbers(10_000)
    page = kept_page(nothing.fetch, lambda _: False, 10, None)
    assert (list(page.items), page.next) == ([], str(10 + (MOST_LOOKS - 1) * WIDE - 1))
    assert nothing.looks == MOST_LOOKS
    assert list(kept_page(little.fetch, lambda n: n == 0, 10, None).items) == [0]
    assert little.looks == ENOUGH_LOOKS
