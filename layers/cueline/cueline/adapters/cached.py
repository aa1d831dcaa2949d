"""What changes rarely, remembered for a while in this process."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cueline.engine.agent import Agent
from cueline.engine.ports import Agents, Clock, Key, Keys, Page

T = TypeVar("T")

MOST = 1_000
"""Entries that one cache holds."""


@dataclass(slots=True)
class _Remembered(Generic[T]):
    clock: Clock
    seconds: float
    _known: dict[str, tuple[float, T]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str, look: Callable[[str], T]) -> T:
        now = self.clock.monotonic()
        with self._lock:
            until, value = self._known.get(key, (now - 1, None))
        if value is not None and now < until:
            return value
        found = look(key)
        if found is None:
            return found
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = (now + self.seconds, found)
        return found

    def forget(self, key: str) -> None:
        with self._lock:
            self._known.pop(key, None)


class CachedAgents:
    """Agents as they were up to `seconds` ago, but for this process's own changes."""

    def __init__(self, agents: Agents, clock: Clock, seconds: float) -> None:
        self._agents = agents
        self._remembered: _Remembered[Agent] = _Remembered(clock, seconds)

    def get(self, key: str) -> Agent:
        return self._remembered.get(key, self._agents.get)

    def create(self, agent: Agent) -> None:
        self._remembered.forget(agent.key)
        self._agents.create(agent)

    def replace(self, agent: Agent) -> bool:
        self._remembered.forget(agent.key)
        return self._agents.replace(agent)

    def delete(self, key: str) -> None:
        self._remembered.forget(key)
        self._agents.delete(key)

    def list(self, limit: int, page_key: str | None) -> Page[Agent]:
        return self._agents.list(limit, page_key)


class CachedKeys:
    """Keys as they were up to `seconds` ago. An unknown id is looked up each time."""

    def __init__(self, keys: Keys, clock: Clock, seconds: float) -> None:
        self._keys = keys
        self._remembered: _Remembered[Key | None] = _Remembered(clock, seconds)

    def get(self, key_id: str, *, fresh: bool = False) -> Key | None:
        if fresh:
            self._remembered.forget(key_id)
        return self._remembered.get(key_id, self._keys.get)

    def put(self, key: Key) -> None:
        self._remembered.forget(key.id)
        self._keys.put(key)

    def replace(self, old: Key, new: Key) -> bool:
        self._remembered.forget(old.id)
        return self._keys.replace(old, new)

    def remove(self, key_id: str) -> None:
        self._remembered.forget(key_id)
        self._keys.remove(key_id)

    def list(self, limit: int, page_key: str | None) -> Page[Key]:
        return self._keys.list(limit, page_key)
