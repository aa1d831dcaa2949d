"""How a window is filled with a log's segments, the newest first: the same in every store."""

from dataclasses import dataclass

from cueline.log.state import unsaid_in

MOST_UNSAID = 4_000
"""Bytes of segments in a row by which nobody says anything; of those before only one is taken."""


@dataclass(slots=True)
class Filling:
    """A page that is left open connects again and again: that must not push out what was said."""

    room: int
    """Bytes that are left. The newest segment is taken though there is less."""
    next: int
    """Segments that begin behind this offset are left out."""
    _unsaid: int = 0

    def takes(self, at: int, size: int, state: str) -> bool:
        """Whether there is room for the segment at `at`, after which the log has this state."""
        self.room -= size
        since = unsaid_in(state)
        if since is None or since > at:
            self._unsaid = 0
            return self.room >= 0
        self._unsaid += size
        if self._unsaid > MOST_UNSAID:
            # The first of them stays: it tells how far back the window reaches.
            self.next = since
        return self.room >= 0
