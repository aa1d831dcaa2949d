"""A session as the door's callers look at it: which events they see, and who speaks in them."""

from dataclasses import dataclass, field
from functools import cached_property

from cueline.doors.triggered_responses.shown import Fields, Names, to_wire
from cueline.engine.ports import Ports
from cueline.errors import AgentNotFound
from cueline.log.events import Recorded, ToolInput, ToolOutput
from cueline.log.segment import GUEST, Session
from cueline.log.state import State

LOOKED_BACK = 64
"""Events before a tool's output among which its call is looked for."""


@dataclass
class View:
    """Looks names up when they are first needed: most sessions' events carry them."""

    ports: Ports
    session: Session
    state: State
    """The newest that is known: it says what has been removed."""
    agent_names: dict[str, str] = field(default_factory=dict)
    """By key, as far as they are known."""
    _arguments: dict[tuple[str, str], str] = field(default_factory=dict)
    """By turn and call, as far as they have been read."""

    def shown(self, recorded: Recorded) -> Fields | None:
        """None where this door does not show it. Raises Unavailable."""
        event = recorded.event
        if isinstance(event, ToolInput) and not recorded.mark:
            self._arguments[event.turn, event.call] = event.arguments
        arguments = self._arguments_of(recorded, event) if isinstance(event, ToolOutput) else "{}"
        removed = self.state.is_removed(recorded.offset)
        names = Names(self.name_of_agent, lambda: self.customer_name)
        return to_wire(self.session, names, recorded, arguments=arguments, removed=removed)

    def listed(self, recorded: Recorded) -> Fields | None:
        """The same, without what is deleted."""
        if recorded.mark or self.state.is_removed(recorded.offset):
            return None
        return self.shown(recorded)

    def name_of_agent(self, key: str) -> str:
        """The key where the agent is not there any more."""
        if key not in self.agent_names:
            try:
                self.agent_names[key] = self.ports.agents.get(key).name
            except AgentNotFound:
                self.agent_names[key] = key
        return self.agent_names[key]

    @cached_property
    def customer_name(self) -> str:
        """The id where nobody of that id is known."""
        customer = self.session.customer
        if customer == GUEST:
            return "Guest"
        known = self.ports.customers.get(customer)
        return known.name if known else customer

    def _arguments_of(self, recorded: Recorded, event: ToolOutput) -> str:
        call = (event.turn, event.call)
        if call not in self._arguments:
            before = max(-1, recorded.offset - LOOKED_BACK - 1)
            count = recorded.offset - before - 1
            session = self.session
            for one in self.ports.log.read(session.id, session.incarnation, before, count):
                if isinstance(one.event, ToolInput) and not one.mark:
                    self._arguments[one.event.turn, one.event.call] = one.event.arguments
        return self._arguments.setdefault(call, "{}")
