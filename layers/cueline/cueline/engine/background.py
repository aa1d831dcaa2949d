"""What starts agents in the background: triggers, the sessions that they keep, and their runs; and
the ports that store them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from cueline.engine.ports import WHOLE, Part, Place

TriggerPolicy = Literal["enqueue", "coalesce", "interrupt", "steer", "silent", "reject", "skip"]
"""What an event does to a running turn: as the policy of an input, or

reject  is refused while a turn is open
skip    is answered, and nothing comes of it, while a turn is open
"""
MOST_FAILURES = 10
"""Runs in a row that may fail before their trigger pauses itself."""
TRIES = 4
"""Turns that a run may have, while each fails with something that may pass."""


@dataclass(frozen=True, slots=True)
class BackgroundTrigger:
    """Has an agent work off events. Its secret is derived from its id, `created_at` and
    `generation`, and stored nowhere."""

    id: str
    created_at: int
    """Milliseconds since 1970, UTC, as are all times below."""
    updated_at: int
    caller: str = ""
    """The API key that made it, and pays for what it starts."""
    name: str = ""
    description: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    agent_key: str = ""
    authenticate: bool = True
    generation: int = 0
    session_duration: int | None = None
    """Milliseconds from its first event on that a session is gone on with; None is a day, 0 not
    at all."""
    schedule: str = ""
    timezone: str = ""
    text: str = ""
    """Stands for the text of every event."""
    policy: TriggerPolicy = "enqueue"
    delay: int = 0
    """Seconds that every event is held back."""
    max_age: int = 0
    """Seconds after which an event that nobody has begun with is given up; 0 is never."""
    tries: int = TRIES
    pause_after: int = MOST_FAILURES
    """Failures in a row; 0 is never."""
    failures: int = 0
    """In a row, up to now."""
    paused: str = ""
    """Why it takes no events; empty where it does."""
    last_at: int = 0
    """When it was last fired by its schedule or by hand; 0 is never."""
    next_at: int = 0
    """When its schedule fires it next; 0 is never."""
    version: int = 0
    """Counts the updates; an update names the one that it read."""
    mark: str = ""
    """Of the request that made it: tells a repeat of that from another one."""

    @property
    def place(self) -> Place:
        return self.created_at, self.id


class BackgroundTriggers(Protocol):
    """Triggers under their ids."""

    def create(self, trigger: BackgroundTrigger) -> bool:
        """False where there is one of this id already."""

    def get(self, trigger: str) -> BackgroundTrigger | None: ...

    def replace(self, trigger: BackgroundTrigger) -> bool:
        """Writes over version `trigger.version - 1`; False where that is not there."""

    def remove(self, trigger: str) -> bool:
        """False where there is none."""

    def all(self, part: Part = WHOLE) -> Iterator[BackgroundTrigger]:
        """By their places. May lag behind the writes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The session that a trigger goes on with for whoever `key` (a digest) stands for."""

    trigger: str
    key: str
    session_key: str
    """Of a session of the trigger's agent, which may not be made yet."""
    until: int


class KeptSessions(Protocol):
    """Which session goes on; each is there for a while, and then as if it had never been."""

    def claim(self, new: Kept, now: int, over: str = "") -> Kept:
        """The one that is there at `now`; else `new`, which is written.

        `over` names the session key of one that may be there no more (its session was deleted):
        that is written over too. Of many who claim at once all get the same.
        """


@dataclass(frozen=True, slots=True)
class Run:
    """An event of a trigger: where in which log it stands. What became of it, the log tells."""

    trigger: str
    id: str
    """Sorts by time."""
    session: str
    incarnation: int
    offset: int
    """Of the input that it is now; another one once it was tried anew."""
    created_at: int
    earlier: tuple[int, ...] = ()
    """The offsets that it had before."""
    version: int = 0


class Runs(Protocol):
    def put(self, run: Run) -> None:
        """Writes a new run; does nothing where its id is there already."""

    def get(self, trigger: str, run: str) -> Run | None: ...

    def replace(self, run: Run) -> bool:
        """Writes over version `run.version - 1`; False where that is not there."""

    def list(self, trigger: str, limit: int, before: str | None) -> Sequence[Run]:
        """Newest first, those whose id is below `before`."""


class Deliveries(Protocol):
    """Keys of events that were delivered before, for a day."""

    def claim(self, trigger: str, key: str, body: str, session_key: str, now: int) -> str:
        """The session key that the first delivery was given: this one, if it is the first.

        `key` and `body` are digests. Raises IdempotencyKeyReused for another body.
        """

    def claimed_at(self, trigger: str, key: str, now: int) -> int:
        """When the first delivery came, in ms since 1970; 0 where there was none."""


class Firings(Protocol):
    """Schedules of triggers: each sends `message` to the intake queue whenever its time comes."""

    def put(self, name: str, expression: str, timezone: str, message: str) -> None:
        """Makes the schedule, or makes it this one. Raises InvalidRequest, Unavailable."""

    def remove(self, name: str) -> None:
        """Does nothing where there is none."""


class Bus(Protocol):
    def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """Tells others what has happened. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Background:
    """The ports of background triggers."""

    triggers: BackgroundTriggers
    kept: KeptSessions
    runs: Runs
    deliveries: Deliveries
    firings: Firings
    bus: Bus
