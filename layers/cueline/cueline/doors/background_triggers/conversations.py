"""Conversations: the sessions of all doors, as the published client reads them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from cueline.doors.background_triggers.calls import Call, Reply, Route
from cueline.doors.background_triggers.listing import Fields, ListQuery, Place, listed
from cueline.doors.shared import KEY, MAX_ECHO
from cueline.engine.ports import Ports
from cueline.errors import NotFound
from cueline.log.segment import GUEST, Session, Tail

LOOKED_AT_ONCE = 8
LOOKED_AHEAD = 100
"""Sessions that are looked at before anybody asks whether so many are needed."""


class ConversationNotFound(NotFound):
    """Never made, deleted, or expired."""

    noun = "conversation"


def page(call: Call) -> Reply:
    """Live ones, newest first unless asked for otherwise. May lag behind what was just made.

    `botId` and `contactId` may each name several, with commas. There are no tasks, so nothing is
    of any.
    """
    contacts, tasks = _named(call, "contactId"), _named(call, "taskId")
    return listing(call, lambda s: not tasks and (not contacts or contact_of(s) in contacts))


def listing(call: Call, keep: Callable[[Session], bool]) -> Reply:
    """Those that `keep` and the query want."""
    ports, query, bots = call.ports, ListQuery.of(call), _named(call, "botId")
    found = (
        session
        for session in ports.sessions.all()
        if keep(session)
        and (not bots or session.answering_agent in bots)
        and query.wants(session.metadata)
    )
    ordered = query.ordered(found, _place, lambda cursor: _place_of(ports, cursor))
    ahead = min(query.take or LOOKED_AHEAD, LOOKED_AHEAD)
    return listed(query, ports.clock, _looked(ports, ordered, ahead))


def fetch(call: Call) -> Fields:
    return to_wire(*find(call))


def find(call: Call) -> tuple[Session, Tail]:
    """The live session that the path names, and a look at its log."""
    given = unquote(call.path["conversation_id"])
    if _is_session(given):
        tail = call.ports.log.tail(given)
        if session := tail.live(call.ports.clock.now()):
            return session, tail
    raise ConversationNotFound(given[:MAX_ECHO])


def contact_of(session: Session) -> str | None:
    return None if session.customer == GUEST else session.customer


def to_wire(session: Session, tail: Tail) -> Fields:
    contact = contact_of(session)
    titled = session.name not in ("", session.session_key)
    return {
        "id": session.id,
        **({"name": session.name} if titled else {}),
        **({"description": session.description} if session.description else {}),
        "botId": session.answering_agent,
        **({"contactId": contact} if contact else {}),
        "meta": dict(session.metadata),
        "createdAt": session.created_at,
        "updatedAt": max(session.created_at, tail.head.written_at),
    }


# --- how -----------------------------------------------------------------------------------------


def _named(call: Call, name: str) -> frozenset[str]:
    given = ",".join(call.query.get(name, ()))
    return frozenset(one for part in given.split(",") if (one := part.strip()))


def _is_session(text: str) -> bool:
    agent, dot, key = text.partition(".")
    return bool(dot and KEY.fullmatch(agent) and KEY.fullmatch(key))


def _place(session: Session) -> Place:
    return session.created_at, session.id


def _place_of(ports: Ports, cursor: str) -> Place | None:
    """Also of one that has been deleted since: its log knows still when it was made."""
    if not _is_session(cursor):
        return None
    tail = ports.log.tail(cursor)
    if tail.session:
        return _place(tail.session)
    return (tail.head.incarnation, cursor) if tail.head.incarnation else None


def _looked(ports: Ports, found: Sequence[Session], ahead: int) -> Iterator[Fields | None]:
    """Each as its log shows it; None for what is no more."""

    def look(session: Session) -> Fields | None:
        tail = ports.log.tail(session.id)
        live = tail.live(ports.clock.now())
        # What was made again under its key has another place in the list.
        return to_wire(live, tail) if live and _place(live) == _place(session) else None

    with ThreadPoolExecutor(LOOKED_AT_ONCE) as pool:
        for at in range(0, len(found), ahead):
            yield from pool.map(look, found[at : at + ahead])


CONVERSATIONS_ROUTES = (
    Route("GET", "/conversation/list", page),
    Route("GET", "/conversation/{conversation_id}/fetch", fetch),
)
