"""Agents: from their shape on the wire to the engine's, and back; what holds them together."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from cueline.doors.agent_events import agent_wire as wire
from cueline.doors.agent_events import step_shapes, tool_shapes
from cueline.doors.agent_events.step_shapes import wrong
from cueline.doors.agent_events.tool_shapes import from_wire
from cueline.doors.agent_events.tool_wire import Tool
from cueline.doors.shared import timestamp
from cueline.doors.strict import invalid
from cueline.engine.agent import (
    Agent,
    AgentStep,
    Caps,
    Compaction,
    Retries,
    Skill,
    ToolConfiguration,
)
from cueline.engine.prompt import INVOKE_SKILL
from cueline.errors import InvalidRequest

T = TypeVar("T")

MAX_AGENT = 300_000
"""UTF-8 bytes of a whole agent; one item of the store holds it."""
MAX_ENTRIES = {"steps": 50, "tool_configurations": 64, "skills": 100}
MAX_ENTRIES_OF_STEP = {"instructions": 50, "reminders": 20, "next_steps": 50}


# --- from the wire -------------------------------------------------------------------------------


def whole(given: wire.CreateAgent, key: str) -> Agent:
    """Not yet `checked`."""
    first_step, steps = step_shapes.steps_of(given)
    return Agent(
        key=key,
        name=given.name,
        description=given.description,
        first_step=first_step,
        steps=dict(steps),
        tools=_merged({}, _tools(given.tool_configurations)),
        skills=_merged({}, _skills(given.skills)),
        compaction=_compaction(given.compaction),
        caps=_caps(given.limits),
        metadata=given.metadata or {},
        enabled=given.enabled is not False,
        created_at=0,
        updated_at=0,
        **_model(given.model),
    )


def changed(agent: Agent, given: wire.UpdateAgent) -> Agent:
    """Not yet `checked`. Omitted fields stay as they are; entries of maps change one by one."""
    fields = given.model_fields_set
    for field in ("name", "model", "first_step", "first_step_name"):
        if field in fields and getattr(given, field) is None:
            raise wrong(field, "must not be null")
    first_step, steps = step_shapes.merged(agent.first_step, agent.steps, given)
    changes: dict[str, Any] = {"first_step": first_step, "steps": dict(steps)}
    if given.name is not None:
        changes["name"] = given.name
    if given.model is not None:
        changes |= _model(given.model)
    if "description" in fields:
        changes["description"] = given.description
    if "metadata" in fields:
        changes["metadata"] = given.metadata or {}
    if "enabled" in fields:
        changes["enabled"] = given.enabled is not False
    if "compaction" in fields:
        changes["compaction"] = _compaction(given.compaction)
    if "limits" in fields:
        changes["caps"] = _caps(given.limits)
    if "tool_configurations" in fields:
        changes["tools"] = _merged(agent.tools, _tools(given.tool_configurations))
    if "skills" in fields:
        changes["skills"] = _merged(agent.skills, _skills(given.skills))
    return agent.model_copy(update=changes)


def _merged(old: Mapping[str, T], given: Mapping[str, T | None] | None) -> dict[str, T]:
    """Null takes out an entry, or all of them."""
    entries = {} if given is None else {**old, **given}
    return {name: entry for name, entry in entries.items() if entry is not None}


def _tools(
    given: Mapping[str, Tool | None] | None,
) -> dict[str, ToolConfiguration | None] | None:
    if given is None:
        return None
    return {name: None if tool is None else from_wire(tool) for name, tool in given.items()}


def _skills(given: Mapping[str, wire.Skill | None] | None) -> dict[str, Skill | None] | None:
    if given is None:
        return None
    return {
        name: None if s is None else Skill(description=s.description, content=s.content)
        for name, s in given.items()
    }


def _model(given: wire.Model) -> dict[str, Any]:
    retries = given.retry_configuration
    return {
        "model": given.name,
        "parameters": given.parameters or {},
        "retries": Retries(**retries.model_dump(exclude_none=True)) if retries else Retries(),
    }


def _compaction(given: wire.Compaction | None) -> Compaction:
    fields = given.model_dump(exclude_none=True) if given else {}
    return Compaction(**{_COMPACTION.get(name, name): value for name, value in fields.items()})


_COMPACTION = {"compaction_message": "message", "tool_event_policy": "tool_events"}


def _caps(given: wire.Limits | None) -> Caps:
    return Caps(**given.model_dump(exclude_none=True)) if given else Caps()


# --- what holds an agent together ----------------------------------------------------------------


def checked(agent: Agent) -> Agent:
    """Raises InvalidRequest for names that lead nowhere, and for what is too much."""
    if problems := dict(_problems(agent)):
        raise invalid(problems)
    if len(agent.model_dump_json().encode()) > MAX_AGENT:
        raise InvalidRequest(f"The agent is larger than {MAX_AGENT // 1000} KB.")
    return agent


def _problems(agent: Agent) -> Iterator[tuple[str, str]]:
    """Fields, with what is wrong."""
    for field, entries in (
        ("steps", agent.steps),
        ("tool_configurations", agent.tools),
        ("skills", agent.skills),
    ):
        if len(entries) > MAX_ENTRIES[field]:
            yield field, f"must not be more than {MAX_ENTRIES[field]}"
    for name in agent.tools:
        # Models call a tool by what letters their providers take of its name.
        if re.sub(r"[^0-9A-Za-z_-]", "_", name) == INVOKE_SKILL:
            yield f"tool_configurations.{name}", "is the name of the tool that loads skills"
    for name, step in agent.steps.items():
        for field, why in _problems_of_step(agent, step):
            yield f"steps.{name}.{field}", why


def _problems_of_step(agent: Agent, step: AgentStep) -> Iterator[tuple[str, str]]:
    for field, most in MAX_ENTRIES_OF_STEP.items():
        if len(getattr(step, field)) > most:
            yield field, f"must not be more than {most}"
    for n, following in enumerate(step.next_steps):
        if following.step_name not in agent.steps:
            yield f"next_steps.{n}.step_name", "must name one of steps"
    if step.reentry_step is not None and step.reentry_step not in agent.steps:
        yield "reentry_step", "must name one of steps"
    for n, name in enumerate(step.allowed_tools or ()):
        if name not in agent.tools:
            yield f"allowed_tools.{n}", "must name one of tool_configurations"
    for n, name in enumerate(step.allowed_skills or ()):
        if name not in agent.skills:
            yield f"allowed_skills.{n}", "must name one of skills"


# --- to the wire ---------------------------------------------------------------------------------


def to_wire(agent: Agent) -> dict[str, Any]:
    """What can be PUT back as it is.

    Callers that gave `steps` get `first_step` too: published clients cannot do without. Of secrets
    there are names only.
    """
    steps = {name: step_shapes.to_wire(step) for name, step in agent.steps.items()}
    model = {
        "name": agent.model,
        "parameters": agent.parameters,
        "retry_configuration": agent.retries.model_dump(),
    }
    limits = agent.caps.model_dump(exclude_none=True)
    return {
        "key": agent.key,
        "name": agent.name,
        **({} if agent.description is None else {"description": agent.description}),
        "tool_configurations": {n: tool_shapes.to_wire(tool) for n, tool in agent.tools.items()},
        "model": model,
        "skills": {name: skill.model_dump() for name, skill in agent.skills.items()},
        "first_step": {"name": agent.first_step, **steps[agent.first_step]},
        "first_step_name": agent.first_step,
        "steps": steps,
        "metadata": agent.metadata,
        "enabled": agent.enabled,
        "compaction": _compaction_to_wire(agent.compaction),
        **({"limits": limits} if limits else {}),
        "tool_output_offloading": {"enabled": False},
        "created_at": timestamp(agent.created_at),
        "updated_at": timestamp(agent.updated_at),
    }


def _compaction_to_wire(compaction: Compaction) -> dict[str, Any]:
    names = {engine: public for public, engine in _COMPACTION.items()}
    fields = compaction.model_dump(exclude_none=True)
    return {names.get(name, name): value for name, value in fields.items()}
