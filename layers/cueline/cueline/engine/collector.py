"""What happens when the store has dropped a session's META, by its hint or after a delete."""

from dataclasses import replace

from cueline.engine.append import Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.errors import AgentNotFound, Unavailable
from cueline.log.events import SessionDeleted
from cueline.log.segment import Head, Session
from cueline.log.state import State


def collect(ports: Ports, removed: Session, trace_id: str) -> None:
    """Ends the session if it has expired, and has its log removed; else puts its META back.

    The hint is set late and moved rarely, so it is checked against the log, which decides. May
    be repeated.
    """
    tail = ports.log.tail(removed.id)
    if tail.session:
        return  # it is there again: put back, or made anew, which saw to the old log
    seen = tail.head
    if seen.incarnation < removed.incarnation:  # nothing was ever said in it
        seen = Head(removed.incarnation, 0, State())
    if not seen.state.deleted:
        alive = replace(tail, session=removed, head=seen).live(ports.clock.now())
        if alive and _has_agent(ports, removed):
            # Or somebody else has put it back, or made it anew, which saw to the old log.
            ports.sessions.create(removed, over=removed.incarnation - 1)
            return
        writer = Writer(ports.log, ports.clock, removed.id, trace_id)
        if not writer.append_once(seen, SessionDeleted()):
            raise Unavailable("A segment came after the judgement; look again.")
    ports.wake_ups.send(WakeUp(removed.id, sweep=(removed.incarnation, 1)))


def _has_agent(ports: Ports, session: Session) -> bool:
    try:
        return bool(ports.agents.get(session.agent_key))
    except AgentNotFound:
        return False
