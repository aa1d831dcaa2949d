"""How full the model's context is, and what a summary would free."""

from collections.abc import Sequence
from dataclasses import dataclass

from cueline.engine.agent import Compaction
from cueline.engine.compaction import Cut, cut, failed_lately
from cueline.engine.prompt import context_tokens, tokens_in
from cueline.log.events import Compacted, Recorded

BYTES_A_TOKEN = 4
"""Of stored conversation, about: what a window of bytes holds in tokens."""
ENOUGH = 0.5
"""Of the threshold: a compaction shall bring the context below that."""
WORTH = 0.1
"""Of the context: what a compaction shall free at least."""


def left_out(events: Sequence[Recorded], needed: int) -> bool:
    """Whether the window lacks what no summary stands for, and is not kept beside one.

    `needed` is as in Room.
    """
    summed = [r.event.up_to + 1 for r in events if isinstance(r.event, Compacted)]
    return events[0].offset > (summed[-1] if summed else needed)


@dataclass(frozen=True, slots=True)
class Room:
    """Of one turn, at one step."""

    compaction: Compaction
    tokens: int
    """What the context holds, as far as is known."""
    events: Sequence[Recorded]
    """The turn's window, and what has come since."""
    needed: int
    """The offset from which on events are needed that no summary stands for."""
    overfull: bool
    """It is more than the window holds, or than the model takes, as that has said itself."""

    def wanted(self) -> bool:
        """Whether the agent's oldest turns may be summed up, and that has not just failed."""
        return self.compaction.enabled and not failed_lately(self.events)

    def full(self) -> bool:
        """Whether something is to be summed up; of what was left out that shows once it is read."""
        if left_out(self.events, self.needed):
            return True
        return (self.overfull or self._used() >= self._threshold) and self.cut() is not None

    def cut(self, most: int | None = None) -> Cut | None:
        """What is to be summed up, where that makes room for more than the next turn: each summary
        costs a call. With a full context, even the newest turns. `most` is as in `cut`."""
        keep = self.compaction.keep_recent_inputs
        wishes = (keep, *(n for n in (1, 0) if n < keep))
        found = (one for n in wishes if (one := cut(self.events, n, most=most)))
        return next(filter(self._makes_room, found), None)

    @property
    def _threshold(self) -> float:
        return self.tokens * self.compaction.threshold_percent / 100

    def _used(self) -> int:
        return context_tokens(self.events) or 0

    def _makes_room(self, found: Cut) -> bool:
        if self.overfull:
            return True
        freed = tokens_in(found.past)
        return freed >= WORTH * self.tokens and self._used() - freed <= ENOUGH * self._threshold
