"""Frames reach a connection one after the other, in a time that others can wait; or it is left."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cueline.doors.client_commands import frames
from cueline.doors.client_commands.leaving import TRIES, leave
from cueline.doors.client_commands.realtime import Realtime
from cueline.engine.listeners import LONGEST_CONNECTION, Connection
from cueline.errors import Unavailable, unexpected

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that one connection may take for what is told to it at once: all others of the batch wait
for it, and it can come back for the rest."""
YOUNG = 3_000
"""Milliseconds: the gateway may still be about to open what has not taken its first frame. The
next batch waits meanwhile."""
PAUSE, LONGEST_PAUSE = 0.3, 2.0
"""Seconds before a frame is sent again."""
TRIES_IF_BUSY = 2
NOTICE = 600
"""Seconds before the gateway ends a connection from which on that is said."""

Reached = Literal["told", "left", "not_told"]
"""What became of frames for a connection.

told      it has taken them
left      it is over: its client comes back, and asks for the rest
not_told  the time was up for all, or what was to be noted could not be: they must come again
"""


@dataclass(slots=True)
class Line:
    """To one connection, while it is told something; used by one thread at a time."""

    realtime: Realtime
    connection: Connection
    deadline: float
    """On the monotonic clock: from then on nothing is sent to anybody."""
    until: float | None = None
    """Its own; counts from its first frame on."""

    def send(self, told: Sequence[str]) -> Reached:
        try:
            for frame in told:
                if (reached := self._send(frame)) != "told":
                    return reached
        except Unavailable:
            return "not_told"
        except Exception as error:
            logger.error("A connection was not told", extra=unexpected(error))  # noqa: TRY400
            return self._leave()
        return "told"

    def warn(self) -> Reached:
        """Says that the gateway ends it soon, where it does."""
        closes = self.connection.opened_at + LONGEST_CONNECTION * 1000
        soon = self.realtime.ports.clock.now() >= closes - NOTICE * 1000
        return self.send([frames.session_closing(closes)] if soon else [])

    def end(self, told: Sequence[str]) -> Reached:
        """With these as its last words, whether it takes them or not."""
        reached = self.send(told)
        return self._leave() if reached == "told" else reached

    def _send(self, frame: str) -> Reached:
        clock, gateway = self.realtime.ports.clock, self.connection.gateway
        pause, tries = PAUSE, 1
        while (now := clock.monotonic()) <= self.deadline:
            if self.until is not None and now > self.until:
                why = frames.session_closing(clock.now(), "too_slow")
                self.realtime.sockets.send(gateway, why)
                return self._leave()
            outcome = self.realtime.sockets.send(gateway, frame)
            if outcome == "sent" or not self._is_young():
                self.until = now + PATIENCE if self.until is None else self.until
            if outcome == "sent":
                return "told"
            if outcome == "gone":
                if not self._is_young():
                    return self._leave()
                if not self._is_there():
                    return "left"
            elif tries >= TRIES_IF_BUSY:
                return self._leave()
            else:
                tries += 1
            clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return "not_told"

    def _is_young(self) -> bool:
        """It may be opened yet. Once it has taken a frame it was open."""
        first = self.until is None and not self.connection.told
        return first and self.realtime.ports.clock.now() < self.connection.opened_at + YOUNG

    def _is_there(self) -> bool:
        """Who has not come in after all has taken its row along."""
        now = self.realtime.ports.clock.now()
        return self.realtime.connections.get(self.connection.id, now) is not None

    def _leave(self) -> Reached:
        # One that could not be closed before is come upon by each batch: none waits for it long.
        tries = 1 if self.connection.closing else TRIES
        return "left" if leave(self.realtime, self.connection, tries) else "not_told"
