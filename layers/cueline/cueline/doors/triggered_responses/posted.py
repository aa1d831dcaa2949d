"""What a posted event is to the engine, and what is wrong with it; pure.

| kind, source         | needs                              | is                               |
|----------------------|------------------------------------|----------------------------------|
| message, customer    | message                            | an input that interrupts         |
| message, ai_agent    | no message                         | an input that triggers the agent |
| message, human_agent | message, participant.display_name  | posted, asks for nothing         |
| message, on behalf   | message                            | the same                         |
| message, any other   |                                    | refused                          |
| status, any          | status; data an object, if any     | posted                           |
| custom, any          | data, and not an empty one         | posted                           |
| tool, any            |                                    | refused                          |
"""

import json
from collections.abc import Mapping
from typing import Any

from cueline.doors.body import check_text
from cueline.doors.triggered_responses.event_wire import A_YEAR, PostEvent, milliseconds
from cueline.doors.triggered_responses.shown import AGENT, CUSTOMER, ON_BEHALF, PERSON
from cueline.errors import InvalidRequest
from cueline.log.events import Input, Posted
from cueline.log.triggers import Participant, Trigger

MAX_METADATA = 16_384
"""Bytes of JSON."""
MAX_GUIDELINES = 32_000
"""Characters of all guidelines of one trigger: an event has to hold them."""

_LOG_SOURCES = {PERSON: "person", ON_BEHALF: "on_behalf"}


def check(posted: PostEvent) -> None:
    """Raises InvalidRequest, or InvalidMessageContent for a message that is empty or too long."""
    check_metadata(posted.metadata or {})
    triggers = posted.kind == "message" and posted.source == AGENT
    if not triggers and (posted.at or posted.delay_seconds):
        raise InvalidRequest("Only a message of ai_agent can be scheduled for a later time.")
    match posted.kind:
        case "message":
            _check_message(posted)
        case "status":
            if posted.status is None:
                raise InvalidRequest("A status event needs `status`.")
            if not isinstance(posted.data, dict | None):
                raise InvalidRequest("The `data` of a status event must be an object.")
        case "custom":
            if not posted.data:
                raise InvalidRequest("A custom event needs `data`, which must not be empty.")
        case "tool":
            raise InvalidRequest("Tool events cannot be posted; the agent's own tools make them.")


def _check_message(posted: PostEvent) -> None:
    if posted.source == AGENT:
        if posted.message:
            raise InvalidRequest(
                "The agent makes its message by itself; leave `message` out, and give guidelines "
                "where you want something said."
            )
        if posted.at and posted.delay_seconds:
            raise InvalidRequest("Give `at` or `delay_seconds`, not both.")
        if sum(len(one.action) for one in posted.guidelines or ()) > MAX_GUIDELINES:
            why = f"The guidelines have more than {MAX_GUIDELINES:,} characters together."
            raise InvalidRequest(why)
        return
    if posted.source not in (CUSTOMER, PERSON, ON_BEHALF):
        raise InvalidRequest(f"A message cannot have the source {posted.source}.")
    if posted.message is None:
        raise InvalidRequest(f"A message of {posted.source} needs `message`.")
    check_text([posted.message])
    if posted.source == PERSON and not posted.participant:
        raise InvalidRequest("A message of human_agent needs `participant.display_name`.")


def check_metadata(metadata: Mapping[str, Any]) -> None:
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MAX_METADATA:
        raise InvalidRequest(f"The metadata is larger than {MAX_METADATA // 1024} KB.")


def to_posted(posted: PostEvent, agent: Participant | None) -> Posted:
    """What asks for nothing. `agent` is who speaks on its behalf."""
    metadata = posted.metadata or {}
    match posted.kind:
        case "status":
            data = {"status": posted.status, "data": posted.data or {}}
            return Posted(kind="status", source=posted.source, data=data, metadata=metadata)
        case "custom":
            return Posted(kind="custom", source=posted.source, data=posted.data, metadata=metadata)
    given = posted.participant.to_engine() if posted.participant else None
    return Posted(
        source=_LOG_SOURCES[posted.source],
        text=posted.message or "",
        participant=agent if posted.source == ON_BEHALF else given,
        metadata=metadata,
    )


def to_input(
    posted: PostEvent, customer: Participant | None, caller: str, digest: str, trace: str
) -> Input:
    """What asks for an answer; `customer` is who speaks, where the request does not say."""
    who: dict[str, Any] = {
        "caller": caller,
        "digest": digest,
        "trace": trace,
        "metadata": posted.metadata or {},
    }
    if posted.source == AGENT:
        trigger = to_trigger(posted)
        policy = "aside" if trigger.buys_time else "enqueue"
        return Input(policy=policy, source="system", trigger=trigger, **who)
    given = posted.participant.to_engine() if posted.participant else customer
    texts = (posted.message or "",)
    return Input(policy="interrupt", texts=texts, participant=given, **who)


def to_trigger(posted: PostEvent) -> Trigger:
    return Trigger(guidelines=tuple(one.to_engine() for one in posted.guidelines or ()))


def due(posted: PostEvent, now: int) -> int | None:
    """When the trigger is to come, if not at once; in ms since 1970, as `now` is.

    Raises InvalidRequest.
    """
    if posted.delay_seconds:
        return now + posted.delay_seconds * 1000
    if not posted.at:
        return None
    at = milliseconds(posted.at)
    if not now < at <= now + A_YEAR * 1000:
        raise InvalidRequest("`at` must be in the future, and at most a year away.")
    return at
