"""Agents' schedules on the wire: each is a background trigger, whose runs are its executions."""

import json
import re
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from cueline.doors.agent_events.posted import Message, TextMessage
from cueline.doors.agent_events.sessions import MAX_SESSION
from cueline.doors.background_triggers import schedules
from cueline.doors.background_triggers.intake import SESSION_METADATA
from cueline.doors.body import check_text, has_controls
from cueline.doors.shared import timestamp
from cueline.doors.strict import UNION, Key, Name, RareWire, invalid, tag_of
from cueline.engine.background import BackgroundTrigger, Run
from cueline.engine.runs import Progress
from cueline.errors import InvalidRequest, NotBuilt

KEEP = 10
"""Executions that are shown where nothing is said."""
DISABLED = "Its owner has disabled it."
_INTERVAL = re.compile(r"P[0-9A-Z]{2,40}")
_BETWEEN = "\n\n"


class Interval(RareWire):
    type: Literal["interval"]
    interval: str


class Cron(RareWire):
    type: Literal["cron"]
    cron_expression: str


When = Annotated[
    Annotated[Interval, Tag(f"{UNION}interval")] | Annotated[Cron, Tag(f"{UNION}cron")],
    Discriminator(
        tag_of,
        custom_error_type="schedule_type",
        custom_error_message="must have the type `interval` or `cron`",
    ),
]
ScheduleName = Annotated[Name, Field(max_length=255)]
Messages = Annotated[list[Message], Field(min_length=1, max_length=100)]
Kept = Annotated[int, Field(ge=1, le=50)]


class UpdateSchedule(RareWire):
    name: ScheduleName | None = None
    description: str | None = None
    message: Messages | None = None
    schedule: When | None = None
    enabled: bool | None = None
    session_metadata: dict[str, Any] | None = None
    max_executions_to_keep: Kept | None = None


class CreateSchedule(UpdateSchedule):
    key: Key | None = None
    name: ScheduleName
    message: Messages
    schedule: When


def with_fields(before: BackgroundTrigger, given: UpdateSchedule) -> BackgroundTrigger:
    """With what is given; null is the default. Raises InvalidRequest, NotBuilt."""
    told = {name: getattr(given, name) for name in given.model_fields_set}
    if missing := {n for n in ("name", "message", "schedule") if told.get(n, n) is None}:
        raise invalid(dict.fromkeys(missing, "must not be null"))
    changes: dict[str, Any] = {}
    meta = dict(before.meta)
    if given.name is not None:
        changes["name"] = given.name
    if "description" in told:
        changes["description"] = _described(given.description or "")
    if given.message is not None:
        texts = _texts(given.message)
        changes["text"], meta["lengths"] = _BETWEEN.join(texts), [len(text) for text in texts]
    if given.schedule is not None:
        changes["schedule"] = _written(given.schedule, before.created_at)
    if "enabled" in told:
        changes |= {"paused": DISABLED if given.enabled is False else "", "failures": 0}
    for name in (SESSION_METADATA, "max_executions_to_keep"):
        if name in told:
            meta[name] = told[name]
    return _checked(replace(before, **changes, meta=meta))


def kept(trigger: BackgroundTrigger) -> int:
    """Executions that are shown."""
    return int(trigger.meta.get("max_executions_to_keep") or KEEP)


def to_wire(trigger: BackgroundTrigger, key: str) -> dict[str, Any]:
    """`next_execution_at` and `disabled_reason` are our own."""
    paused, metadata = trigger.paused, trigger.meta.get(SESSION_METADATA)
    return {
        "key": key,
        "agent_key": trigger.agent_key,
        "name": trigger.name,
        **({"description": trigger.description} if trigger.description else {}),
        "message": [{"type": "text", "content": text} for text in _said(trigger)],
        "schedule": _shown(trigger.schedule),
        "enabled": not paused,
        **({"disabled_reason": paused} if paused not in ("", DISABLED) else {}),
        **({} if metadata is None else {SESSION_METADATA: metadata}),
        "max_executions_to_keep": kept(trigger),
        **({"last_execution_at": timestamp(trigger.last_at)} if trigger.last_at else {}),
        **({"next_execution_at": timestamp(trigger.next_at)} if trigger.next_at else {}),
        "created_at": timestamp(trigger.created_at),
    }


def execution(run: Run, key: str, told: Progress) -> dict[str, Any]:
    """Of a run that is over."""
    failed = told.status != "succeeded"
    why = told.message or ("Somebody has stopped it." if told.status == "cancelled" else "")
    return {
        "schedule_key": key,
        "workflow_run_id": run.id,
        "session_key": run.session.partition(".")[2],
        "attempt": max(1, told.attempts),
        "status": "error" if failed else "success",
        **({"error_message": why} if failed else {}),
        "executed_at": timestamp(told.started_at or run.created_at),
    }


def _texts(messages: list[Message]) -> list[str]:
    texts = [one.content for one in messages if isinstance(one, TextMessage)]
    if len(texts) < len(messages):
        raise NotBuilt("A skill in the message of a schedule")
    check_text(texts)
    return texts


def _said(trigger: BackgroundTrigger) -> list[str]:
    texts, at = [], 0
    for length in trigger.meta.get("lengths") or [len(trigger.text)]:
        texts.append(trigger.text[at : at + length])
        at += length + len(_BETWEEN)
    return texts


def _written(when: Interval | Cron, anchor: int) -> str:
    """As a trigger's schedule. Cron is on the clock of UTC."""
    field, text = "interval", when.interval if isinstance(when, Interval) else ""
    if isinstance(when, Cron):
        field, text = "cron_expression", when.cron_expression.strip()
        if len(text.split()) != 5:
            raise invalid({f"schedule.{field}": "must have five fields, as in `0 9 * * 1-5`"})
    elif not _INTERVAL.fullmatch(text):
        raise invalid({f"schedule.{field}": "must be an ISO 8601 duration, as in `PT6H`"})
    try:
        schedules.parse(text, "", anchor)
    except InvalidRequest as error:
        raise invalid({f"schedule.{field}": error.fields.get("schedule", "is wrong")}) from None
    return text


def _shown(schedule: str) -> dict[str, str]:
    if _INTERVAL.fullmatch(schedule):
        return {"type": "interval", "interval": schedule}
    return {"type": "cron", "cron_expression": schedule}


def _described(description: str) -> str:
    if has_controls(description):
        raise invalid({"description": "must not contain control characters"})
    return description


def _checked(trigger: BackgroundTrigger) -> BackgroundTrigger:
    """Every session of it is described so, and has no more room."""
    described = [trigger.description, trigger.meta.get(SESSION_METADATA)]
    if len(json.dumps(described, ensure_ascii=False).encode()) > MAX_SESSION:
        why = f"with the description, larger than {MAX_SESSION // 1000} KB"
        raise invalid({SESSION_METADATA: f"is, {why}"})
    return trigger
