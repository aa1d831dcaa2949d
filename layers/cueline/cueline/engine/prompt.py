"""From an agent in one of its steps, and the conversation, to what the model is asked."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cueline.engine import guidelines
from cueline.engine.agent import Agent, AgentStep
from cueline.engine.model import ModelRequest, Returned, Said, Tool
from cueline.engine.tools import ToolSpec
from cueline.log.conversation import Item, conversation, size
from cueline.log.events import (
    Compacted,
    Input,
    ModelCalled,
    Posted,
    Recorded,
    SkillLoaded,
    ToolOutput,
)
from cueline.log.triggers import told

INVOKE_SKILL = "invoke_skill"
"""The tool by which the model asks for a skill."""


def request(
    agent: Agent,
    step: AgentStep,
    events: Sequence[Recorded],
    specs: Iterable[ToolSpec],
    window: int,
    turn: str,
) -> ModelRequest:
    """What the agent is asked in this step of the turn. `window` is in bytes of conversation."""
    tools = [Tool(spec.name, spec.description, spec.parameters) for spec in specs]
    skills = allowed_skills(agent, step)
    if skills:
        tools.append(_skill_tool(skills))
    return ModelRequest(
        model=agent.model,
        instructions=_instructions(agent, step, skills),
        items=_reminded(conversation(events, window, turn), step),
        parameters=agent.parameters,
        tools=tuple(tools),
        output=step.output,
    )


def allowed_skills(agent: Agent, step: AgentStep) -> list[str]:
    return [n for n in agent.skills if step.allowed_skills is None or n in step.allowed_skills]


def allowed_specs(step: AgentStep, specs: Iterable[ToolSpec]) -> list[ToolSpec]:
    allowed = step.allowed_tools
    return [spec for spec in specs if allowed is None or spec.configuration in allowed]


def _instructions(agent: Agent, step: AgentStep, skills: Sequence[str]) -> str:
    parts = [i.template for i in step.instructions if i.enabled]
    if skills:
        listed = [f"- {name}: {agent.skills[name].description}" for name in skills]
        parts.append(f"Skills that `{INVOKE_SKILL}` loads:\n" + "\n".join(listed))
    if standing := guidelines.instruction(agent, reports=step.output is None):
        parts.append(standing)
    return "\n\n".join(parts)


def _skill_tool(skills: Sequence[str]) -> Tool:
    name = {"type": "string", "enum": list(skills), "description": "Which skill"}
    return Tool(
        INVOKE_SKILL,
        "Loads the full instructions of a skill, before you do what it is for.",
        {
            "type": "object",
            "properties": {"skill_name": name},
            "required": ["skill_name"],
            "additionalProperties": False,
        },
    )


def _reminded(items: tuple[Item, ...], step: AgentStep) -> tuple[Item, ...]:
    """Reminders become part of the newest message of their kind: no role comes twice by them."""
    reminded = list(items)
    for reminder in step.reminders:
        if "input_message" in reminder.hooks:
            _append(reminded, Said, reminder.template)
        if "tool_output" in reminder.hooks and reminded and isinstance(reminded[-1], Returned):
            _append(reminded, Returned, reminder.template)
    return tuple(reminded)


def _append(items: list[Item], kind: type, text: str) -> None:
    for n in range(len(items) - 1, -1, -1):
        item = items[n]
        if not isinstance(item, kind):
            continue
        if isinstance(item, Said) and item.role == "user":
            items[n] = replace(item, text=f"{item.text}\n\n{text}")
            return
        if isinstance(item, Returned):
            items[n] = replace(item, output=f"{item.output}\n\n{text}")
            return


# --- how much that is ----------------------------------------------------------------------------


def estimated_tokens(text: str) -> int:
    """Rather too many than too few: three bytes of plain text, two of any other, are a token."""
    if text.isascii():
        return len(text) // 3 + 1
    return len(text.encode("utf-8", "surrogatepass")) // 2 + 1


def tokens_of(asked: ModelRequest) -> int:
    """An estimate of what the provider will count, on the safe side."""
    tools = sum(len(t.description) + len(str(t.parameters)) for t in asked.tools)
    said = sum(_tokens_of_item(item) for item in asked.items)
    return said + estimated_tokens(asked.instructions) + tools // 3


def _tokens_of_item(item: Item) -> int:
    match item:
        case Said():
            return estimated_tokens(item.text) + 6
        case Returned():
            return estimated_tokens(item.output) + 12
        case _:
            return size(item) // 3 + 12


def tokens_in(events: Sequence[Recorded]) -> int:
    """An estimate of what these events take in the context."""
    said = (t for r in events for t in getattr(r.event, "texts", ()))
    fields = ("text", "arguments", "output", "content")
    written = (getattr(r.event, name, "") for r in events for name in fields)
    return sum(estimated_tokens(text) for text in (*said, *written) if text)


def context_tokens(events: Sequence[Recorded]) -> int | None:
    """What the next call's context comes to: as the provider counted the last one, and since.

    None where no call has been counted since the newest compaction.
    """
    added = 0
    for recorded in reversed(events):
        event = recorded.event
        match event:
            case ModelCalled(purpose="answer"):
                return event.input_tokens + event.output_tokens + added
            case Compacted():
                return None
            case Input():
                beside = event.policy == "aside"
                told_of = told(event.trigger, beside=beside) if event.trigger else ""
                added += sum(map(estimated_tokens, (*event.texts, told_of)))
            case Posted(kind="message"):
                added += estimated_tokens(event.text)
            case ToolOutput():
                added += estimated_tokens(event.output)
            case SkillLoaded():
                added += estimated_tokens(event.content)
    return None
