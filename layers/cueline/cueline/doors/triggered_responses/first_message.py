"""Waiting, for a while, for what the agent says to a trigger."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from cueline.engine.accept import Accepted, Repeated
from cueline.engine.ports import Ports
from cueline.engine.reader import Reader
from cueline.engine.window import ends, read_pages
from cueline.errors import Unavailable, unexpected
from cueline.log.events import Answered, AsideBegan, InputsTaken, Recorded, Spoke, TurnBegan
from cueline.log.segment import Session

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
LOOK_EVERY = 0.25
"""Seconds between two looks, once it takes longer."""


@dataclass(slots=True)
class _Awaited:
    """The first words of the turn that took the input at `offset`."""

    offset: int
    message: Recorded | None = None
    over: bool = False
    """They are there, or will not come."""
    _turns: set[str] = field(default_factory=set)

    def hear(self, recorded: Sequence[Recorded]) -> None:
        for one in recorded:
            if self.over:
                return
            event = one.event
            if isinstance(event, TurnBegan | AsideBegan | InputsTaken):
                if self.offset in event.inputs:
                    self._turns.add(event.turn)
            elif isinstance(event, Spoke | Answered) and event.turn in self._turns and event.text:
                self.message, self.over = one, True
            self.over = self.over or ends(one, self.offset)


def first_message(
    ports: Ports, session: Session, accepted: Accepted | Repeated, until: float
) -> Recorded | None:
    """None where the turn ends without one, or it takes longer than `until`, in seconds on the
    monotonic clock. Never fails: the input is in the log, and must not be sent again."""
    awaited, head = _Awaited(accepted.offset), accepted.head
    try:
        if isinstance(accepted, Repeated):
            pages = read_pages(ports.log, session.id, session.incarnation, accepted.offset, head.at)
            for page in pages:
                awaited.hear(page)
        reader, pause = Reader(ports.log, session.id, head, awaited.hear, lags=True), FIRST_PAUSE
        while not (awaited.over or reader.state.deleted or ports.clock.monotonic() >= until):
            if not reader.look():
                ports.clock.sleep(pause)
                pause = min(1.5 * pause, LOOK_EVERY)
    except Unavailable as error:
        logger.warning("A trigger's message was not waited for", extra=unexpected(error))
    return awaited.message
