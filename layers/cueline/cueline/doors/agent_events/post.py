"""What a client posts to a session, checked."""

import json
from dataclasses import dataclass
from typing import Literal

from cueline.doors.agent_events import posted
from cueline.doors.body import check_text, has_controls, read_json
from cueline.doors.strict import parse
from cueline.engine.tools import LARGEST_ARGUMENTS
from cueline.errors import InvalidRequest, NotBuilt
from cueline.log.events import Decision

START = "start"


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """`stream` asks for server-sent events, `since` for all events after one, and to queue."""

    texts: tuple[str, ...]
    stream: bool
    skills: tuple[str, ...] = ()
    since: str | None = None
    behavior: Literal["steer", "follow_up"] = "follow_up"


@dataclass(frozen=True, slots=True)
class PostedInterrupt:
    stream: bool


@dataclass(frozen=True, slots=True)
class PostedCompaction:
    """`up_to` is the id of the newest event to sum up; None leaves that to the agent."""

    stream: bool
    up_to: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class PostedDecision:
    """On a tool call that waits for approval."""

    stream: bool
    call: str
    decision: Decision


Posted = PostedMessage | PostedInterrupt | PostedCompaction | PostedDecision


def parse_post(raw: bytes, content_type: str) -> Posted:
    """Raises InvalidRequest, InvalidMessageContent, NotBuilt."""
    if content_type.strip().lower().startswith("multipart/form-data"):
        raise NotBuilt("Uploading files (multipart/form-data)")
    body = read_json(raw, content_type)
    match body.get("type"):
        case "interrupt":
            return PostedInterrupt(bool(parse(posted.Interrupt, body).stream_response))
        case "compact":
            asked = parse(posted.Compact, body)
            return PostedCompaction(
                bool(asked.stream_response),
                asked.compact_up_to_event_id,
                asked.compaction_message or "",
            )
        case "tool_decision":
            return _decision(parse(posted.ToolDecision, body))
    return _message(parse(posted.InputMessage, body))


def _message(given: posted.InputMessage) -> PostedMessage:
    texts = [m.content for m in given.messages if isinstance(m, posted.TextMessage)]
    skills = [m.skill_name for m in given.messages if isinstance(m, posted.SkillMessage)]
    check_text(texts)
    return PostedMessage(
        tuple(texts),
        bool(given.stream_response),
        tuple(dict.fromkeys(skills)),
        given.since,
        given.behavior or "follow_up",
    )


def _decision(given: posted.ToolDecision) -> PostedDecision:
    if (given.arguments is not None) != (given.decision == "edit"):
        why = "come with the decision `edit`, and only with it"
        raise InvalidRequest(f"arguments {why}.", {"arguments": why})
    message, arguments = given.message or "", ""
    if has_controls(message):
        why = "must not contain control characters"
        raise InvalidRequest(f"message {why}.", {"message": why})
    if given.arguments is not None:
        arguments = json.dumps(given.arguments, ensure_ascii=False)
    if len(arguments) > LARGEST_ARGUMENTS:
        why = f"must not have more than {LARGEST_ARGUMENTS:,} characters"
        raise InvalidRequest(f"arguments {why}.", {"arguments": why})
    decision = Decision(verdict=given.decision, arguments=arguments, note=message.strip())
    return PostedDecision(bool(given.stream_response), given.tool_call_id, decision)
