"""Who answers in a session: hand-over to people, and back."""

from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.wake import wake_next
from cueline.errors import SessionNotFound
from cueline.log.events import Event, ModeChanged
from cueline.log.segment import Session
from cueline.log.state import Mode, State, interruption


def change_mode(ports: Ports, session: Session, mode: Mode, trace_id: str) -> None:
    """In one step: a hand-over ends the open turn, and no answer can come after it.

    What waited then is answered by people; after the hand-back the agent knows all that was said,
    and answers what comes next. Writes nothing where the mode is that already. Raises
    SessionNotFound.
    """

    def build(state: State, _: int) -> tuple[Event, ...]:
        if state.deleted:
            raise SessionNotFound(session.session_key)
        if state.mode == mode:
            return ()
        stopped = interruption(state) if mode == "manual" else ()
        return (*stopped, ModeChanged(mode=mode))

    writer = Writer(ports.log, ports.clock, session.id, trace_id)
    head, changed = writer.append(ports.log.tail(session.id).head, build)
    if changed:
        wake_next(ports, session.id, head)
