"""Agents' schedules: the use cases. Each is a background trigger that the other door does not show.

Each execution has a session of its own. What is written is armed after it: where that does not come
about, the same request sent again does it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cueline.doors.access import payer_of
from cueline.doors.agent_events import lists
from cueline.doors.agent_events.keys import new_key
from cueline.doors.agent_events.schedule_wire import (
    CreateSchedule,
    UpdateSchedule,
    execution,
    kept,
    to_wire,
    with_fields,
)
from cueline.doors.background_triggers.schedules import planned, settle
from cueline.doors.creation import Creation
from cueline.doors.strict import parse
from cueline.engine.background import Background, BackgroundTrigger, Run
from cueline.engine.ports import Page, Ports
from cueline.engine.runs import OVER, Progress, progress
from cueline.errors import Conflict, InvalidPageKey, NotFound, Unavailable

TRIES = 10
"""How often a change that others keep getting in front of is tried again."""
RESCHEDULING = {"schedule", "enabled"}
_PLACE = re.compile(r"(\d{1,15})\.([0-9a-zA-Z_-]{1,50})", re.ASCII)

Made = Callable[[], Background]
"""Made when it is first asked for: most calls of the door need none."""


class ScheduleNotFound(NotFound):
    noun = "schedule"


def create(ports: Ports, made: Made, agent: str, asked: Creation) -> dict[str, Any]:
    """A repeat gives the schedule that it made before, as it is now.

    Raises AgentNotFound, Conflict, IdempotencyKeyReused, InvalidRequest, NotBuilt, Unavailable.
    """
    given = parse(CreateSchedule, asked.body)
    ports.agents.get(agent)
    fixed = given.key or asked.own_key("sch")
    for tries in range(TRIES):
        key, now = fixed or new_key("sch", given.name, ports.clock, tries), ports.clock.now()
        blank = BackgroundTrigger(
            id=_id(agent, key),
            created_at=now,
            updated_at=now,
            caller=payer_of(asked.caller),
            agent_key=agent,
            session_duration=0,
            mark=asked.mark,
        )
        new = planned(with_fields(blank, given), now)
        if not made().triggers.create(new):
            found = made().triggers.get(new.id)
            if not fixed or not found:
                continue
            if not asked.made(found.mark, found.version, now - found.created_at):
                raise Conflict(f"There is a schedule {key!r} already.")
            new = found
        settle(made(), new.id, now)
        return to_wire(new, key)
    raise Unavailable("No free key was found; give one.")


def get(ports: Ports, made: Made, agent: str, key: str) -> dict[str, Any]:
    return to_wire(_found(ports, made, agent, key), key)


def page(ports: Ports, made: Made, agent: str, query: lists.ListQuery) -> dict[str, Any]:
    """Oldest first. May lag behind what was just made."""
    ports.agents.get(agent)
    after, own = _place_in(query.page_key), _id(agent, "")
    all_of_them = [
        (trigger.created_at, trigger.id.removeprefix(own), trigger)
        for trigger in made().triggers.all()
        if trigger.id.startswith(own)
    ]
    left = [one for one in sorted(all_of_them, key=lambda o: o[:2]) if one[:2] > after]

    def fetch(limit: int) -> Page[tuple[int, str, BackgroundTrigger]]:
        some = left[:limit]
        more = len(left) > limit
        return Page(some, f"{some[-1][0]}.{some[-1][1]}" if more else None)

    return lists.page_answer("schedules", fetch, lambda o: to_wire(o[2], o[1]), query.limit)


def update(
    ports: Ports, made: Made, agent: str, key: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Omitted fields stay, null is the default. Raises ScheduleNotFound, InvalidRequest."""
    given = parse(UpdateSchedule, body)
    reschedules = bool(given.model_fields_set & RESCHEDULING)
    for _ in range(TRIES):
        now, old = ports.clock.now(), _found(ports, made, agent, key)
        new = replace(with_fields(old, given), updated_at=now, version=old.version + 1)
        if reschedules:
            new = planned(new, now)
        if made().triggers.replace(new):
            if reschedules:
                settle(made(), new.id, now)
            return to_wire(new, key)
    raise Unavailable("Too many changes to this schedule at once; try again.")


def delete(ports: Ports, made: Made, agent: str, key: str) -> None:
    """The sessions of its executions stay. Raises AgentNotFound, ScheduleNotFound."""
    ports.agents.get(agent)
    there = made().triggers.remove(_id(agent, key))
    # Also where it is not there: whoever removed it may have come no further.
    settle(made(), _id(agent, key), ports.clock.now())
    if not there:
        raise ScheduleNotFound(key)


def executions(
    ports: Ports, made: Made, agent: str, key: str, query: lists.ListQuery
) -> dict[str, Any]:
    """Those that are over, newest first; as many as the schedule keeps."""
    trigger = _found(ports, made, agent, key)
    if query.page_key and not re.fullmatch(r"run_[0-9a-f]{1,60}", query.page_key):
        raise InvalidPageKey
    newest = made().runs.list(trigger.id, kept(trigger), None)
    # Those of an older schedule with the same key are not its own.
    own = [run for run in newest if run.created_at >= trigger.created_at]
    left = [run for run in own if not query.page_key or run.id < query.page_key]
    return lists.page_answer(
        "executions",
        lambda limit: _ended(ports, left, limit),
        lambda one: execution(one[0], key, one[1]),
        query.limit,
    )


def _ended(ports: Ports, left: Sequence[Run], limit: int) -> Page[tuple[Run, Progress]]:
    """Of one whose session is gone nobody knows how it ended."""
    ended: list[tuple[Run, Progress]] = []
    for at, run in enumerate(left, 1):
        told = progress(ports, run.session, run.incarnation, run.offset)
        if told and told.status in OVER:
            ended.append((run, told))
        if len(ended) == limit:
            return Page(ended, run.id if at < len(left) else None)
    return Page(ended, None)


def _found(ports: Ports, made: Made, agent: str, key: str) -> BackgroundTrigger:
    """Raises AgentNotFound, ScheduleNotFound."""
    ports.agents.get(agent)
    if not (found := made().triggers.get(_id(agent, key))):
        raise ScheduleNotFound(key)
    return found


def _id(agent: str, key: str) -> str:
    """With dots, which the id of no other trigger has."""
    return f"schedule.{agent}.{key}"


def _place_in(page_key: str | None) -> tuple[int, str]:
    if page_key is None:
        return -1, ""
    if not (found := _PLACE.fullmatch(page_key)):
        raise InvalidPageKey
    return int(found[1]), found[2]
