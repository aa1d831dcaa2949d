"""Events as the door shows them: each event of the log is one of the door's at most."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cueline.doors.triggered_responses.lists import timestamp
from cueline.engine.prompt import INVOKE_SKILL
from cueline.log.events import (
    Acknowledged,
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsFailed,
    Posted,
    Recorded,
    Spoke,
    ToolOutput,
    TriggerScheduled,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnReady,
    TurnTyping,
    erased,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.strict_json import value_or_text
from cueline.log.triggers import Participant

Fields = dict[str, Any]
Told = tuple[str, str, Any]
"""Source, kind, and data of an event."""

AGENT, CUSTOMER, PERSON = "ai_agent", "customer", "human_agent"
ON_BEHALF = "human_agent_on_behalf_of_ai_agent"
SOURCES = {"user": CUSTOMER, "person": PERSON, "on_behalf": ON_BEHALF}
"""Of what is posted; any other source is shown as it is."""


@dataclass(frozen=True, slots=True)
class Names:
    """How those who speak are shown, where the event does not say; asked for when needed."""

    agent: Callable[[str], str]
    """By its key."""
    customer: Callable[[], str]


def to_wire(
    session: Session,
    names: Names,
    recorded: Recorded,
    *,
    arguments: str = "{}",
    removed: bool = False,
) -> Fields | None:
    """The event as the public API has it, or None where this door does not show it.

    `arguments` are those of the tool call that it tells the output of. What is `removed` or marked
    is shown as deleted, without what was said.
    """
    deleted = removed or recorded.mark is not None
    event = erased(recorded.event) if deleted else recorded.event
    told = _told(session, names, event, "{}" if deleted else arguments, deleted=deleted)
    if told is None:
        return None
    source, kind, data = told
    metadata = getattr(event, "metadata", {}) if recorded.metadata is None else recorded.metadata
    trace = getattr(event, "trace", "") or recorded.trace_id
    return {
        "id": event_id(session.id, session.incarnation, recorded.offset),
        "source": source,
        "kind": kind,
        "offset": recorded.offset,
        "creation_utc": timestamp(recorded.created_at),
        "trace_id": trace,
        "correlation_id": trace,
        "data": {} if deleted and data is None else data,
        "metadata": {} if deleted else dict(metadata),
        "deleted": deleted,
    }


def _told(
    session: Session, names: Names, event: Event, arguments: str, *, deleted: bool
) -> Told | None:
    match event:
        case Input():
            return _input(session, names, event, deleted=deleted)
        case Posted(kind="message"):
            return _posted(session, names, event)
        case Posted():
            return SOURCES.get(event.source, event.source), event.kind, event.data
        case Spoke() | Answered() if event.text or deleted:
            return _said(AGENT, event.text, _agent(event.agent or session.agent_key, names))
        case ToolOutput():
            return _tool(event, arguments)
        case TurnFailed():
            return _failed(event.message, event.code, retryable=event.retryable)
        case InputsFailed():
            again = event.code != "customer_not_found"
            return _failed(event.message, event.code, retryable=again)
    return _progress(event)


def _progress(event: Event) -> Told | None:
    """How far a turn is, where its input asked to be told."""
    match event:
        case Acknowledged():
            return _status("acknowledged")
        case TriggerScheduled():
            return _status("acknowledged", scheduled_at=timestamp(event.due))
        case TurnBegan() | AsideBegan() if event.trace and not event.again:
            return _status("processing", stage="Thinking")
        case TurnTyping():
            return _status("typing")
        case TurnInterrupted() if event.trace:
            return _status("cancelled")
        case TurnReady():
            return _status(
                "ready",
                stage="completed",
                matched_guidelines=[{"id": one} for one in event.matched],
                matched_journeys=[],
                matched_journey_states=[],
            )
    return None


# --- what is said --------------------------------------------------------------------------------


def _input(session: Session, names: Names, event: Input, *, deleted: bool) -> Told | None:
    if event.trigger:
        return _status("acknowledged")
    if event.source != "user" or not event.speaks or not (event.texts or deleted):
        return None
    return _customer(session, names, "\n\n".join(event.texts), event.participant)


def _posted(session: Session, names: Names, event: Posted) -> Told:
    if event.source == "on_behalf":
        participant = _participant(event.participant) or _agent(session.answering_agent, names)
        return _said(ON_BEHALF, event.text, participant)
    if event.source == "person":
        participant = _participant(event.participant) or {"id": None, "display_name": ""}
        return _said(PERSON, event.text, participant)
    return _customer(session, names, event.text, event.participant)


def _customer(session: Session, names: Names, text: str, who: Participant | None) -> Told:
    participant = _participant(who)
    if not participant:
        participant = {"id": session.customer, "display_name": names.customer()}
    source, kind, data = _said(CUSTOMER, text, participant)
    return source, kind, {**data, "flagged": False, "tags": []}


def _said(source: str, text: str, participant: Fields) -> Told:
    return source, "message", {"message": text, "participant": participant}


def _participant(who: Participant | None) -> Fields | None:
    return who.model_dump() if who else None


def _agent(key: str, names: Names) -> Fields:
    return {"id": key, "display_name": names.agent(key)}


# --- what is reported ----------------------------------------------------------------------------


def _status(status: str, **data: Any) -> Told:
    return AGENT, "status", {"status": status, "data": data}


def _failed(message: str, code: str, *, retryable: bool) -> Told:
    return _status("error", exception=message, code=code, retryable=retryable)


def _tool(event: ToolOutput, arguments: str) -> Told | None:
    if event.tool == INVOKE_SKILL and not event.configuration:
        return None  # the agent's own instructions, which are no business of the customer's
    result = {
        "data": value_or_text(event.output),
        "metadata": {
            **({"error": True} if event.error else {}),
            **({"refused": True} if event.refused else {}),
        },
        "control": {},
        "canned_responses": [],
        "canned_response_fields": {},
    }
    call = {
        "tool_id": f"{event.configuration or event.tool}:{event.own_name or event.tool}",
        "arguments": value_or_text(arguments),
        "result": result,
    }
    return AGENT, "tool", {"tool_calls": [call]}
