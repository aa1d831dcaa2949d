"""Agents: their use cases, and their shape on the wire."""

from collections.abc import Callable, Mapping
from typing import Any

from cueline.doors.agent_events import lists, wire
from cueline.doors.agent_events.creation import Creation
from cueline.doors.agent_events.keys import new_key
from cueline.engine.agent import Agent, Instruction
from cueline.engine.pages import kept_page
from cueline.engine.ports import Ports
from cueline.engine.sessions import TRIES, any_live
from cueline.errors import (
    AgentExists,
    AgentInUse,
    AgentNotFound,
    InvalidRequest,
    NotBuilt,
    Unavailable,
)

MAX_AGENT = 300_000
"""UTF-8 bytes of a whole agent; one item of the store holds it."""
FIRST_STEP = "main"
"""The name of a first step that was given none."""

Body = Mapping[str, Any]


# --- use cases -----------------------------------------------------------------------------------


def create(ports: Ports, asked: Creation) -> dict[str, Any]:
    """A repeat gives the agent that it made before, as it is now.

    Without a key of its own and without an Idempotency-Key nothing tells a repeat: two make two.
    Raises AgentExists, IdempotencyKeyReused, InvalidRequest, NotBuilt.
    """
    given = wire.parse(wire.CreateAgent, asked.body)
    fixed = given.key or asked.own_key("agt")
    for tries in range(TRIES):
        key = fixed or new_key("agt", given.name, ports.clock, tries)
        now = ports.clock.now()
        made = {"created_at": now, "updated_at": now, "mark": asked.mark}
        agent = _checked(_whole(given, key).model_copy(update=made))
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
    given = wire.parse(wire.UpdateAgent, body)
    return _change(ports, key, lambda agent: _merged(agent, given))


def replace(ports: Ports, key: str, body: Body) -> dict[str, Any]:
    """Omitted fields get their defaults; key and time of making stay."""
    given = wire.parse(wire.ReplaceAgent, body)
    if given.key not in (None, key):
        raise InvalidRequest("An agent's key cannot be changed.", {"key": "must be as in the path"})
    return _change(
        ports,
        key,
        lambda old: _whole(given, key).model_copy(
            update={"created_at": old.created_at, "version": old.version, "mark": old.mark}
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
        changed = _checked(change(ports.agents.get(key)))
        changed = changed.model_copy(
            update={"updated_at": ports.clock.now(), "version": changed.version + 1}
        )
        if ports.agents.replace(changed):
            return to_wire(changed)
    raise Unavailable("Too many changes to this agent at once; try again.")


def _checked(agent: Agent) -> Agent:
    if len(agent.model_dump_json().encode()) > MAX_AGENT:
        raise InvalidRequest(f"The agent is larger than {MAX_AGENT // 1000} KB.")
    return agent


# --- from the wire -------------------------------------------------------------------------------


def _whole(given: wire.CreateAgent, key: str) -> Agent:
    step_name, step = _first_step(given)
    return Agent(
        key=key,
        name=given.name,
        description=given.description,
        model=given.model.name,
        parameters=given.model.parameters or {},
        step_name=step_name,
        instructions=_instructions(step.instructions if step else None),
        metadata=given.metadata or {},
        enabled=given.enabled is not False,
        created_at=0,
        updated_at=0,
    )


def _first_step(given: wire.CreateAgent) -> tuple[str, wire.Step | None]:
    """The one step: as `first_step`, or as `first_step_name` with `steps`, or both if equal."""
    first, steps = given.first_step, dict(given.steps or {})
    name = given.first_step_name
    if first:
        first_name = first.name or name or FIRST_STEP
        if name not in (None, first_name):
            raise _wrong("first_step_name", "must be that of first_step")
        steps.setdefault(first_name, first)
        if steps[first_name].instructions != first.instructions:
            raise _wrong("first_step", "must be the same as in steps")
        name = first_name
    _one_step(steps)
    if not steps:
        if name:
            raise _wrong("steps", f"must have the step {name!r}")
        return FIRST_STEP, None
    if name not in steps:
        raise _wrong("first_step_name", "must name one of steps")
    return name, steps[name]


def _merged(agent: Agent, given: wire.UpdateAgent) -> Agent:
    fields = given.model_fields_set
    for field in ("name", "model", "first_step", "first_step_name"):
        if field in fields and getattr(given, field) is None:
            raise _wrong(field, "must not be null")
    changes: dict[str, Any] = {}
    if given.name is not None:
        changes["name"] = given.name
    if given.model is not None:
        changes |= {"model": given.model.name, "parameters": given.model.parameters or {}}
    if "description" in fields:
        changes["description"] = given.description
    if "metadata" in fields:
        changes["metadata"] = given.metadata or {}
    if "enabled" in fields:
        changes["enabled"] = given.enabled is not False
    return agent.model_copy(update=changes | _merged_step(agent, given))


def _merged_step(agent: Agent, given: wire.UpdateAgent) -> dict[str, Any]:
    """Steps are merged by key, and each field by field; null is a step without instructions."""
    cleared = "steps" in given.model_fields_set and given.steps is None
    steps = {} if cleared else {agent.step_name: agent.instructions}
    for name, step in (given.steps or {}).items():
        if step is None:
            steps.pop(name, None)
        else:
            steps[name] = _updated(step, steps.get(name, ()))
    first = given.first_step_name or agent.step_name
    if given.first_step:
        old = steps.pop(agent.step_name, ())
        first = given.first_step.name or agent.step_name
        steps[first] = _updated(given.first_step, old)
        if given.first_step_name not in (None, first):
            raise _wrong("first_step_name", "must be that of first_step")
    _one_step(steps)
    if cleared and not steps and not given.first_step_name:
        return {"step_name": FIRST_STEP, "instructions": ()}
    if first not in steps:
        raise _wrong("first_step_name", "must name one of steps")
    return {"step_name": first, "instructions": steps[first]}


def _updated(step: wire.StepUpdate, old: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    given = "instructions" in step.model_fields_set
    return _instructions(step.instructions) if given else old


def _one_step(steps: Mapping[str, object]) -> None:
    if len(steps) > 1:
        raise NotBuilt("An agent of more than one step")


def _instructions(given: list[wire.InlineInstruction] | None) -> tuple[Instruction, ...]:
    return tuple(
        Instruction(
            name=i.name,
            template=i.template,
            description=i.description,
            metadata=i.metadata,
            enabled=i.enabled is not False,
        )
        for i in given or ()
    )


def _wrong(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {why}.", {field: why})


# --- to the wire ---------------------------------------------------------------------------------


def to_wire(agent: Agent) -> dict[str, Any]:
    """Callers that gave `steps` get `first_step` too: published clients cannot do without."""
    step = {
        "instructions": [_instruction_to_wire(i) for i in agent.instructions],
        "output_parser": {"type": "default"},
    }
    return {
        "key": agent.key,
        "name": agent.name,
        **({} if agent.description is None else {"description": agent.description}),
        "tool_configurations": {},
        "model": {"name": agent.model, "parameters": agent.parameters},
        "first_step": {"name": agent.step_name, **step},
        "first_step_name": agent.step_name,
        "steps": {agent.step_name: step},
        "metadata": agent.metadata,
        "enabled": agent.enabled,
        "created_at": wire.timestamp(agent.created_at),
        "updated_at": wire.timestamp(agent.updated_at),
    }


def _instruction_to_wire(instruction: Instruction) -> dict[str, Any]:
    return {
        "type": "inline",
        "template_type": "velocity",
        **instruction.model_dump(exclude_none=True),
    }
