"""Conversations: the sessions of all doors, as the published client reads them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from urllib.parse import unquote

from cueline.doors.background_triggers.calls import Call, Reply, Route
from cueline.doors.background_triggers.listing import Fields, ListQuery, listed
from cueline.doors.shared import KEY, MAX_ECHO
from cueline.engine.ports import Place, Ports
from cueline.errors import NotFound
from cueline.log.segment import GUEST, Session, Tail

LOOKED_AT_ONCE = 8


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

    def wanted(session: Session) -> bool:
        of_bot = not bots or session.answering_agent in bots
        return of_bot and keep(session) and query.wants(session.metadata)

    found = ports.sessions.all(query.part(lambda cursor: _place_of(ports, cursor)))
    return listed(query, ports.clock, _looked(ports, found, wanted, query.ahead))


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


def _place_of(ports: Ports, cursor: str) -> Place | None:
    """Also of one that has been deleted since: its log knows still when it was made."""
    if not _is_session(cursor):
        return None
    tail = ports.log.tail(cursor)
    if tail.session:
        return tail.session.place
    agent, _, key = cursor.partition(".")
    made = tail.head.incarnation
    return Session(agent, key, made, name="", created_at=made).place if made else None


def _looked(
    ports: Ports, found: Iterator[Session], wanted: Callable[[Session], bool], ahead: int
) -> Iterator[Fields | None]:
    """Each as its log shows it; None for what is no more, or is not wanted."""

    def look(session: Session) -> Fields | None:
        if not wanted(session):
            return None
        tail = ports.log.tail(session.id)
        live = tail.live(ports.clock.now())
        # What was made again under its key has another place in the list.
        return to_wire(live, tail) if live and live.place == session.place else None

    with ThreadPoolExecutor(LOOKED_AT_ONCE) as pool:
        while some := [*islice(found, ahead)]:
            yield from pool.map(look, some)


CONVERSATIONS_ROUTES = (
    Route("GET", "/conversation/list", page),
    Route("GET", "/conversation/{conversation_id}/fetch", fetch),
)
