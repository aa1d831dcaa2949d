"""Agents' schedules: the use cases. Each is a background trigger that the other door does not show.

Each execution has a session of its own. What is written is armed after it: where that does not come
about, the same request sent again does it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from cueline.doors.background_triggers.arming import put_back, remove_new, settle
from cueline.doors.background_triggers.schedules import planned
from cueline.doors.creation import Creation
from cueline.doors.shared import key_in
from cueline.doors.strict import parse
from cueline.engine.background import Background, BackgroundTrigger, Run
from cueline.engine.ports import Page, Ports
from cueline.engine.runs import OVER, Progress, progress
from cueline.errors import Conflict, InvalidPageKey, NotFound, Unavailable

TRIES = 10
"""How often a change that others keep getting in front of is tried again."""
RESCHEDULING = {"schedule", "enabled"}
_RUN = re.compile(r"run_[0-9a-f]{1,60}")
_PLACE = re.compile(r"(\d{1,15})\.([0-9a-zA-Z_-]{1,50})", re.ASCII)


class ScheduleNotFound(NotFound):
    noun = "schedule"


@dataclass(frozen=True, slots=True)
class Schedules:
    """Those of one agent. `made` gives the ports of background triggers, which most calls of the
    door do not need. Keys are as they stand in the path."""

    ports: Ports
    made: Callable[[], Background]
    agent: str

    def create(self, asked: Creation) -> dict[str, Any]:
        """A repeat gives the schedule that it made before, as it is now.

        Raises AgentNotFound, Conflict, IdempotencyKeyReused, InvalidRequest, NotBuilt, Unavailable.
        """
        given = parse(CreateSchedule, asked.body)
        background, clock = self._background(), self.ports.clock
        fixed = given.key or asked.own_key("sch")
        for tries in range(TRIES):
            key, now = fixed or new_key("sch", given.name, clock, tries), clock.now()
            blank = BackgroundTrigger(
                id=self._id(key),
                created_at=now,
                updated_at=now,
                caller=payer_of(asked.caller),
                agent_key=self.agent,
                session_duration=0,
                mark=asked.mark,
            )
            new = planned(with_fields(blank, given), now)
            if not background.triggers.create(new):
                found = background.triggers.get(new.id)
                if not (fixed and found):
                    continue
                if not asked.made(found.mark, found.version, now - found.created_at):
                    raise Conflict(f"There is a schedule {key!r} already.")
                new = found
            settle(background, new.id, now, partial(remove_new, background, new, now))
            return to_wire(new, key)
        raise Unavailable("No free key was found; give one.")

    def get(self, path: str) -> dict[str, Any]:
        key, found = self._found(self._background(), path)
        return to_wire(found, key)

    def page(self, query: lists.ListQuery) -> dict[str, Any]:
        """Oldest first. May lag behind what was just made."""
        background, after, own = self._background(), _place_in(query.page_key), self._id("")
        places = (
            ((trigger.created_at, trigger.id.removeprefix(own)), trigger)
            for trigger in background.triggers.all()
            if trigger.id.startswith(own)
        )
        left = sorted((one for one in places if one[0] > after), key=lambda one: one[0])

        def fetch(limit: int) -> Page[tuple[tuple[int, str], BackgroundTrigger]]:
            more = len(left) > limit
            return Page(left[:limit], "{}.{}".format(*left[limit - 1][0]) if more else None)

        return lists.page_answer(
            "schedules", fetch, lambda one: to_wire(one[1], one[0][1]), query.limit
        )

    def update(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Omitted fields stay, null is the default.

        Raises AgentNotFound, ScheduleNotFound, InvalidRequest, NotBuilt, Unavailable.
        """
        given = parse(UpdateSchedule, body)
        reschedules = bool(given.model_fields_set & RESCHEDULING)
        background = self._background()
        for _ in range(TRIES):
            now, (key, old) = self.ports.clock.now(), self._found(background, path)
            new = replace(with_fields(old, given), updated_at=now, version=old.version + 1)
            if reschedules:
                new = planned(new, now)
            if background.triggers.replace(new):
                if reschedules:
                    settle(background, new.id, now, partial(put_back, background, old, new))
                return to_wire(new, key)
        raise Unavailable("Too many changes to this schedule at once; try again.")

    def delete(self, path: str) -> None:
        """The sessions of its executions stay. Raises AgentNotFound, ScheduleNotFound."""
        background, key = self._background(), _key_in(path)
        there = background.triggers.remove(self._id(key))
        # Also where it is not there: whoever removed it may have come no further.
        settle(background, self._id(key), self.ports.clock.now())
        if not there:
            raise ScheduleNotFound(key)

    def executions(self, path: str, query: lists.ListQuery) -> dict[str, Any]:
        """Those that are over, newest first; as many as the schedule keeps."""
        if query.page_key and not _RUN.fullmatch(query.page_key):
            raise InvalidPageKey
        background = self._background()
        key, trigger = self._found(background, path)
        newest = background.runs.list(trigger.id, kept(trigger), None)
        # Those of an older schedule with the same key are not its own.
        own = [run for run in newest if run.created_at >= trigger.created_at]
        left = [run for run in own if not query.page_key or run.id < query.page_key]
        return lists.page_answer(
            "executions",
            lambda limit: _ended(self.ports, left, limit),
            lambda one: execution(one[0], key, one[1]),
            query.limit,
        )

    def _background(self) -> Background:
        """Raises AgentNotFound."""
        self.ports.agents.get(self.agent)
        return self.made()

    def _found(self, background: Background, path: str) -> tuple[str, BackgroundTrigger]:
        """Under its key; raises ScheduleNotFound."""
        key = _key_in(path)
        if not (found := background.triggers.get(self._id(key))):
            raise ScheduleNotFound(key)
        return key, found

    def _id(self, key: str) -> str:
        """With dots, which the id of no other trigger has."""
        return f"schedule.{self.agent}.{key}"


def _key_in(path: str) -> str:
    return key_in(path, ScheduleNotFound)


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


def _place_in(page_key: str | None) -> tuple[int, str]:
    if page_key is None:
        return -1, ""
    if not (found := _PLACE.fullmatch(page_key)):
        raise InvalidPageKey
    return int(found[1]), found[2]
