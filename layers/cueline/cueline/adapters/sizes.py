"""What fits: checked in UTF-8 bytes before anything is written."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from cueline.engine.agent import Agent
from cueline.engine.ports import Customer
from cueline.errors import InvalidRequest, TooLarge
from cueline.log.events import (
    Answered,
    Finished,
    InputsFailed,
    InputsWithdrawn,
    ModeChanged,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
    events_to_json,
)
from cueline.log.segment import MAX_BYTES, MAX_EVENTS, Segment
from cueline.log.state import state_to_json

_NO_UTF8 = "The text has a surrogate without its other half."
_FRAME = 79
"""Bytes of a segment's item that do not vary: attribute names, the sort key, the numbers."""
FLAGS = ("heard", "ended")
"""Attributes of a segment by which the table's stream is filtered. Each is the number 1."""
_FLAG = 2
"""Bytes of a number of one digit."""
_ENDS = (
    *(Answered, Finished, InputsFailed, InputsWithdrawn),
    *(ModeChanged, TurnFailed, TurnInterrupted, TurnSuspended),
)
_MAX_NOTE = 16_384
"""Bytes of one event's metadata, where it has been changed."""
_MAX_NOTED = 408_000
"""Bytes of a segment's item that has notes: the store's limit is 409,600, and marks may follow."""


def segment_to_json(segment: Segment) -> tuple[str, str]:
    """Its events and its state as JSON. Raises TooLarge where they would not fit into an item."""
    if not 1 <= len(segment.events) <= MAX_EVENTS:
        raise ValueError(f"A segment has 1 to {MAX_EVENTS} events, not {len(segment.events)}.")
    try:
        events, state = events_to_json(segment.events), state_to_json(segment.state)
    except ValueError as error:
        raise InvalidRequest(_NO_UTF8) from error
    check_size(size(events) + size(state))
    return events, state


def segment_size(
    session: str,
    events: str,
    state: str,
    attempt: str,
    trace_id: str,
    marks: str = "",
    notes: str = "",
    *,
    flags: Collection[str] = (),
) -> int:
    """What the segment takes in the store, as DynamoDB counts an item's names and values."""
    named = (f"marks{marks}" if marks else "") + (f"notes{notes}" if notes else "")
    more = sum(len(flag) + _FLAG for flag in flags)
    return _FRAME + more + size(session + events + state + attempt + trace_id + named)


def flags_of(segment: Segment) -> tuple[str, ...]:
    """heard: somebody may listen who is to be told of it; ended: something comes to its end, or to
    people, in it, which others may want to know."""
    heard = segment.state.heard_until > segment.written_at
    ended = any(isinstance(event, _ENDS) for event in segment.events)
    return tuple(flag for flag, there in zip(FLAGS, (heard, ended), strict=True) if there)


def check_note(note: Mapping[str, Any]) -> None:
    """Raises TooLarge."""
    if (given := size(json.dumps(dict(note), ensure_ascii=False))) > _MAX_NOTE:
        raise TooLarge(f"An event's metadata may take {_MAX_NOTE:,} bytes; this takes {given:,}.")


def check_noted(given: int) -> None:
    """Of a segment that gets notes, in bytes. Raises TooLarge."""
    if given > _MAX_NOTED:
        raise TooLarge("The events stored beside this one leave no room for so much metadata.")


def customer_to_json(customer: Customer) -> str:
    """Raises TooLarge where the customer would not fit into an item."""
    kept = {"metadata": dict(customer.metadata), "tags": customer.tags, "mark": customer.mark}
    text = json.dumps({"name": customer.name, **kept}, ensure_ascii=False)
    check_size(size(text))
    return text


def customer_from_json(text: str, of: str, created_at: int, version: int) -> Customer:
    kept = json.loads(text)
    return Customer(
        of,
        kept["name"],
        created_at,
        kept["metadata"],
        tuple(kept["tags"]),
        kept.get("mark", ""),
        version,
    )


def agent_to_json(agent: Agent) -> str:
    """Raises TooLarge where the agent would not fit into an item."""
    try:
        text = agent.model_dump_json()
    except ValueError as error:
        raise InvalidRequest(_NO_UTF8) from error
    check_size(size(text))
    return text


def size(text: str) -> int:
    """In UTF-8 bytes. Raises InvalidRequest for text that UTF-8 does not have."""
    try:
        return len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(_NO_UTF8) from error


def check_size(given: int) -> None:
    if given > MAX_BYTES:
        raise TooLarge(f"This takes {given:,} bytes; at most {MAX_BYTES:,} can be stored at once.")
