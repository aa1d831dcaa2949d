"""When to send a wake-up, and how late it shall come."""

from collections.abc import Callable

from cueline.engine.ports import Ports, WakeUp
from cueline.log.state import State, can_begin, next_batch

GRACE = 1
"""Seconds that whoever is better placed has before a worker comes: the host of an interrupted turn
to tell what it had said, the caller of a waiting input to begin its turn."""


def arm(ports: Ports, session: str, lease: int) -> Callable[[], None]:
    """Sends a turn's own wake-up, before it begins; then call what this returns.

    It is the turn's dead man's switch: whatever begins has a wake-up on its way already.
    """
    armed_at, wake_up = ports.clock.monotonic(), WakeUp(session, in_case=True)
    ports.wake_ups.send(wake_up, delay=lease)

    def began() -> None:
        if ports.clock.monotonic() - armed_at >= lease:
            # It may have come, and found the session idle, before the begin was there.
            ports.wake_ups.send(wake_up, delay=lease)

    return began


def wake_next(ports: Ports, session: str, state: State) -> None:
    """Has begun what can begin in `state`; only sooner, as each waiting input has a wake-up too."""
    if can_begin(state):
        attended = not state.open and any(i.attended for i in next_batch(state))
        ports.wake_ups.send(WakeUp(session), delay=GRACE if attended else 0)
