"""Agents: their use cases."""

from collections.abc import Callable, Mapping
from typing import Any

from cueline.doors.agent_events import lists
from cueline.doors.agent_events.agent_shapes import changed, checked, to_wire, whole
from cueline.doors.agent_events.agent_wire import CreateAgent, ReplaceAgent, UpdateAgent
from cueline.doors.agent_events.keys import new_key
from cueline.doors.creation import Creation
from cueline.doors.strict import parse
from cueline.engine.agent import Agent
from cueline.engine.pages import kept_page
from cueline.engine.ports import Ports
from cueline.engine.sessions import TRIES, any_live
from cueline.errors import (
    AgentExists,
    AgentInUse,
    AgentNotFound,
    InvalidRequest,
    Unavailable,
)

Body = Mapping[str, Any]

OTHER_DOORS = (
    *("guidelines", "follow_ups", "buy_time", "max_iterations"),
    *("composition_mode", "message_output_mode", "tags"),
)
"""Fields that this door's callers do not see, and so cannot mean to clear."""


def create(ports: Ports, asked: Creation) -> dict[str, Any]:
    """A repeat gives the agent that it made before, as it is now.

    Without a key of its own and without an Idempotency-Key nothing tells a repeat: two make two.
    Raises AgentExists, IdempotencyKeyReused, InvalidRequest, NotBuilt.
    """
    given = parse(CreateAgent, asked.body)
    fixed = given.key or asked.own_key("agt")
    for tries in range(TRIES):
        key = fixed or new_key("agt", given.name, ports.clock, tries)
        now = ports.clock.now()
        made = {"created_at": now, "updated_at": now, "mark": asked.mark}
        agent = checked(whole(given, key).model_copy(update=made))
        try:
            ports.agents.create(agent)
        except AgentExists:
            if fixed and (found := _there(ports, key)):
                if not asked.made(found.mark, found.version, now - found.created_at):
                    raise
                return to_wire(found)
        else:
            return to_wire(agent)
    raise Unavailable("No free key was found; give one.")


def get(ports: Ports, key: str) -> dict[str, Any]:
    return to_wire(ports.agents.get(key))


def page(ports: Ports, query: lists.ListQuery) -> dict[str, Any]:
    matches = lists.text_filter(query.filter)

    def keep(agent: Agent) -> bool:
        return query.enabled in (None, agent.enabled) and matches(agent.name, agent.description)

    return lists.page_answer(
        "agents",
        lambda limit: kept_page(ports.agents.list, keep, limit, query.page_key),
        to_wire,
        query.limit,
    )


def update(ports: Ports, key: str, body: Body) -> dict[str, Any]:
    """Omitted fields stay as they are."""
    given = parse(UpdateAgent, body)
    return _change(ports, key, lambda agent: changed(agent, given))


def replace(ports: Ports, key: str, body: Body) -> dict[str, Any]:
    """Omitted fields get their defaults; key and time of making stay, and what is other doors'."""
    given = parse(ReplaceAgent, body)
    if given.key not in (None, key):
        raise InvalidRequest("An agent's key cannot be changed.", {"key": "must be as in the path"})
    return _change(
        ports,
        key,
        lambda old: whole(given, key).model_copy(
            update={
                field: getattr(old, field)
                for field in ("created_at", "version", "mark", *OTHER_DOORS)
            }
        ),
    )


def delete(ports: Ports, key: str) -> None:
    """Raises AgentNotFound, AgentInUse."""
    ports.agents.get(key)
    if any_live(ports, key):
        raise AgentInUse(f"The agent {key!r} still has sessions; delete them first.")
    ports.agents.delete(key)


def _there(ports: Ports, key: str) -> Agent | None:
    try:
        return ports.agents.get(key)
    except AgentNotFound:
        return None


def _change(ports: Ports, key: str, change: Callable[[Agent], Agent]) -> dict[str, Any]:
    for _ in range(TRIES):
        new = checked(change(ports.agents.get(key)))
        new = new.model_copy(update={"updated_at": ports.clock.now(), "version": new.version + 1})
        if ports.agents.replace(new):
            return to_wire(new)
    raise Unavailable("Too many changes to this agent at once; try again.")
