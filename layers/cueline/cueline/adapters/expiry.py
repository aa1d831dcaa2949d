"""The collector's hint: when a store may drop a session's META by itself; and when keys expire.

True expiry is decided by readers. The hint is always later, and moves so rarely that it costs
nothing: made two `tti` and an hour ahead, it is moved when less than a `tti` and half an hour
is left of that. So an input that comes just before the session expires finds it half an hour
away at least.
"""

from cueline.log.segment import Session

_BUILDING = 3_600
"""Seconds that a session may take to be built; whoever builds it is long dead then."""
_KEYED = 86_400
"""Seconds that an idempotency key is kept, at least."""


def hint(tti_minutes: int, now: int) -> int:
    """In seconds since 1970; 0 is never. `now` is in ms."""
    return now // 1000 + (2 * tti_minutes + 60) * 60 if tti_minutes else 0


def hint_of(session: Session, now: int) -> int:
    """The same for a session that is being written now; one that is being built may not stay."""
    if session.building:
        return now // 1000 + _BUILDING
    return hint(session.tti_minutes, now)


def near(tti_minutes: int, now: int) -> int:
    """A hint below this, in seconds, is to be moved."""
    return now // 1000 + (tti_minutes + 30) * 60


def keyed_until(now: int) -> int:
    """In seconds since 1970, rounded up: from then on the key is free again. `now` is in ms."""
    return now // 1000 + 1 + _KEYED


def due(session: Session, now: int) -> bool:
    return session.tti_minutes > 0 and session.collect_at < near(session.tti_minutes, now)
