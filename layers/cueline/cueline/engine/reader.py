"""Following a log: each segment once and in order, however many ways it is found."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cueline.engine.append import after
from cueline.log.events import Recorded
from cueline.log.segment import Head, Log, Segment
from cueline.log.state import State

LOOK_EVERY = 0.5
"""Seconds between looks at a log that somebody else may write: 2 request units a second."""


@dataclass(slots=True)
class Reader:
    """Stands at `head`, and tells what comes after it. Safe for use from several threads."""

    log: Log
    session: str
    head: Head
    tell: Callable[[Sequence[Recorded]], None] = lambda _: None
    lags: bool = False
    """As in `look`: of all its looks."""
    passed: list[Recorded] = field(default_factory=list)
    """All that came since this reader was made."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> State:
        return self.head.state

    def look(self, *, lags: bool = False) -> bool:
        """Goes to the end of the log; whether anything was new.

        With `lags` it may miss what has just been written, for half the price: the next one finds
        it.
        """
        moved = False
        while not self.state.deleted and (
            found := self.log.segment(
                self.session, self.head.incarnation, self.head.at, lags=lags or self.lags
            )
        ):
            self.go_past(found)
            moved = True
        return moved

    def go_past(self, segment: Segment) -> None:
        """Tells what is in it, unless that was done before."""
        with self._lock:
            if segment.at == self.head.at:
                self.head = after(self.head, segment)
                self.passed += segment.recorded()
                self.tell(segment.recorded())
