"""Guidelines: what an agent does whenever a condition holds. They are kept with the agent.

Which agent that is, the tag `agent:<its id>` says, of which a guideline has exactly one.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from cueline.doors.creation import Creation
from cueline.doors.triggered_responses import agents, lists
from cueline.doors.triggered_responses.errors import wrong
from cueline.doors.triggered_responses.keys import GuidelineNotFound, agent_key_of, new_id
from cueline.doors.triggered_responses.wire import (
    CompositionMode,
    Edit,
    Id,
    LabelEdit,
    TagEdit,
    Tags,
    Text,
    Wire,
    edited,
    parse,
)
from cueline.engine.agent import Agent, Guideline
from cueline.engine.ports import Ports
from cueline.errors import AgentNotFound, Conflict, InvalidRequest

MAX_GUIDELINES = 100
"""Of one agent: its model is told of all of them, in each call."""
OF_AGENT = "agent:"
"""Begins the tag that names an agent."""

Sentence = Annotated[str, Field(max_length=10_000)]


class GuidelineFields(Wire):
    action: Sentence | None = None
    description: Sentence | None = None
    criticality: Literal["low", "medium", "high"] | None = None
    enabled: bool | None = None
    composition_mode: CompositionMode | None = None
    track: bool | None = None
    priority: Annotated[int, Field(ge=-(2**31), le=2**31)] | None = None

    def told(self) -> dict[str, Any]:
        """What was given, of the fields that are the engine's too."""
        names = GuidelineFields.model_fields
        return {n: value for n in names if (value := getattr(self, n)) is not None}


class CreateGuideline(GuidelineFields):
    condition: Annotated[Text, Field(max_length=10_000)]
    id: Id | None = None
    metadata: dict[str, Any] | None = None
    tags: Tags | None = None
    labels: Tags | None = None


class ToolEdit(Wire):
    add: list[Any] | None = None
    remove: list[Any] | None = None


class UpdateGuideline(GuidelineFields):
    condition: Annotated[Text, Field(max_length=10_000)] | None = None
    metadata: Edit | None = None
    tags: TagEdit | None = None
    labels: LabelEdit | None = None
    tool_associations: ToolEdit | None = None


class GuidelinesQuery(Wire):
    tag_id: str | None = None


# --- use cases -----------------------------------------------------------------------------------


def create(ports: Ports, asked: Creation) -> dict[str, Any]:
    """A repeat under its Idempotency-Key gives the guideline that it made before.

    An id of one's own must be unique among all agents' guidelines; of two that come to two agents
    at the same moment, both get it. Raises AgentNotFound, Conflict, IdempotencyKeyReused,
    Unprocessable.
    """
    given = parse(CreateGuideline, asked.body)
    tags = edited((), given.tags, None)
    agent_key = agent_key_of(_agent_named(tags))
    new = Guideline(
        id=given.id or f"{agent_key}.{new_id(ports.clock, asked)}",
        condition=given.condition,
        mark=asked.mark,
        metadata=given.metadata or {},
        tags=tags,
        labels=edited((), given.labels, None),
        **given.told(),
    )
    if given.id and "." in given.id:
        raise wrong(["body", "id"], "An id of your own must have no dot")
    taken = Conflict(f"There is a guideline {new.id!r} already.")
    if given.id and (found := _owner(ports, given.id)) and found.key != agent_key:
        raise taken

    def added(agent: Agent) -> Agent:
        if before := _of(agent, new.id):
            if before != new and not (asked.key and asked.made(before.mark, 0, 0)):
                raise taken
            return agent  # its client asks again
        if len(agent.guidelines) >= MAX_GUIDELINES:
            raise InvalidRequest(f"An agent may have no more than {MAX_GUIDELINES} guidelines.")
        return agent.model_copy(update={"guidelines": (*agent.guidelines, new)})

    stored = _of(agents.change(ports, agent_key, added), new.id)
    return to_wire(agent_key, stored or new)


def get(ports: Ports, guideline: str) -> dict[str, Any]:
    agent = _found(ports, guideline)
    return _with_relationships(agent, guideline)


def all_of(ports: Ports, query: GuidelinesQuery) -> list[dict[str, Any]]:
    """Raises InvalidRequest where one answer cannot hold them."""
    tag = query.tag_id or ""
    if tag.startswith(OF_AGENT):
        owner = _there(ports, tag.removeprefix(OF_AGENT))
        owners = [owner] if owner else []
    else:
        owners = agents.everyone(ports)
    told = (to_wire(agent.key, one) for agent in owners for one in agent.guidelines)
    return lists.array([one for one in told if not tag or tag in one["tags"]])


