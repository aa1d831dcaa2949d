"""People who talk to one session while its turn runs, and what they hear."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.talking import Person, direct, kind, network, practice, talker

__all__ = ["direct", "kind", "network", "practice", "talker"]

BOTH = pytest.mark.parametrize(
    ("kind", "network"), [("async", "whole"), ("sync", "one byte at a time")], indirect=True
)
"""For what takes long: each client once, and each network."""
SLOW = {"kind": "script", "texts": [f"word {n} " for n in range(20)], "token_ms": 150}
SLOW_TEXT = "".join(SLOW["texts"])
STUCK = {"kind": "hang_midstream", "texts": ["So ", "far, ", "so ", "good."], "after": 2}
STUCK_TEXT = "So far, "

Meet = Callable[[], Person]


@pytest.fixture
def meet(kind: str, network: str, talker: str) -> Meet:
    """Another person who talks to the same session."""
    return lambda: Person(kind, network, talker)


def types(events: list[Any]) -> list[str]:
    """Runs of one type as one."""
    kinds = [e.type for e in events]
    return [one for n, one in enumerate(kinds) if n == 0 or kinds[n - 1] != one]


def messages(events: list[Any]) -> list[str]:
    return [e.messages[0].content for e in events if e.type == "input_message"]


def answers(events: list[Any]) -> list[str]:
    return [e.content for e in events if e.type == "agent_output"]


def is_text(event: Any) -> bool:
    return bool(event.type == "streaming_agent_output")
