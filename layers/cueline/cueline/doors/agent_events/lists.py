"""What all lists of the door share: their query, their filter, their last line."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cueline.doors.shared import count_that_fits
from cueline.doors.strict import parse
from cueline.engine.ports import Page
from cueline.errors import InvalidPageKey, NotBuilt

T = TypeVar("T")


class ListQuery(BaseModel):
    """The query of every list. Other query parameters mean nothing and are ignored."""

    model_config = ConfigDict(frozen=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 10
    page_key: Annotated[str | None, AfterValidator(lambda key: key or None)] = None
    filter: Annotated[str, Field(max_length=200)] = ""
    enabled: bool | None = None
    include_hidden: bool = False


def list_query(query: Mapping[str, str]) -> ListQuery:
    parsed = parse(ListQuery, query)
    if len(parsed.page_key or "") > 2000:
        raise InvalidPageKey
    return parsed


def text_filter(pattern: str) -> Callable[..., bool]:
    """Whether any of some texts matches, in any case. Of regular expressions, only `.*` is built.

    The schema says regular expression; matching one that a caller wrote can take for ever.
    """
    pieces = pattern.casefold().split(".*")
    if any(set(piece) & set("^$*+?()[]{}|\\") for piece in pieces):
        raise NotBuilt("A `filter` with more of a regular expression than text and `.*`")

    def found(text: str) -> bool:
        place = 0
        for piece in pieces:
            place = text.find(piece, place)
            if place < 0:
                return False
            place += len(piece)
        return True

    return lambda *texts: any(found(text.casefold()) for text in texts if text is not None)


def page_answer(
    name: str, fetch: Callable[[int], Page[T]], to_wire: Callable[[T], dict[str, Any]], limit: int
) -> dict[str, Any]:
    """The items that `fetch` gives, under `name`; fewer than `limit` where they are too big."""
    while True:
        page = fetch(limit)
        items = [to_wire(item) for item in page.items]
        fits = count_that_fits(items)
        if fits == len(items):
            return {name: items, "metadata": page_metadata(page.next)}
        limit = fits


def page_metadata(page_key: str | None) -> dict[str, str]:
    """Never null: published clients need the object, and read an empty one as the last page."""
    return {"page_key": page_key} if page_key else {}
