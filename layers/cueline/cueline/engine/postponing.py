"""What failed with something that may pass and is tried again, and what nobody begins any more."""

from collections.abc import Sequence

from cueline.log.events import Event, InputsFailed
from cueline.log.state import State, Turn, offsets, overdue

FIRST_PAUSE = 5
"""Seconds until what failed is tried again; four times as long after each further time."""
LONGEST_PAUSE = 900


def again_at(turn: Turn, now: int, chance: float) -> int:
    """When what the turn could not do is tried again, in ms since 1970; 0 where it is not.

    As often as one of its inputs asks for; `chance` is 0 up to 1.
    """
    left = [i for i in turn.inputs if i.asks and i.failed + 1 < i.tries]
    if not left:
        return 0
    failed = max(i.failed for i in left)
    pause: int = min(LONGEST_PAUSE, FIRST_PAUSE * 4**failed)
    return now + round(1000 * pause * (0.75 + chance / 2))


def given_up(state: State, now: int) -> Sequence[Event]:
    """What ends those that nobody has begun with by their time."""
    late = offsets(overdue(state, now))
    why = "Nobody could begin with this by its time."
    return (InputsFailed(inputs=late, code="expired", message=why),) if late else ()
