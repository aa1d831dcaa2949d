"""What a turn tells of itself beside its answer, where somebody asks for that or listens."""

import logging

from cueline.engine.host import Host
from cueline.engine.listeners import NOBODY, Speech
from cueline.errors import CuelineError, unexpected
from cueline.log.events import TurnTyping

logger = logging.getLogger(__name__)


def tell_typing(host: Host) -> None:
    """Appends that the turn speaks, once for its trace; never keeps the answer waiting for long."""
    turn = host.state.running(host.turn)
    if host.typed or not (turn and turn.trace):
        return
    host.typed = True
    if any(isinstance(r.event, TurnTyping) and r.trace_id == turn.trace for r in host.events):
        return
    try:
        for _ in range(2):  # somebody else may have come first
            head = host.reader.head
            if not head.state.running(host.turn):
                return
            segment, found = host.writer.put(head, (TurnTyping(turn=host.turn),))
            host.reader.go_past(found or segment)
            if not found:
                return
    except CuelineError as error:
        logger.warning("That a turn speaks was not told", extra=unexpected(error))


def listened(host: Host) -> Speech | None:
    """What tells those who listen; they may come while the turn runs."""
    if host.speech or host.state.heard_until <= host.ports.clock.now():
        return host.speech
    session, incarnation = host.writer.session, host.reader.head.incarnation
    try:
        host.speech = host.ports.listeners.speech(session, incarnation, host.turn)
    except Exception as error:  # who listens is told of the answer all the same
        logger.exception("A turn is heard as a whole only", extra=unexpected(error))
        host.speech = NOBODY.speech(session, incarnation, host.turn)
    host.speech.begins()
    return host.speech


def speak(host: Host, text: str) -> None:
    """Tells them more of what the model says, once that is part of the call."""
    call = host.call
    if not (call and host.state.heard_until and (speech := listened(host))):
        return
    if host.told is call:
        speech.says(None, text)
    else:
        host.told = call
        speech.says(host.part, "".join(call.spoken.text))
