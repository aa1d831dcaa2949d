"""The life of a session: made, found, changed, deleted, and made again under the same key."""

from collections.abc import Callable
from dataclasses import replace

from cueline.engine.append import Writer
from cueline.engine.pages import kept_page
from cueline.engine.ports import Page, Ports, WakeUp
from cueline.errors import SessionExists, SessionNotFound, Unavailable
from cueline.log.events import SessionDeleted
from cueline.log.segment import Session, Tail

RETRY_MS = 10_000
"""A delete that comes again within this time is probably its client's own retry."""
TRIES = 10
"""How often a change that others keep getting in front of is tried again."""


def create(ports: Ports, new: Session, trace_id: str) -> Session:
    """Makes `new`; sets its time and incarnation. Raises SessionExists, AgentNotFound.

    One that somebody builds, or has left behind half built, is buried.
    """
    for _ in range(TRIES):
        tail = ports.log.tail(new.id)
        now = ports.clock.now()
        if tail.live(now):
            raise SessionExists(f"There is a session {new.session_key!r} already.")
        if not _bury(ports, new.id, tail, trace_id):
            continue
        over = tail.head.incarnation
        made = replace(new, incarnation=max(now, over + 1), created_at=now)
        if ports.sessions.create(made, over):
            return made
    raise _too_many(new.id)


def find(ports: Ports, agent_key: str, session_key: str) -> tuple[Session, Tail]:
    """The live session and a look at its log; raises AgentNotFound, SessionNotFound."""
    tail = ports.log.tail(f"{agent_key}.{session_key}")
    session = tail.live(ports.clock.now())
    if not session:
        raise missing(ports, agent_key, session_key)
    return session, tail


def missing(ports: Ports, agent_key: str, session_key: str) -> SessionNotFound:
    """Raises AgentNotFound where that is the reason."""
    ports.agents.get(agent_key)
    return SessionNotFound(session_key)


def update(
    ports: Ports, agent_key: str, session_key: str, change: Callable[[Session], Session]
) -> tuple[Session, Tail]:
    """Applies `change` to the newest version; raises AgentNotFound, SessionNotFound."""
    for _ in range(TRIES):
        session, tail = find(ports, agent_key, session_key)
        changed = replace(change(session), version=session.version + 1)
        if ports.sessions.replace(changed):
            return changed, tail
    raise _too_many(session.id)


def delete(ports: Ports, agent_key: str, session_key: str, trace_id: str) -> None:
    """Ends the session for everyone at once; its content goes with the sweep.

    Also ends what an earlier delete began and did not finish. One that has just ended may come
    again. Raises AgentNotFound, SessionNotFound.
    """
    session = f"{agent_key}.{session_key}"
    tail, now = ports.log.tail(session), ports.clock.now()
    deleted = tail.head.state.deleted
    if not tail.session and deleted and now - tail.head.written_at < RETRY_MS:
        return
    unfinished = tail.session is not None and deleted
    if not unfinished and not tail.live(now):
        raise missing(ports, agent_key, session_key)
    writer = Writer(ports.log, ports.clock, session, trace_id)
    head, _ = writer.append(
        tail.head, lambda state, _: () if state.deleted else (SessionDeleted(),)
    )
    # META goes last: while it is there, a repeated delete knows that this one did not finish.
    _sweep(ports, session, head.incarnation)
    ports.sessions.remove(session, head.incarnation)


def page(
    ports: Ports,
    agent_key: str,
    keep: Callable[[Session], bool],
    limit: int,
    page_key: str | None,
) -> Page[Session]:
    """Live sessions of the agent that `keep` wants, oldest first; raises AgentNotFound."""
    ports.agents.get(agent_key)
    now = ports.clock.now()
    return kept_page(
        lambda limit, key: ports.sessions.list(agent_key, limit, key),
        lambda session: keep(session) and listed(ports, session, now),
        limit,
        page_key,
    )


def listed(ports: Ports, session: Session, now: int) -> bool:
    """Whether a stored META is shown in lists; `now` is in ms.

    Only a session that can expire costs a look at its log. One that a delete left behind half
    way is listed until the delete is repeated.
    """
    if session.building:
        return False
    young = now - session.created_at < 60_000 * session.tti_minutes
    return not session.tti_minutes or young or bool(ports.log.tail(session.id).live(now))


def any_live(ports: Ports, agent_key: str) -> bool:
    """Whether the agent has a session that somebody can still use."""
    page_key = None
    while True:
        stored = ports.sessions.list(agent_key, 100, page_key)
        now = ports.clock.now()
        if any(ports.log.tail(session.id).live(now) for session in stored.items):
            return True
        if stored.next is None:
            return False
        page_key = stored.next


def _bury(ports: Ports, session: str, tail: Tail, trace_id: str) -> bool:
    """Ends what is left of an older incarnation; False where somebody else came first."""
    head, left = tail.head, tail.session
    if not left and (head.state.deleted or not head.incarnation):
        return True
    # Its builder may be about to make it whole, which appends nothing: one of the two comes first.
    if left and left.building and not ports.sessions.replace(_claimed(left)):
        return False
    if not head.state.deleted:
        writer = Writer(ports.log, ports.clock, session, trace_id)
        if not writer.append_once(head, SessionDeleted()):
            return False  # a sign of life
    # Before the new META: who dies in between leaves nothing behind that nobody sweeps.
    _sweep(ports, session, head.incarnation)
    return True


def _claimed(left: Session) -> Session:
    return replace(left, version=left.version + 1)


def _sweep(ports: Ports, session: str, incarnation: int) -> None:
    ports.wake_ups.send(WakeUp(session, sweep=(incarnation, 1)))


def _too_many(session: str) -> Unavailable:
    return Unavailable(f"Too many changes to {session!r} at once; try again.")
