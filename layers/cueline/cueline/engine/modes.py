"""Who answers in a session: hand-over to people, and back."""

from cueline.engine.append import Writer, head_of
from cueline.engine.ports import Ports
from cueline.engine.wake import wake_next
from cueline.errors import SessionNotFound
from cueline.log.events import Event, ModeChanged
from cueline.log.fold import reduce
from cueline.log.segment import Session
from cueline.log.state import Mode, State, interruption, not_for_people, withdrawal


def change_mode(ports: Ports, session: Session, mode: Mode, trace_id: str) -> None:
    """In one step: a hand-over ends the open turn, and no answer can come after it.

    Messages that waited then are answered by people, and what has the agent speak by itself is
    withdrawn, but for guided triggers; after the hand-back the agent knows all that was said, and
    answers what comes next. Writes nothing where the mode is that already. Raises
    SessionNotFound.
    """

    def build(state: State, at: int) -> tuple[Event, ...]:
        if state.deleted:
            raise SessionNotFound(session.session_key)
        if state.mode == mode:
            return ()
        if mode == "auto":
            return (ModeChanged(mode=mode),)
        stopped = interruption(state)
        left = withdrawal(not_for_people(reduce(state, at, stopped)))
        return (*stopped, *left, ModeChanged(mode=mode))

    writer = Writer(ports.log, ports.clock, session.id, trace_id)
    head, changed = writer.append(head_of(ports, session), build)
    if changed:
        wake_next(ports, session.id, head)
