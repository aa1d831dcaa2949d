"""The practice model for tests: one server a session, faults and requests by model name.

from tests.practice import Practice, practice

__all__ = ["practice"]  # the fixture

def test_something(practice: Practice) -> None:
    model = practice.model("a-name", {"kind": "cut", "after": 3})
    ...  # base_url=practice.base_url, api_key=practice.KEY
    assert practice.requests(model)[-1]["model"] == model
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
import pytest

from local.practice.server import running

_numbers = itertools.count()


@dataclass(frozen=True)
class Practice:
    """A handle on a running practice model."""

    url: str
    http: httpx.Client
    KEY: ClassVar[str] = "sk-practice-0123456789"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def model(self, name: str = "practice", *faults: dict[str, Any]) -> str:
        """A model name of its own, with these faults queued, one a request."""
        model = f"{name}-{next(_numbers)}"
        self.faults(model, *faults)
        return model

    def faults(self, model: str, *faults: dict[str, Any]) -> None:
        body = {"model": model, "faults": list(faults)}
        self.http.post("/practice/faults", json=body).raise_for_status()

    def requests(self, model: str) -> list[dict[str, Any]]:
        """The bodies received for this model, oldest first."""
        return list(self._received(model)["requests"])

    def disconnects(self, model: str) -> int:
        """How many callers of this model went away before their answer was whole."""
        return int(self._received(model)["disconnects"])

    def clear(self, model: str) -> None:
        self.http.delete("/practice/requests", params={"model": model}).raise_for_status()

    def _received(self, model: str) -> dict[str, Any]:
        response = self.http.get("/practice/requests", params={"model": model})
        response.raise_for_status()
        received: dict[str, Any] = response.json()
        return received


@pytest.fixture(scope="session")
def practice() -> Iterator[Practice]:
    """A practice model that takes one key only and answers at once."""
    headers = {"Authorization": f"Bearer {Practice.KEY}"}
    with (
        running(api_key=Practice.KEY, token_ms=0) as url,
        httpx.Client(base_url=url, headers=headers) as http,
    ):
        yield Practice(url, http)
