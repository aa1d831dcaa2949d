"""When to send a wake-up, what it guards, and how late it shall come."""

import logging
import math
from collections.abc import Callable

from cueline.engine.ports import Clock, Ports, WakeUp
from cueline.errors import CuelineError, unexpected
from cueline.log.segment import Head
from cueline.log.state import State, can_begin, next_batch

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


def soon(clock: Clock) -> int:
    """By when what may begin now is ready, in ms."""
    return clock.now() + EARLY_MS


def held_for(not_before: int, clock: Clock) -> int:
    """Seconds for which what is ready then (ms) is held back still, as far as a queue can."""
    left = not_before - clock.now()
    return min(LONGEST_DELAY, math.ceil(left / 1000)) if left > EARLY_MS else 0


def come_again(ports: Ports, session: str, state: State, wake_up: WakeUp) -> bool:
    """Sends another wake-up for what is held back still, where there must be one instead of this.

    What nobody has begun with has its own, from when it was accepted, and nobody else's comes
    again for it: so they do not grow in number with all that passes it. What is tried again is
    soon, and everybody who comes between two turns sees to it. Raises Unavailable.
    """
    own = None if wake_up.in_case else wake_up.guards
    held = [
        waiting.not_before
        for waiting in state.pending
        if waiting.held(soon(ports.clock))
        and (waiting.offset + 1 == own or (waiting.begun and not state.open))
    ]
    if held:
        again = WakeUp(session, guards=wake_up.guards)
        ports.wake_ups.send(again, delay=held_for(min(held), ports.clock))
    return bool(held)


def wake_next(ports: Ports, session: str, head: Head, delay: int = 0) -> None:
    """Has begun what can begin; only sooner, as each waiting input has a wake-up too."""
    state, now = head.state, soon(ports.clock)
    if not can_begin(state, now):
        return
    if not state.open and any(i.attended for i in next_batch(state, now)):
        delay = max(delay, GRACE)
    try:
        ports.wake_ups.send(WakeUp(session, guards=head.at), delay=delay)
    except CuelineError as error:
        logger.warning("A wake-up was not sent; others are on their way", extra=unexpected(error))


def needless(state: State, guards: int | None, now: int) -> bool:
    """All that the wake-up was sent for has ended, or stands aside at `now` (ms)."""
    running = [i for turn in state.turns for i in turn.inputs if i.asks]
    ready = [i for i in state.pending if i.asks and not i.held(now)]
    return guards is not None and all(i.offset >= guards for i in (*running, *ready))
