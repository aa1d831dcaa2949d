"""What failed with something that may pass and is tried again, and what nobody begins any more."""

from collections.abc import Sequence

from cueline.log.events import Event, InputsFailed, TurnPostponed
from cueline.log.state import State, Turn, Waiting, by_trace, offsets, overdue, ready

FIRST_PAUSE = 5
"""Seconds until what failed is tried again; four times as long after each further time."""
LONGEST_PAUSE = 900


def again_at(turn: Turn, now: int, chance: float) -> int:
    """When what the turn could not do is tried again, in ms since 1970; 0 where it is not.

    As often as one of its inputs asks for; `chance` is 0 up to 1.
    """
    left = [i for i in turn.inputs if _may_again(i)]
    if not left:
        return 0
    failed = max(i.failed for i in left)
    pause: int = min(LONGEST_PAUSE, FIRST_PAUSE * 4**failed)
    return now + round(1000 * pause * (0.75 + chance / 2))


def postponed(state: State, turn: Turn, until: int, code: str, message: str) -> tuple[Event, ...]:
    """What ends the turn for now: `until` then (ms) what may be tried again waits, and what else
    asked has failed."""
    later = TurnPostponed(turn=turn.id, until=until, code=code, message=message)
    spent = tuple(i for i in turn.inputs if i.asks and not _may_again(i))
    if not spent:
        return (later,)
    failed = (
        InputsFailed(inputs=ended, code=code, message=message, retryable=True, trace=trace)
        for trace, ended in by_trace(state, spent).items()
    )
    return (later, *failed, *ready(Turn(turn.id, spent)))


def _may_again(waiting: Waiting) -> bool:
    return waiting.asks and waiting.failed + 1 < waiting.tries


def given_up(state: State, now: int) -> Sequence[Event]:
    """What ends those that nobody has begun with by their time."""
    late = offsets(overdue(state, now))
    why = "Nobody could begin with this by its time."
    return (InputsFailed(inputs=late, code="expired", message=why),) if late else ()
