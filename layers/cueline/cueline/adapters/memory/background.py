"""Background triggers, their sessions, runs and schedules, and the bus: for tests and demos."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cueline.adapters.trigger_texts import (
    DELIVERED,
    checked,
    checked_before,
    trigger_from_json,
    trigger_to_json,
)
from cueline.adapters.wake_ups import checked_name
from cueline.engine.background import Background, BackgroundTrigger, Kept, Run
from cueline.engine.ports import WHOLE, Clock, Part
from cueline.errors import IdempotencyKeyReused


class MemoryTriggers:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, BackgroundTrigger] = {}

    def create(self, trigger: BackgroundTrigger) -> bool:
        new = _copied(trigger)
        with self._lock:
            return self._rows.setdefault(checked(new.id), new) is new

    def get(self, trigger: str) -> BackgroundTrigger | None:
        with self._lock:
            found = self._rows.get(trigger)
        return _copied(found) if found else None

    def replace(self, trigger: BackgroundTrigger) -> bool:
        new = _copied(trigger)
        with self._lock:
            found = self._rows.get(new.id)
            if not found or found.version != new.version - 1:
                return False
            self._rows[new.id] = new
            return True

    def remove(self, trigger: str) -> bool:
        with self._lock:
            return self._rows.pop(trigger, None) is not None

    def all(self, part: Part = WHOLE) -> Iterator[BackgroundTrigger]:
        with self._lock:
            found = [t for t in self._rows.values() if part.beyond(t.place)]
        yield from map(_copied, sorted(found, key=lambda t: t.place, reverse=part.newest_first))


def _copied(trigger: BackgroundTrigger) -> BackgroundTrigger:
    """As a table would keep it. Raises InvalidRequest, TooLarge."""
    text = trigger_to_json(trigger)
    return trigger_from_json(text, trigger.id, trigger.created_at, trigger.version)


class MemoryKeptSessions:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], Kept] = {}

    def claim(self, new: Kept, now: int, over: str = "") -> Kept:
        place = new.trigger, new.key
        with self._lock:
            found = self._rows.get(place)
            if not found or found.until <= now or found.session_key == over:
                self._rows[place] = found = new
            return found


class MemoryRuns:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], Run] = {}

    def put(self, run: Run) -> None:
        with self._lock:
            self._rows.setdefault((checked(run.trigger), checked(run.id)), run)

    def get(self, trigger: str, run: str) -> Run | None:
        with self._lock:
            return self._rows.get((trigger, run))

    def replace(self, run: Run) -> bool:
        with self._lock:
            found = self._rows.get((run.trigger, run.id))
            if not found or found.version != run.version - 1:
                return False
            self._rows[run.trigger, run.id] = run
            return True

    def list(self, trigger: str, limit: int, before: str | None) -> Sequence[Run]:
        last = checked_before(before)
        with self._lock:
            names = sorted(
                (name for of, name in self._rows if of == trigger and (not last or name < last)),
                reverse=True,
            )
            return [self._rows[trigger, name] for name in names[:limit]]


class MemoryDeliveries:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], tuple[str, str, int]] = {}
        """Body, session key, and until when it is there."""

    def claim(self, trigger: str, key: str, body: str, session_key: str, now: int) -> str:
        with self._lock:
            found = self._rows.get((trigger, key))
            if not found or found[2] <= now:
                found = self._rows[trigger, key] = body, session_key, now + DELIVERED
        if found[0] != body:
            raise IdempotencyKeyReused
        return found[1]

    def claimed_at(self, trigger: str, key: str, now: int) -> int:
        with self._lock:
            found = self._rows.get((trigger, key))
        return found[2] - DELIVERED if found and found[2] > now else 0


class MemoryFirings:
    """`made` has (expression, timezone, message) by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.made: dict[str, tuple[str, str, str]] = {}

    def put(self, name: str, expression: str, timezone: str, message: str) -> None:
        with self._lock:
            self.made[checked_name(name)] = expression, timezone, message

    def remove(self, name: str) -> None:
        with self._lock:
            self.made.pop(checked_name(name), None)


class MemoryBus:
    """`told` has (detail type, detail), the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.told: list[tuple[str, dict[str, Any]]] = []

    def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        copied = json.loads(json.dumps(dict(detail)))
        with self._lock:
            self.told.append((detail_type, copied))


def memory_background(clock: Clock) -> Background:  # noqa: ARG001
    """All ports, each on a store of its own. None asks what time it is: it is told."""
    return Background(
        triggers=MemoryTriggers(),
        kept=MemoryKeptSessions(),
        runs=MemoryRuns(),
        deliveries=MemoryDeliveries(),
        firings=MemoryFirings(),
        bus=MemoryBus(),
    )
