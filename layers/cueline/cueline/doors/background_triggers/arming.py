"""Having triggers fired when their time comes: what is stored is armed after it."""

import json
from collections.abc import Callable
from dataclasses import fields, replace

from cueline.doors.background_triggers.schedules import planned, schedule_of
from cueline.doors.creation import RETRY_MS
from cueline.doors.idempotency import digest
from cueline.engine.background import Background, BackgroundTrigger
from cueline.errors import InvalidRequest, Unavailable

TRIES = 10
"""How often what others change at the same time is armed again."""


def arm(background: Background, trigger: BackgroundTrigger, now: int) -> BackgroundTrigger:
    """Has the trigger fired when its time comes, or not any more; gives it with its `next_at`.

    Can be repeated, and comes to the same. Raises InvalidRequest, Unavailable.
    """
    after = planned(trigger, now)
    name = firing_name(trigger.id)
    if after.next_at:
        schedule = schedule_of(trigger)
        sent = {"trigger": trigger.id, "scheduled": True, "at": "<aws.scheduler.scheduled-time>"}
        background.firings.put(name, schedule.expression, schedule.timezone, json.dumps(sent))
    else:
        background.firings.remove(name)
    return after


def settle(
    background: Background, trigger: str, now: int, undo: Callable[[], object] | None = None
) -> None:
    """Arms what is stored under this id, for whoever has just written or removed it.

    What others write meanwhile is looked at again: whoever arms last arms what was written last.
    Where no schedule can be made of it, `undo` is asked to take back what was written, and what
    stands then is armed. Raises InvalidRequest, also where that was done; Unavailable.
    """
    try:
        _settle(background, trigger, now)
    except InvalidRequest:
        if undo:
            undo()
            _settle(background, trigger, now)
        raise


def remove_new(background: Background, new: BackgroundTrigger, now: int) -> None:
    """Takes back what was just made, unless somebody has changed it since."""
    fresh = new.version == 0 and now - new.created_at < RETRY_MS
    if fresh and background.triggers.get(new.id) == new:
        background.triggers.remove(new.id)


def put_back(background: Background, old: BackgroundTrigger, new: BackgroundTrigger) -> None:
    """What has made `new` of `old` is undone; what others have changed since stays.

    Raises Unavailable.
    """
    for _ in range(TRIES):
        found = background.triggers.get(new.id)
        if not found or new == old:
            return
        mine = [f.name for f in fields(new) if getattr(found, f.name) == getattr(new, f.name)]
        before = replace(found, **{name: getattr(old, name) for name in mine})
        if background.triggers.replace(replace(before, version=found.version + 1)):
            return
    raise Unavailable("Too many changes to this trigger at once; try again.")


def firing_name(trigger: str) -> str:
    """Ids are longer than the names of schedules may be."""
    return f"trigger-{digest(trigger)}"


def _settle(background: Background, trigger: str, now: int) -> None:
    for _ in range(TRIES):
        stored = background.triggers.get(trigger)
        if stored:
            arm(background, stored, now)
        else:
            background.firings.remove(firing_name(trigger))
        again = background.triggers.get(trigger)
        if _written(again) == _written(stored):
            return
    raise Unavailable("Too many changes to this schedule at once; try again.")


def _written(trigger: BackgroundTrigger | None) -> tuple[int, int] | None:
    return (trigger.created_at, trigger.version) if trigger else None
