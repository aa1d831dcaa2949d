"""One request of any door's REST functions, as its routes get it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cueline.doors.access import payer_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Path parameters as they stand in the path; the query decoded, with all values of each name.

    Header names are lower case. `caller` is who was let in.
    """

    request_id: str
    caller: str
    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: str | None
    is_base64: bool = False

    @property
    def payer(self) -> str:
        return payer_of(self.caller)

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


RequestT = TypeVar("RequestT", bound=Request)


@dataclass(frozen=True)
class Route(Generic[RequestT]):
    """`path` is as in an API's definition; `answer` gives what is JSON, or None for no body."""

    method: str
    path: str
    answer: Callable[[RequestT], Any]
    status: int = 200
