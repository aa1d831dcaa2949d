"""Events: the log as the door shows it.

A published client fails on a whole answer that has an event type it does not know. So what its
schema has no type for is either bookkeeping and not shown, or shown as `agent_output` with fields
of our own.
"""

from typing import Any

from cueline.doors.shared import timestamp
from cueline.engine.prompt import INVOKE_SKILL
from cueline.log.conversation import handoff
from cueline.log.events import (
    Answered,
    Compacted,
    Decision,
    Event,
    Input,
    InputsFailed,
    PartlyAnswered,
    Posted,
    Recorded,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.strict_json import value_or_text

TRANSIENT = frozenset({"context_limit_exceeded", "step_transition_limit_exceeded"})
"""Codes of failures that the schema has types for, but only for who waits; see `told`."""

Fields = dict[str, Any]


def to_wire(session: Session, recorded: Recorded) -> Fields | None:
    """The event as the public schema has it, or None for bookkeeping, and for what is erased.

    Of our own are `offset`, `turn_id`, `error`, `interrupted`, `truncated`, `hide_reason`,
    `approval_required`, `refused`, `approvals`, `decision`, and `participant`: a person who spoke
    in the agent's place.
    """
    fields = None if recorded.mark == "erased" else _fields(recorded.event)
    if fields is None:
        return None
    hidden = {"hide_reason": "manual"} if recorded.mark else {}
    return {**_placed(session, recorded, fields), **hidden}


def told(session: Session, recorded: Recorded) -> Fields | None:
    """The same for who waits: without what is hidden, with what is told but not listed."""
    match recorded.event:
        case _ if recorded.mark:
            return None
        case TurnInterrupted():
            return _placed(session, recorded, {"type": "session_interrupted"})
        case TurnFailed(code=code, message=message) if code in TRANSIENT:
            return _placed(session, recorded, {"type": code, "message": message})
    return to_wire(session, recorded)


def _placed(session: Session, recorded: Recorded, fields: Fields) -> Fields:
    turn = getattr(recorded.event, "turn", "")
    own_id = event_id(session.id, session.incarnation, recorded.offset)
    return {
        "id": own_id,
        "session_key": session.session_key,
        "created_at": timestamp(recorded.created_at),
        "offset": recorded.offset,
        **({"turn_id": turn} if turn else {}),
        **({"summary_key": own_id} if isinstance(recorded.event, Compacted) else {}),
        **fields,
    }


def _fields(event: Event) -> Fields | None:
    match event:
        case Input(source="user"):
            return _input(event)
        case Posted(kind="message"):
            return _posted(event)
        case Thinking():
            return {"type": "thinking", "content": event.text}
        case ToolInput() | ToolOutput():
            return _call(event)
        case SkillLoaded():
            return {"type": "skill_load", "skill_name": event.skill, "content": event.content}
        case StepChanged():
            return _transition(event)
        case Compacted():
            return _compaction(event)
        case TurnSuspended():
            return _approvals(event)
        case Spoke():
            return _said(event.text, event.schema_name)
        case Answered():
            cut = {"truncated": True} if event.cut else {}
            return {**_said(event.text, event.schema_name), **cut}
        case PartlyAnswered():
            return {**_said(event.text), "interrupted": True}
        case TurnFailed():
            return _failure(event.text, event.code, event.message, event.retryable)
        case InputsFailed():
            again = event.code != "customer_not_found"
            return _failure("", event.code, event.message, retryable=again)
    return None


def _said(text: str, schema_name: str = "") -> Fields:
    """What the model's token limit has cut is no JSON, and shown as it is."""
    if schema_name:
        kind = {"type": "structured_output", "schema_name": schema_name}
        return {**kind, "content": value_or_text(text)}
    return {"type": "agent_output", "content": text}


def _failure(text: str, code: str, message: str, retryable: bool) -> Fields:
    """What was said before, then what failed: some callers show nothing but the content."""
    return {
        **_said(f"{text}\n\n[{message}]" if text else message),
        "error": {"code": code, "message": message, "retryable": retryable},
    }


# --- inputs --------------------------------------------------------------------------------------


def _input(event: Input) -> Fields | None:
    """Skills come first, as they are loaded before anything is answered."""
    messages = [{"type": "skill", "skill_name": name} for name in event.skills]
    messages += [_text(text) for text in event.texts]
    more: Fields = {}
    if event.decision:
        messages.append(_text(_decided(event.call, event.decision)))
        more["decision"] = _decision(event.call, event.decision)
    return {"type": "input_message", "messages": messages, **more} if messages else None


def _text(text: str) -> Fields:
    return {"type": "text", "content": text}


def _posted(event: Posted) -> Fields:
    """What people say in the agent's place is its output to this door's clients."""
    if event.source == "user":
        return {"type": "input_message", "messages": [_text(event.text)]}
    who = {"participant": event.participant.model_dump()} if event.participant else {}
    return {**_said(event.text), **who}


def _decided(call: str, decision: Decision) -> str:
    match decision.verdict:
        case "approve":
            what = f"The tool call {call} is approved."
        case "edit":
            what = f"The tool call {call} is approved with other arguments."
        case "reject":
            what = f"The tool call {call} is rejected."
    return f"{what} {decision.note}".strip()


def _decision(call: str, decision: Decision) -> Fields:
    edited = decision.verdict == "edit"
    return {
        "tool_call_id": call,
        "verdict": decision.verdict,
        **({"arguments": _object(decision.arguments, "arguments")} if edited else {}),
        **({"note": decision.note} if decision.note else {}),
    }


# --- tools, steps, compactions -------------------------------------------------------------------


def _call(event: ToolInput | ToolOutput) -> Fields | None:
    if event.tool == INVOKE_SKILL and not event.configuration:
        return None  # what it loads is shown by itself
    call = {
        "type": event.type,
        "tool_call_id": event.call,
        "tool_configuration_name": event.configuration or event.tool,
        "tool_name": event.own_name or event.tool,
    }
    if isinstance(event, ToolInput):
        approval = {"approval_required": True} if event.approval else {}
        return {**call, "tool_input": _object(event.arguments, "arguments"), **approval}
    refused = {"refused": True} if event.refused else {}
    return {**call, "tool_output": _object(event.output, "output"), "error": event.error, **refused}


def _approvals(event: TurnSuspended) -> Fields:
    """The calls themselves are told just before, with their arguments."""
    names = event.tools or event.calls
    what = f"a call of {names[0]}" if len(names) == 1 else f"calls of {', '.join(names)}"
    waiting = zip(event.calls, names, strict=True)
    return {
        **_said(f"Waiting for a person's approval of {what}."),
        "approvals": [
            {"tool_call_id": call, "tool_configuration_name": name} for call, name in waiting
        ],
    }


def _transition(event: StepChanged) -> Fields:
    return {
        "type": "step_transition",
        "from_step": event.from_step,
        "to_step": event.to_step,
        "content": handoff(event),
    }


def _compaction(event: Compacted) -> Fields:
    return {
        "type": "compaction",
        "turns_compacted": event.turns,
        "events_compacted": event.events,
        "summary_text": event.summary,
    }


# --- JSON that a model or a tool has written -----------------------------------------------------


def _object(text: str, name: str) -> Fields:
    """The schema wants an object; what is none goes under `name`."""
    value = value_or_text(text)
    return value if isinstance(value, dict) else {name: value}
