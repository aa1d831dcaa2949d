"""A session with what was said in it, whichever door it was said through."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from cueline.doors.client_commands import frames
from cueline.doors.client_commands.asked import CHANNEL, MODALITY
from cueline.doors.client_commands.calls import Call
from cueline.doors.client_commands.connections import client_of, tags_of
from cueline.doors.shared import count_that_fits, timestamp
from cueline.doors.strict import parse
from cueline.engine.listeners import LONGEST_CONNECTION
from cueline.engine.settings import settings_at
from cueline.engine.window import read_pages
from cueline.errors import SessionNotFound
from cueline.log.events import (
    Answered,
    Event,
    Input,
    PartlyAnswered,
    Posted,
    Recorded,
    Spoke,
    TurnFailed,
    event_id,
)
from cueline.log.segment import Session, Tail
from cueline.log.state import State

MOST = 1000
STRETCH = 200
"""Events that are looked at at a time, from the newest back: a plain turn has five or so."""
READ_SECONDS = 10.0
"""After which the answer has what was found until then."""
YOUNG_MS = 10_000
"""How long it may take until an open connection is told what stands in the log."""

_NUMBER = re.compile(r"[0-9]{1,18}")

Role = Literal["agent", "user", "system"]


def _limit(value: str) -> int:
    if not (_NUMBER.fullmatch(value) and 1 <= int(value) <= MOST):
        raise ValueError(f"must be an integer from 1 to {MOST:,}")
    return int(value)


def _before(value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise ValueError("must be the offset of an event: an integer, 0 or more")
    return int(value)


class TranscriptQuery(BaseModel):
    """Cueline's own. Other query parameters mean nothing and are ignored."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    limit: Annotated[int, BeforeValidator(_limit)] = MOST
    """Of the newest items."""
    before: Annotated[int, BeforeValidator(_before)] | None = None
    """The offset below which the newest one is looked for."""


def get(call: Call) -> dict[str, Any]:
    """Raises SessionNotFound, InvalidRequest."""
    ports = call.ports
    query = parse(TranscriptQuery, {name: v[-1] for name, v in call.query.items() if v})
    tail, now = ports.log.tail(call.session), ports.clock.now()
    session = tail.live(now)
    if not session:
        raise SessionNotFound(call.session)
    state = tail.head.state
    settings = settings_at(ports.log, session.id, session.incarnation, state.settings)
    return {
        "id": session.id,
        "agentId": session.answering_agent,
        "sessionType": CHANNEL,
        "modality": MODALITY,
        "status": _status(call, session, state, now),
        "externalClientId": client_of(session),
        "tags": tags_of(session),
        "settings": settings.model_dump(exclude_none=True),
        "createdAt": timestamp(session.created_at),
        "cost": state.used.cost / 1e9,
        "conversation": _conversation(call, session, tail, query),
    }


def _status(call: Call, session: Session, state: State, now: int) -> str:
    """`pending` until somebody listens, `closed` once nobody does any more."""
    if not state.heard_until:
        return "pending"
    opened_at = state.heard_until - 1000 * LONGEST_CONNECTION
    young = now - opened_at < YOUNG_MS
    listening = young or call.realtime.connections.of(session.id, session.incarnation, now)
    return "started" if listening else "closed"


# --- what was said -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    role: Role
    text: str
    item: str = ""
    """The message's id in frames; empty is the event's own."""
    author: str = ""
    """Who said it in the agent's place."""


def said(event: Event) -> Said | None:
    match event:
        case Input() if event.speaks:
            return Said(event.source, "\n\n".join(event.texts))
        case Posted(kind="message", source="user"):
            return Said("user", event.text)
        case Posted(kind="message"):
            return Said("agent", event.text, author=event.source)
        case Spoke() | Answered() | PartlyAnswered() | TurnFailed():
            item = frames.spoken(event.turn, event.part)["item_id"]
            return Said("agent", event.text, item=item)
    return None


def _conversation(
    call: Call, session: Session, tail: Tail, query: TranscriptQuery
) -> dict[str, Any]:
    """The newest items, oldest first; `before` asks for those that came before them."""
    until = call.ports.clock.monotonic() + READ_SECONDS
    end = tail.head.at if query.before is None else min(query.before, tail.head.at)
    found: list[dict[str, Any]] = []  # newest first
    while end and len(found) < query.limit:
        start = max(0, end - STRETCH)
        found += reversed([*_items(call, session, tail.head.state, start, end)])
        end = start
        if call.ports.clock.monotonic() >= until:
            break
    shown = found[: query.limit]
    shown = shown[: count_that_fits(shown)]
    if len(shown) < len(found):
        end = shown[-1]["offset"]
    return {"items": shown[::-1], "before": end or None}


def _items(
    call: Call, session: Session, state: State, start: int, end: int
) -> Iterator[dict[str, Any]]:
    pages: Iterator[Sequence[Recorded]] = read_pages(
        call.ports.log, session.id, session.incarnation, start, end
    )
    for recorded in chain.from_iterable(pages):
        if recorded.mark or state.is_removed(recorded.offset):
            continue
        if (told := said(recorded.event)) and told.text.strip():
            yield _item(session, recorded, told)


def _item(session: Session, recorded: Recorded, told: Said) -> dict[str, Any]:
    own_id = event_id(session.id, session.incarnation, recorded.offset)
    return {
        "id": told.item or own_id,
        "role": told.role,
        "text": told.text,
        "timestamp": recorded.created_at // 1000,
        "offset": recorded.offset,
        **({"author": told.author} if told.author else {}),
    }
