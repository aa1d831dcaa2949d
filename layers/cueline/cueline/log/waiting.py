"""Inputs that have not ended, and the turns that have taken them, as the state remembers them."""

from collections.abc import Iterable
from dataclasses import dataclass

from cueline.log.inputs import Input, InputKind, Policy


@dataclass(frozen=True, slots=True)
class Waiting:
    """An input that has not ended, as the state remembers it."""

    offset: int
    policy: Policy
    digest: str = ""
    call: str = ""
    attended: bool = False
    kind: InputKind = "message"
    trace: str = ""
    begun: bool = False
    """A turn had taken it, and came to no end."""
    told: bool = False
    """That such a turn had begun was told under its trace."""
    tries: int = 1
    """As in Input, as are the next two."""
    not_before: int = 0
    not_after: int = 0
    failed: int = 0
    """Turns of it that failed with something that may pass."""
    during: str = ""
    """Of an aside: the turn that began while it waited, if one has."""

    @property
    def asks(self) -> bool:
        return self.policy != "silent"

    def held(self, now: int) -> bool:
        """It stands aside still; `now` is in ms."""
        return self.asks and self.not_before > now

    @classmethod
    def of(cls, offset: int, event: Input) -> "Waiting":
        return cls(
            offset,
            event.policy,
            event.digest,
            event.call,
            event.attended,
            event.kind,
            event.trace,
            tries=event.tries,
            not_before=event.not_before,
            not_after=event.not_after,
        )

    @property
    def triggers(self) -> bool:
        """It has the agent speak by itself."""
        return self.kind in ("plain", "guided", "own")


def trace_of(inputs: Iterable[Waiting]) -> str:
    """The trace of the turn that takes these: that of the newest input that has one."""
    return next((i.trace for i in reversed(tuple(inputs)) if i.trace), "")


@dataclass(frozen=True, slots=True)
class Turn:
    id: str
    inputs: tuple[Waiting, ...]
    settings: int | None = None
    """As the state's when it began."""

    @property
    def trace(self) -> str:
        """Under which it is told status by status; empty where nobody asks for that."""
        return trace_of(self.inputs)
