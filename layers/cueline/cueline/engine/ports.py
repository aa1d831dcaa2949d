"""What the engine stands on. The memory and the DynamoDB adapters pass one suite of tests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cueline.engine.agent import Agent
from cueline.engine.listeners import NOBODY, Listeners
from cueline.engine.tools import NO_TOOLS, Toolbox
from cueline.log.segment import Log, Session

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, and the key that asks for the next part; None after the last."""

    items: Sequence[T]
    next: str | None = None


class Agents(Protocol):
    """Agents under their keys. Lists are in the order of making, oldest first."""

    def create(self, agent: Agent) -> None:
        """Raises AgentExists."""

    def get(self, key: str) -> Agent:
        """Raises AgentNotFound."""

    def replace(self, agent: Agent) -> bool:
        """Writes `agent` over version `agent.version - 1`; False where that is not there."""

    def delete(self, key: str) -> None:
        """Raises AgentNotFound."""

    def list(self, limit: int, page_key: str | None) -> Page[Agent]:
        """Raises InvalidPageKey. May lag behind the writes."""


Place = tuple[int, str]
"""Where something stands in a list of all: its time of making (ms), and what breaks ties."""


@dataclass(frozen=True, slots=True)
class Part:
    """What somebody wants of a list of all. It is read as far as its reader goes on."""

    after: Place | None = None
    newest_first: bool = False
    ahead: int = 0
    """How many will be looked at, as far as that is known; 0 is all."""

    def beyond(self, place: Place) -> bool:
        """Whether that is behind where the part begins."""
        if self.after is None:
            return True
        return place < self.after if self.newest_first else place > self.after


WHOLE = Part()


class Sessions(Protocol):
    """META items of sessions; what a session is worth, `Log.tail` tells."""

    def create(self, session: Session, over: int) -> bool:
        """Writes META where there is none, or only one of an incarnation up to `over`.

        Checks in the same transaction that the agent exists: raises AgentNotFound.
        False where somebody else made the session first.
        """

    def replace(self, session: Session) -> bool:
        """Writes over version `session.version - 1` of the same incarnation; False if not there."""

    def touch(self, session: Session, now: int) -> None:
        """Moves the collector's hint forward where it comes near; `now` in ms. Never fails."""

    def remove(self, session: str, incarnation: int) -> None:
        """Removes META if it has this incarnation, else does nothing."""

    def list(self, agent_key: str, limit: int, page_key: str | None) -> Page[Session]:
        """Stored METAs, oldest first, not yet judged. Raises InvalidPageKey. May lag."""

    def all(self, part: Part = WHOLE) -> Iterator[Session]:
        """Stored METAs, also of agents that are deleted, by their places, not yet judged.

        May lag.
        """


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who talks with agents."""

    id: str
    name: str
    created_at: int
    """Milliseconds since 1970, UTC."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    mark: str = ""
    """Of the request that made it: tells a repeat of that from another one."""
    version: int = 0
    """Counts the updates; an update names the one that it read."""

    @property
    def place(self) -> Place:
        return self.created_at, self.id


class Customers(Protocol):
    """Customers under their ids. Lists are in the order of making, oldest first."""

    def create(self, customer: Customer) -> bool:
        """False where there is one of this id already."""

    def get(self, customer: str) -> Customer | None: ...

    def replace(self, customer: Customer) -> bool:
        """Writes over version `customer.version - 1`; False where that is not there."""

    def remove(self, customer: str) -> bool:
        """False where there is none."""

    def all(self, part: Part = WHOLE) -> Iterator[Customer]:
        """By their places. May lag behind the writes."""


class Beats(Protocol):
    """Heartbeat counters of turns."""

    def beat(self, session: str, incarnation: int, turn: str) -> None: ...

    def look(self, session: str, incarnation: int, turns: Sequence[str]) -> dict[str, int]:
        """The counter of each turn; 0 before its first beat."""


