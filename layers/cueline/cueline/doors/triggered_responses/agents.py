"""Agents as this door knows them: a name, a description, and how they answer.

Everything else of an agent is door 1's, and stays as it is.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from cueline.doors.creation import Creation
from cueline.doors.triggered_responses import lists
from cueline.doors.triggered_responses.errors import wrong
from cueline.doors.triggered_responses.keys import new_id
from cueline.doors.triggered_responses.shapes import shown_policies
from cueline.doors.triggered_responses.wire import (
    CompositionMode,
    Name,
    OwnFields,
    TagEdit,
    Tags,
    Text,
    edited,
    parse,
)
from cueline.engine.agent import Agent, AgentStep, Instruction
from cueline.engine.ports import Ports
from cueline.engine.sessions import TRIES
from cueline.errors import AgentExists, AgentNotFound, Unavailable

MAX_AGENT = 300_000
"""UTF-8 bytes of a whole agent; one item of the store holds it."""
DESCRIPTION = "description"
"""The name of the instruction that tells the model what the description says."""
ITERATIONS = 3

Key = Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{1,50}$")]


class AgentFields(OwnFields):
    description: Annotated[str, Field(max_length=100_000)] | None = None
    max_engine_iterations: Annotated[int, Field(ge=1, le=2**31)] | None = None
    composition_mode: CompositionMode | None = None
    message_output_mode: Literal["block", "stream"] | None = None
    model: Annotated[Text, Field(max_length=255)] | None = None
    """Cueline's own, as are the ladder of follow-ups and the buying of time."""


class CreateAgent(AgentFields):
    name: Name
    id: Key | None = None
    tags: Tags | None = None


class UpdateAgent(AgentFields):
    name: Name | None = None
    tags: TagEdit | None = None


# --- use cases -----------------------------------------------------------------------------------


def create(ports: Ports, asked: Creation) -> dict[str, Any]:
    """A repeat under its Idempotency-Key gives the agent that it made before, as it is now.

    Raises AgentExists, IdempotencyKeyReused, Unprocessable.
    """
    given = parse(CreateAgent, asked.body)
    key, now = given.id or new_id(ports.clock, asked), ports.clock.now()
    new = Agent(
        key=key,
        name=given.name,
        model="",
        max_iterations=ITERATIONS,
        tags=edited((), given.tags, None),
        created_at=now,
        updated_at=now,
        mark=asked.mark,
    )
    agent = _checked(_with(new, given))
    try:
        ports.agents.create(agent)
    except AgentExists as taken:
        try:
            found = ports.agents.get(key)
        except AgentNotFound:  # deleted just now
            raise taken from None
        if not asked.made(found.mark, found.version, now - found.created_at):
            raise
        return to_wire(found)
    return to_wire(agent)


def get(ports: Ports, key: str) -> dict[str, Any]:
    return to_wire(ports.agents.get(key))


def all_of(ports: Ports) -> list[dict[str, Any]]:
    """Oldest first. Raises InvalidRequest where one answer cannot hold them."""
    return lists.array([to_wire(agent) for agent in everyone(ports)])


def update(ports: Ports, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """What is left out or null stays as it is, but for the policies, which null takes away."""
    given = parse(UpdateAgent, body)

    def changed(agent: Agent) -> Agent:
        changes: dict[str, Any] = {}
        if given.name is not None:
            changes["name"] = given.name
        if given.tags:
            changes["tags"] = given.tags.of(agent.tags)
        return _with(agent.model_copy(update=changes), given)

    return to_wire(change(ports, key, changed))


def delete(ports: Ports, key: str) -> None:
    """Whatever sessions it has: they stay, and what is said in them fails visibly."""
    ports.agents.delete(key)


# --- what guidelines want too --------------------------------------------------------------------


def everyone(ports: Ports) -> list[Agent]:
    found: list[Agent] = []
    page_key = None
    while True:
        page = ports.agents.list(100, page_key)
        found += page.items
        if (page_key := page.next) is None:
            return found


def change(ports: Ports, key: str, to: Callable[[Agent], Agent]) -> Agent:
    """Applies `to` to the newest version. Raises AgentNotFound, and Unprocessable if too large."""
    for _ in range(TRIES):
        old = ports.agents.get(key)
        new = to(old)
        if new == old:
            return old
        version, now = old.version + 1, ports.clock.now()
        new = _checked(new.model_copy(update={"updated_at": now, "version": version}))
        if ports.agents.replace(new):
            return new
    raise Unavailable("Too many changes to this agent at once; try again.")


# --- shapes --------------------------------------------------------------------------------------


def to_wire(agent: Agent) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": agent.key,
        "name": agent.name,
        "description": agent.description,
        "max_engine_iterations": agent.max_iterations,
        "composition_mode": agent.composition_mode,
        "message_output_mode": agent.message_output_mode,
        "tags": list(agent.tags),
    }
    if agent.model:
        shown["model"] = agent.model
    return {**shown, **shown_policies(agent.follow_ups or None, agent.buy_time)}


def _with(agent: Agent, given: AgentFields) -> Agent:
    changes: dict[str, Any] = given.own()
    if changes.get("follow_ups", ()) is None:
        changes["follow_ups"] = ()
    if given.max_engine_iterations is not None:
        changes["max_iterations"] = given.max_engine_iterations
    for field in ("composition_mode", "message_output_mode", "model"):
        if (value := getattr(given, field)) is not None:
            changes[field] = value
    if given.description is not None:
        changes |= _described(agent, given.description)
    return agent.model_copy(update=changes)


def _described(agent: Agent, description: str) -> dict[str, Any]:
    """The model reads it as an instruction, unless the first step has others, of door 1's.

    Empty is none.
    """
    step = agent.steps.get(agent.first_step) or AgentStep()
    written = [one for one in step.instructions if one.name == DESCRIPTION]
    others = any(one.name != DESCRIPTION for one in step.instructions)
    changes: dict[str, Any] = {"description": description or None}
    if others and not written:
        return changes
    told = Instruction(name=DESCRIPTION, template=description)
    kept = tuple(told if one.name == DESCRIPTION else one for one in step.instructions or (told,))
    if not description:
        kept = tuple(one for one in kept if one.name != DESCRIPTION)
    changed = step.model_copy(update={"instructions": kept})
    return {**changes, "steps": {**agent.steps, agent.first_step: changed}}


def _checked(agent: Agent) -> Agent:
    if len(agent.model_dump_json().encode()) > MAX_AGENT:
        raise wrong(["body"], f"With this the agent is larger than {MAX_AGENT // 1000} KB")
    return agent