def update(ports: Ports, guideline: str, body: dict[str, Any]) -> dict[str, Any]:
    """What is left out or null stays as it is. Raises GuidelineNotFound, Unprocessable."""
    given = parse(UpdateGuideline, body)
    tools = given.tool_associations
    if tools and (tools.add or tools.remove):
        raise wrong(["body", "tool_associations"], "Tools are an agent's here, not a guideline's")

    def edited_in(agent: Agent) -> Agent:
        return _with(agent, guideline, lambda old: (_changed(agent.key, old, given),))

    agent = agents.change(ports, _found(ports, guideline).key, edited_in)
    return _with_relationships(agent, guideline)


def delete(ports: Ports, guideline: str) -> None:
    owner = _found(ports, guideline).key
    agents.change(ports, owner, lambda agent: _with(agent, guideline, lambda _: ()))


# --- how -----------------------------------------------------------------------------------------


def _agent_named(tags: Sequence[str]) -> str:
    """By the one tag that does."""
    named = [tag.removeprefix(OF_AGENT) for tag in tags if tag.startswith(OF_AGENT)]
    if len(named) != 1:
        raise wrong(
            ["body", "tags"],
            f"A guideline is one agent's: exactly one tag must be `{OF_AGENT}<the agent's id>`",
        )
    return named[0]


def _of(agent: Agent, guideline: str) -> Guideline | None:
    return next((one for one in agent.guidelines if one.id == guideline), None)


def _there(ports: Ports, agent_key: str) -> Agent | None:
    try:
        return ports.agents.get(agent_key_of(agent_key))
    except AgentNotFound:
        return None


def _owner(ports: Ports, guideline: str) -> Agent | None:
    """The agent that has it: its id begins with the agent's, but for one that somebody chose."""
    key, dot, _ = guideline.partition(".")
    if dot:
        named = _there(ports, key)
        return named if named and _of(named, guideline) else None
    return next((agent for agent in agents.everyone(ports) if _of(agent, guideline)), None)


def _found(ports: Ports, guideline: str) -> Agent:
    if not (owner := _owner(ports, guideline)):
        raise GuidelineNotFound(guideline)
    return owner


def _with(agent: Agent, guideline: str, to: Callable[[Guideline], tuple[Guideline, ...]]) -> Agent:
    """With what `to` makes of one of its guidelines. Raises GuidelineNotFound."""
    if not _of(agent, guideline):
        raise GuidelineNotFound(guideline)
    changed = [to(one) if one.id == guideline else (one,) for one in agent.guidelines]
    return agent.model_copy(update={"guidelines": tuple(one for part in changed for one in part)})


def _changed(agent_key: str, old: Guideline, given: UpdateGuideline) -> Guideline:
    changes = given.told()
    if given.condition is not None:
        changes["condition"] = given.condition
    if given.metadata:
        changes["metadata"] = given.metadata.of(old.metadata)
    if given.labels:
        changes["labels"] = given.labels.of(old.labels)
    if given.tags:
        changes["tags"] = given.tags.of(_tags(agent_key, old))
        if _agent_named(changes["tags"]) != agent_key:
            raise wrong(["body", "tags"], "A guideline cannot be moved to another agent")
    return old.model_copy(update=changes)


def _tags(agent_key: str, guideline: Guideline) -> tuple[str, ...]:
    own = f"{OF_AGENT}{agent_key}"
    return guideline.tags if own in guideline.tags else (own, *guideline.tags)


# --- shapes --------------------------------------------------------------------------------------


def to_wire(agent_key: str, guideline: Guideline) -> dict[str, Any]:
    return {
        "id": guideline.id,
        "condition": guideline.condition,
        "action": guideline.action or None,
        "description": guideline.description,
        "criticality": guideline.criticality,
        "enabled": guideline.enabled,
        "tags": list(_tags(agent_key, guideline)),
        "metadata": guideline.metadata,
        "composition_mode": guideline.composition_mode,
        "track": guideline.track,
        "labels": list(guideline.labels),
        "priority": guideline.priority,
    }


def _with_relationships(agent: Agent, guideline: str) -> dict[str, Any]:
    """Published clients want both lists, which are always empty here."""
    if not (found := _of(agent, guideline)):
        raise GuidelineNotFound(guideline)
    shown = to_wire(agent.key, found)
    return {"guideline": shown, "relationships": [], "tool_associations": []}