class Sweeper(Protocol):
    """Removes what deleted incarnations left, in two rounds a process lifetime apart."""

    def blank(self, session: str, incarnation: int) -> None:
        """Empties every segment up to this incarnation but the newest, keeping the keys."""

    def clear(self, session: str, incarnation: int) -> None:
        """Removes segments, beats and keys up to this incarnation, but the newest segment."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """«Look at this session», as a message."""

    session: str
    look: Mapping[str, int] = field(default_factory=dict)
    """What the sender saw: running turn -> beat."""
    sweep: tuple[int, int] | None = None
    """(incarnation, round): instead of a look, blank in round 1 or clear in round 2."""
    waited: tuple[int, int] | None = None
    """(incarnation, offset): what stood below it had waited in vain already; see `failures`."""
    guards: int | None = None
    """An offset: once every input below it has ended, no wake-up has to take this one's place."""
    in_case: bool = False
    """Sent for the case that somebody dies: it hardly ever finds anything to do."""
    triggers: tuple[int, int] | None = None
    """(incarnation, offset): of a scheduled trigger whose time has come, or of an answer that is
    to be followed up."""


class WakeUps(Protocol):
    def send(self, wake_up: WakeUp, delay: int = 0) -> None:
        """Delivers it at least once, after `delay` seconds (0 to 900)."""


class Schedules(Protocol):
    """Wake-ups at a time that is farther away than a queue can hold them back."""

    def at(self, name: str, when: int, wake_up: WakeUp) -> None:
        """Sends it at `when` (ms since 1970, at most a year away) or up to a minute later, once for
        each `name` (up to 64 letters, digits, `-`, `_`, `.`).

        Does nothing where the name is taken. Raises Unavailable.
        """


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of a key, only as its SHA-256 in hex."""

    sha256: str
    expires_at: int = 0
    """Milliseconds since 1970, UTC; 0 is never."""

    def live(self, now: int) -> bool:
        return not self.expires_at or now < self.expires_at


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. It has two secrets while its holders change from one to the next."""

    id: str
    name: str
    secrets: tuple[Secret, ...]
    """At most two, newest first."""
    created_at: int
    """Milliseconds since 1970, UTC."""


class Keys(Protocol):
    """API keys. A key that is revoked is removed."""

    def get(self, key_id: str, *, fresh: bool = False) -> Key | None:
        """With `fresh` as it is now, else it may be as it was up to a minute ago."""

    def put(self, key: Key) -> None:
        """Writes a new key; does nothing where its id is there already."""

    def replace(self, old: Key, new: Key) -> bool:
        """Writes `new` where the secrets are still those of `old`; else False."""

    def remove(self, key_id: str) -> None:
        """Does nothing where there is no such key."""

    def list(self, limit: int, page_key: str | None) -> Page[Key]:
        """Oldest first. Raises InvalidPageKey. May lag behind the writes."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What model calls take. `cost` is in nanodollars: 1e-9 US dollars."""

    tokens: int = 0
    cost: int = 0


class Spending(Protocol):
    """What each account has used on each day: counters that are added to, never set."""

    def reserve(
        self, account: str, day: str, amount: Spend, below: tuple[int | None, int | None]
    ) -> bool:
        """Adds `amount` where tokens and cost are both still `below` these; else False.

        So an account passes its cap by what was reserved last, at most. Where an answer is lost
        the amount may be added twice; it is never added less than once.
        """

    def settle(self, account: str, day: str, difference: Spend) -> None:
        """Adds what was used less what was reserved for it; may be negative."""

    def spent(self, account: str, day: str) -> Spend: ...


class Clock(Protocol):
    """Time and chance, so that tests can rule both."""

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float) -> None: ...

    def every(self, seconds: float, do: Callable[[], None]) -> AbstractContextManager[None]:
        """Does it again and again, beside what runs inside the context."""

    def random(self) -> float:
        """0 up to 1."""

    def id(self) -> str:
        """A new unguessable name: lower-case letters and digits."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the engine and the doors stand on, but the model."""

    log: Log
    agents: Agents
    sessions: Sessions
    beats: Beats
    sweeper: Sweeper
    wake_ups: WakeUps
    keys: Keys
    spending: Spending
    customers: Customers
    schedules: Schedules
    clock: Clock
    toolbox: Toolbox = NO_TOOLS
    listeners: Listeners = NOBODY
