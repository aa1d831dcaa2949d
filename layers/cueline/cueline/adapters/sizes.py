"""What fits: checked in UTF-8 bytes before anything is written."""

import json

from cueline.engine.agent import Agent
from cueline.errors import InvalidRequest, TooLarge
from cueline.log.events import events_to_json
from cueline.log.segment import MAX_BYTES, MAX_EVENTS, Segment, Session
from cueline.log.state import state_to_json

_NO_UTF8 = "The text has a surrogate without its other half."
_FRAME = 79
"""Bytes of a segment's item that do not vary: attribute names, the sort key, the numbers."""


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
    session: str, events: str, state: str, attempt: str, trace_id: str, marks: str = ""
) -> int:
    """What the segment takes in the store, as DynamoDB counts an item's names and values."""
    named = f"marks{marks}" if marks else ""
    return _FRAME + size(session + events + state + attempt + trace_id + named)


def metadata_to_json(session: Session) -> str:
    """Raises TooLarge where the session would not fit into an item."""
    metadata = json.dumps(dict(session.metadata), ensure_ascii=False)
    check_size(size(metadata) + size(session.name) + size(session.description or ""))
    return metadata


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
