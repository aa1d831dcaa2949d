"""Triggers as the published client writes and reads them."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from cueline.doors.background_triggers.secrets import secret_of
from cueline.doors.body import has_controls
from cueline.doors.strict import RareWire, invalid, parse
from cueline.engine.background import BackgroundTrigger, TriggerPolicy

LONGEST_SESSION = 31 * 86_400_000
"""Milliseconds."""
LONGEST_WAIT = 31 * 86_400
"""Seconds."""
MAX_META = 32_000
"""UTF-8 bytes, as JSON."""
DELAYABLE = ("enqueue", "coalesce", "reject", "skip")
"""Policies of events that may be held back; the others are for what runs as they come."""
PAUSED_BY_HAND = "Somebody has paused it."

_OWN = {
    *("id", "secret", "createdAt", "updatedAt", "lastTriggerAt", "nextTriggerAt"),
    *("consecutiveFailures", "pausedReason"),
}
_MEANS_NOTHING = {"blueprintId", "alias", "visibility"}
_DEFAULTS = {f.name: f.default for f in fields(BackgroundTrigger) if f.name != "meta"} | {
    "meta": {}
}


def _plain(value: str) -> str:
    if has_controls(value):
        raise ValueError("must not contain control characters")
    return value.strip()


def _meta(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_META:
        raise ValueError(f"must not be larger than {MAX_META // 1000} KB")
    return value


def _duration(value: int) -> int:
    if value and not 1000 <= value <= LONGEST_SESSION:
        raise ValueError(f"must be 0, or milliseconds from 1,000 to {LONGEST_SESSION:,}")
    return value


def _key(value: str) -> str:
    """Whether there is such an agent is looked at later."""
    return value.strip()[:100]


Plain = Annotated[str, AfterValidator(_plain)]
Seconds = Annotated[int, Field(ge=0, le=LONGEST_WAIT)]


class TriggerFields(RareWire):
    """What somebody may set. Null is what a field is where nobody has said anything."""

    name: Annotated[Plain, Field(max_length=200)] | None = None
    description: Annotated[Plain, Field(max_length=10_000)] | None = None
    meta: Annotated[dict[str, Any], AfterValidator(_meta)] | None = None
    agent_key: Annotated[str, AfterValidator(_key)] | None = Field(None, alias="botId")
    authenticate: bool | None = None
    schedule: Annotated[Plain, Field(max_length=200)] | None = None
    timezone: Annotated[Plain, Field(max_length=100)] | None = None
    session_duration: Annotated[int, AfterValidator(_duration)] | None = Field(
        None, alias="sessionDuration"
    )
    text: Annotated[Plain, Field(max_length=50_000)] | None = None
    policy: TriggerPolicy | None = None
    delay: Seconds | None = None
    max_age: Seconds | None = Field(None, alias="maxAge")
    tries: Annotated[int, Field(ge=1, le=10)] | None = Field(None, alias="maxAttempts")
    pause_after: Annotated[int, Field(ge=0, le=1000)] | None = Field(None, alias="pauseAfter")
    paused: bool | None = None
    rotate_secret: bool | None = Field(None, alias="rotateSecret")

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """What the door shows may come back, and is left as it is. Raises InvalidRequest."""
        given = {n: v for n, v in body.items() if n not in _OWN and n not in _MEANS_NOTHING}
        if "triggerSchedule" in given:
            older = given.pop("triggerSchedule")
            given.setdefault("schedule", older)
        return parse(cls, given)

    @property
    def reschedules(self) -> bool:
        return bool(self.model_fields_set & {"schedule", "timezone", "paused"})

    def of_trigger(self, old: BackgroundTrigger) -> BackgroundTrigger:
        """`old` with what is given. Raises InvalidRequest where that does not go together."""
        changes: dict[str, Any] = {}
        for name in self.model_fields_set - {"paused", "rotate_secret"}:
            value = getattr(self, name)
            changes[name] = _DEFAULTS[name] if value is None else value
        if self.paused:
            changes["paused"] = old.paused or PAUSED_BY_HAND
        elif "paused" in self.model_fields_set:
            changes |= {"paused": "", "failures": 0}
        if self.rotate_secret:
            changes["generation"] = old.generation + 1
        new = replace(old, **changes)
        if new.delay and new.policy not in DELAYABLE:
            *some, last = DELAYABLE
            only = f"goes with the policies {', '.join(some)} and {last} only"
            raise invalid({"delay": f"{only}, not with {new.policy}"})
        return new


def to_wire(trigger: BackgroundTrigger, signing: bytes) -> dict[str, Any]:
    """Times are milliseconds since 1970."""
    return {
        "id": trigger.id,
        "name": trigger.name,
        "description": trigger.description,
        "meta": dict(trigger.meta),
        **({"botId": trigger.agent_key} if trigger.agent_key else {}),
        "authenticate": trigger.authenticate,
        "secret": secret_of(trigger, signing),
        "sessionDuration": trigger.session_duration,
        "schedule": trigger.schedule or None,
        "timezone": trigger.timezone or None,
        "text": trigger.text,
        "policy": trigger.policy,
        "delay": trigger.delay,
        "maxAge": trigger.max_age,
        "maxAttempts": trigger.tries,
        "pauseAfter": trigger.pause_after,
        "paused": bool(trigger.paused),
        "pausedReason": trigger.paused or None,
        "consecutiveFailures": trigger.failures,
        "createdAt": trigger.created_at,
        "updatedAt": trigger.updated_at,
        "lastTriggerAt": trigger.last_at or None,
        "nextTriggerAt": trigger.next_at or None,
    }
