"""A greeting: the agent speaks first in a session that has just been made."""

from cueline.doors.access import payer_of
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.log.events import Input
from cueline.log.segment import Session
from cueline.log.triggers import Trigger


def greet(ports: Ports, session: Session, caller: str, lease: int, trace_id: str) -> None:
    """Has the agent begin the conversation; `caller` pays. Raises Unavailable."""
    trigger = Input(
        source="system",
        trigger=Trigger(),
        caller=payer_of(caller),
        digest="greeting",
        trace=trace_id,
    )
    writer = Writer(ports.log, ports.clock, session.id, trace_id)
    accept(ports, writer, ports.log.tail(session.id), Arrival(trigger), lease, hosts=False)
