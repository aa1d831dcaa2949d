"""What a posted body is to the engine: an input, and what its caller wants."""

from cueline.doors.access import payer_of
from cueline.doors.agent_events.post import (
    START,
    PostedCompaction,
    PostedDecision,
    PostedMessage,
)
from cueline.doors.idempotency import digest
from cueline.engine.accept import Arrival
from cueline.engine.agent import Agent
from cueline.engine.append import IdempotencyKey
from cueline.errors import InvalidRequest
from cueline.log.events import CompactionAsked, Input, Policy, offset_in
from cueline.log.segment import Session, Tail

MOST_UNREAD = 100
"""Events that a JSON answer tells though the window does not reach them, as after a compaction."""

Asking = PostedMessage | PostedCompaction | PostedDecision


def check_skills(posted: Asking, agent: Agent) -> None:
    """Raises InvalidRequest where the agent does not have one that the message names."""
    for name in posted.skills if isinstance(posted, PostedMessage) else ():
        if name not in agent.skills:
            why = f"the agent has no skill {name!r}"
            raise InvalidRequest(f"messages: {why}.", {"messages": why})


def arrival(
    posted: Asking,
    session: Session,
    tail: Tail,
    caller: str,
    key: str | None,
) -> Arrival:
    """Raises InvalidRequest where the events that it names cannot be told."""
    since = None
    if isinstance(posted, PostedMessage) and posted.since is not None:
        since = _since(posted, session, tail)
    asked = digest(*_identity(posted))
    return Arrival(
        _input(posted, session, tail).model_copy(
            update={
                # Whoever sends a key says by it what is a repeat.
                "digest": "" if key else digest(caller, *_identity(posted)),
                "caller": payer_of(caller),
            }
        ),
        queues=since is not None or not isinstance(posted, PostedMessage),
        # The published clients repeat what failed, but never a stream.
        retries=not posted.stream,
        since=since,
        key=IdempotencyKey(digest(caller, key), asked) if key else None,
    )


def _identity(posted: Asking) -> tuple[object, ...]:
    """What makes two posts the same, but for who sends them."""
    match posted:
        case PostedMessage(skills=()):
            return posted.texts, posted.since, posted.behavior
        case PostedMessage():
            return posted.texts, posted.since, posted.behavior, posted.skills
        case PostedCompaction():
            return "compact", posted.up_to, posted.message
        case PostedDecision():
            return "decision", posted.call, posted.decision.model_dump()


def _input(posted: Asking, session: Session, tail: Tail) -> Input:
    match posted:
        case PostedMessage():
            policy: Policy = "steer" if posted.since and posted.behavior == "steer" else "enqueue"
            return Input(policy=policy, texts=posted.texts, skills=posted.skills)
        case PostedCompaction():
            up_to = posted.up_to
            place = _offset(up_to, session, tail, "compact_up_to_event_id") if up_to else None
            return Input(compact=CompactionAsked(up_to=place, message=posted.message))
        case PostedDecision():
            return Input(policy="decision", call=posted.call, decision=posted.decision)


def _since(posted: PostedMessage, session: Session, tail: Tail) -> int:
    since = -1 if posted.since == START else _offset(posted.since or "", session, tail, "since")
    few = tail.head.state.compacted and tail.head.at - since <= MOST_UNREAD
    told = tail.whole or few or (tail.events and tail.events[0].offset <= since + 1)
    if not (posted.stream or told):
        raise InvalidRequest(
            "More has happened since than one JSON answer may hold. Set `stream_response`, or "
            "list the events and go on from the newest.",
            {"since": "too long ago"},
        )
    return since


def _offset(event: str, session: Session, tail: Tail, field: str) -> int:
    offset = offset_in(event, session.id, session.incarnation)
    if offset is None or offset >= tail.head.at:
        raise InvalidRequest(
            f"There is no event {event!r} in this session.", {field: "not an event's id"}
        )
    return offset
