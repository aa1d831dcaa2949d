"""Events that do not come over HTTP: messages of the intake queue, whoever may put them there.

* whoever may send to the queue: `{"trigger", "text", "session", "contact", "id"}`, of which only
  the first must be there;
* the bus: an event whose detail type is `Trigger Event`, and whose detail is the same;
* a trigger's schedule: `{"trigger", "scheduled": true, "at"}`.

A message that is delivered again, or put there twice by what promises no better, is one event: it
is known by `id`, else by the time `scheduled_at`, else by the id of the bus's event, else by its
own. A message whose event cannot be taken in raises: it comes again, and lies in the queue's
dead-letter queue in the end, from where it can be moved back once that is mended. What is known
by its message's id only is another event then, since SQS gives it a new one; nothing else tells it
from a second message that says the same, and is meant.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cueline.doors.background_triggers.arming import settle
from cueline.doors.background_triggers.errors import (
    AgentGone,
    ContentTooLarge,
    NoAgent,
    TriggerNotFound,
)
from cueline.doors.background_triggers.event_body import MAX_EVENT, Delivered, contact_of
from cueline.doors.background_triggers.intake import take
from cueline.doors.background_triggers.schedules import due, fired, schedule_of
from cueline.doors.body import object_in
from cueline.doors.idempotency import digest
from cueline.doors.shared import MAX_ECHO
from cueline.doors.strict import invalid
from cueline.engine.background import Background, BackgroundTrigger
from cueline.engine.ports import Ports
from cueline.errors import Forbidden, TurnRunning, Unavailable, unexpected

logger = logging.getLogger(__name__)

DETAIL_TYPE = "Trigger Event"
TRIES = 10
"""How often a trigger that others keep changing is changed again."""

_TRIGGER = re.compile(r"[0-9a-zA-Z_-]{1,50}(\.[0-9a-zA-Z_.-]{1,150})?")
"""Those of agents' schedules have dots."""
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WORDS = ("text", "session", "scheduled_at", "id")
_CONTACT = ("name", "email", "phone")
_NOT_SAID = ("trigger", "id")
"""What the agent does not have to know."""


def work_off(
    ports: Ports, background: Background, body: str, message_id: str, lease: int, trace_id: str
) -> None:
    """The message may be deleted when this returns; if it raises, it must come again.

    Raises InvalidRequest, TriggerNotFound, and what `intake.take` raises.
    """
    given = object_in(body.encode("utf-8", "surrogatepass"), "The message")
    known_as = ("message", message_id)
    if "detail-type" in given:
        given, known_as = _on_bus(given)
    elif given.get("scheduled") is True:
        _fire(ports, background, given, lease, trace_id)
        return
    name = _trigger_in(given)
    trigger = background.triggers.get(name)
    if not trigger:
        raise TriggerNotFound(name)
    taken = take(ports, background, trigger, _event(given, known_as), lease, trace_id)
    told = {"trigger": name, "run": taken.run.id if taken.run else "", "status": taken.status}
    logger.info("An event is taken in", extra={**told, "repeated": taken.repeated})


# --- what is in it -------------------------------------------------------------------------------


def _on_bus(given: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, str]]:
    """The detail, and how the event is known: the bus may deliver it in several messages."""
    detail, name = given.get("detail"), given.get("id")
    if given["detail-type"] != DETAIL_TYPE:
        raise invalid({"detail-type": f"must be {DETAIL_TYPE}"})
    if not isinstance(detail, dict):
        raise invalid({"detail": "must be an object"})
    if not isinstance(name, str) or not _KEY.fullmatch(name):
        raise invalid({"id": "must be that of the event"})
    return detail, ("event", name)


def _trigger_in(given: dict[str, Any]) -> str:
    name = given.get("trigger")
    if not isinstance(name, str):
        raise invalid({"trigger": "must be the id of a trigger"})
    if not _TRIGGER.fullmatch(name):
        raise TriggerNotFound(name[:MAX_ECHO])
    return name


