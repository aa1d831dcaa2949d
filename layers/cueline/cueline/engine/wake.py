"""When to send a wake-up, what it guards, and how late it shall come."""

import logging
import math
from collections.abc import Callable

from cueline.engine.ports import Ports, WakeUp
from cueline.errors import CuelineError, unexpected
from cueline.log.segment import Head
from cueline.log.state import State, can_begin, held_until, next_batch

logger = logging.getLogger(__name__)

LONGEST_DELAY = 900
"""Seconds that a queue holds a message back; what is farther away is a schedule's."""
EARLY_MS = 500
"""By which what is held back may begin early."""
GRACE = 1
"""Seconds that whoever is better placed has before a worker comes: the host of an interrupted turn
to tell what it had said, the caller of a waiting input to begin its turn."""


def arm(ports: Ports, session: str, guards: int, lease: int) -> Callable[[int], None]:
    """Sends a turn's own wake-up, before it begins; then tell what this returns the turn's input.

    It is the turn's dead man's switch: whatever begins has a wake-up on its way already. `guards`
    is an offset above the inputs that the turn will take.
    """
    armed_at = ports.clock.monotonic()
    ports.wake_ups.send(WakeUp(session, guards=guards, in_case=True), delay=lease)

    def began(offset: int) -> None:
        # The first may have come, and found the session idle, before the begin was there.
        late = ports.clock.monotonic() - armed_at >= lease
        if late or offset >= guards:
            again = WakeUp(session, guards=max(guards, offset + 1), in_case=True)
            ports.wake_ups.send(again, delay=lease)

    return began


def held_for(state: State, now: int) -> int:
    """Seconds for which what comes next is held back still, as far as a queue can; `now` is in ms.

    Who finds it held back then sends another wake-up.
    """
    left = held_until(state) - now
    return min(LONGEST_DELAY, math.ceil(left / 1000)) if left > EARLY_MS else 0


def wake_next(ports: Ports, session: str, head: Head, delay: int = 0) -> None:
    """Has begun what can begin; only sooner, as each waiting input has a wake-up too."""
    if not can_begin(head.state):
        return
    delay = max(delay, held_for(head.state, ports.clock.now()))
    if not head.state.open and any(i.attended for i in next_batch(head.state)):
        delay = max(delay, GRACE)
    try:
        ports.wake_ups.send(WakeUp(session, guards=head.at), delay=delay)
    except CuelineError as error:
        logger.warning("A wake-up was not sent; others are on their way", extra=unexpected(error))


def needless(state: State, guards: int | None) -> bool:
    """All that the wake-up was sent for has ended."""
    return guards is not None and all(i.offset >= guards for i in state.unfinished if i.asks)
