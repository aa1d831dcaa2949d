"""Inputs that their clients probably send again by themselves."""

from dataclasses import dataclass

OVERRUN_MS = 60_000
FAILURE_MS = 10_000
MAX_REPEATABLE = 16
"""Of which a state remembers the newest, and those for so many events."""
REPEATABLE_EVENTS = 100


@dataclass(frozen=True, slots=True)
class Repeatable:
    """An input that its client probably sends again by itself: it was told of no answer, or of a
    failure. Published clients do that. For a while after its end a repeat is told the same."""

    offset: int
    digest: str
    ended: int | None = None
    """The offset of the event that ended it."""
    failed: bool = False
    """Its caller was told so; else it had stopped waiting."""

    def answers(self, age: int, retries: bool) -> bool:
        """Whether it still does, `age` ms after its end.

        `retries` says that the client repeats failures by itself; else a person tries again.
        """
        return age < (FAILURE_MS if self.failed else OVERRUN_MS) and (retries or not self.failed)

    def long_ago(self, offset: int) -> bool:
        """Whether so much has happened since, up to `offset`, that nobody asks any more."""
        return self.ended is not None and offset - self.ended > REPEATABLE_EVENTS