def _event(given: dict[str, Any], known_as: tuple[str, str]) -> Delivered:
    wrong: dict[str, str] = {}
    words = _words(given, "", _WORDS, wrong)
    person = given.get("contact")
    if not isinstance(person, dict | None):
        wrong["contact"] = "must be an object"
    contact = _words(person or {}, "contact.", _CONTACT, wrong) if "contact" not in wrong else {}
    if words["id"] and not _KEY.fullmatch(words["id"]):
        wrong["id"] = "must have 1 to 255 visible ASCII characters"
    if wrong:
        raise invalid(wrong)
    said = {name: value for name, value in given.items() if name not in _NOT_SAID}
    body = json.dumps(said, ensure_ascii=False) if said else ""
    if len(body.encode()) > MAX_EVENT:
        raise ContentTooLarge(f"The event is larger than {MAX_EVENT // 1024} KB.")
    all_of_it = digest(json.dumps(given, sort_keys=True))
    if words["id"]:
        known_as = ("id", words["id"])
    elif words["scheduled_at"]:
        known_as = ("scheduled_at", f"{words['scheduled_at']} {all_of_it}")
    return Delivered(
        text=words["text"],
        body=body,
        session=words["session"],
        contact=contact_of(contact),
        key=digest("queue", given["trigger"], *known_as),
        digest=all_of_it,
    )


def _words(
    given: dict[str, Any], place: str, names: Sequence[str], wrong: dict[str, str]
) -> dict[str, str]:
    """What is a number is one that somebody calls something by. Notes what is `wrong`."""
    found = {}
    for name in names:
        value = given.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str | None):
            wrong[place + name] = "must be a string"
        found[name] = value.strip() if isinstance(value, str) else ""
    return found


# --- a schedule's ---------------------------------------------------------------------------------


def _fire(
    ports: Ports, background: Background, given: dict[str, Any], lease: int, trace_id: str
) -> None:
    """What need not be run is dropped: it comes again at its next time, if it is to come at all.

    Raises only what may pass, or somebody must look into.
    """
    name, at = _trigger_in(given), _time(given.get("at"))
    trigger = background.triggers.get(name)
    schedule = trigger and schedule_of(trigger)
    if not trigger or not schedule or not schedule.expression or trigger.paused:
        logger.info("A schedule has fired that is none any more", extra={"trigger": name})
        _disarm(ports, background, name)
        return
    if schedule.once > at or not due(trigger, at):
        logger.info("A schedule has fired before its time", extra={"trigger": name})
        return
    event = Delivered(
        text=f"The schedule {trigger.schedule!r} has come.",
        session=trigger.schedule,
        key=digest("firing", trigger.id, at),
        digest=digest(at),
    )
    try:
        take(ports, background, trigger, event, lease, trace_id)
    except TurnRunning:
        logger.info("A schedule has fired while a turn is open", extra={"trigger": name})
    except AgentGone as gone:
        logger.warning("A schedule has fired whose agent is gone", extra={"trigger": name})
        _pause(background, trigger, gone.message)
        _disarm(ports, background, name)
        return
    except (NoAgent, Forbidden) as refused:
        told = {"trigger": name, "why": refused.code}
        logger.warning("A schedule has fired, and nobody may work it off", extra=told)
    _note(background, name, at)


def _disarm(ports: Ports, background: Background, name: str) -> None:
    """Whoever took it away may have died before that; or the trigger has paused itself."""
    try:
        settle(background, name, ports.clock.now())
    except Exception as error:
        failed = {"trigger": name, **unexpected(error)}
        logger.warning("A schedule that is none any more goes on", extra=failed)


def _pause(background: Background, trigger: BackgroundTrigger, why: str) -> None:
    """It must be set going again by somebody who gives it an agent. Where others change it at the
    same time it is left to its next firing."""
    paused = replace(trigger, paused=why, next_at=0, version=trigger.version + 1)
    background.triggers.replace(paused)


def _time(given: Any) -> int:
    """Milliseconds since 1970. What has no offset is in UTC, as the scheduler has it."""
    try:
        told = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise invalid({"at": "must be the time that the schedule is for"}) from None
    return round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)


def _note(background: Background, name: str, at: int) -> None:
    """When it was fired, and will be. Comes late, or again, without harm. Raises Unavailable."""
    for _ in range(TRIES):
        before = background.triggers.get(name)
        if not before:
            return
        after = fired(before, at)
        if before.next_at > at and not schedule_of(before).every:
            after = replace(after, next_at=before.next_at)  # somebody has set it later
        if after == before:
            return
        if background.triggers.replace(replace(after, version=before.version + 1)):
            return
    raise Unavailable("Too many changes to this trigger at once.")
