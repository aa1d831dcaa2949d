"""A greeting: the agent speaks first in a session that has just been made."""

from cueline.engine.ports import Ports
from cueline.log.segment import Session


def greet(ports: Ports, session: Session, trace_id: str) -> None:
    """Has the agent begin the conversation. Raises Unavailable, where nothing was accepted."""
