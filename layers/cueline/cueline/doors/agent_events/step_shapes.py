"""Steps: from their shape on the wire to the engine's, and back; and updates of some of them."""

from collections.abc import Callable, Mapping
from typing import Any

from cueline.doors.agent_events import agent_wire as wire
from cueline.engine.agent import AgentStep, Instruction, NextStep, OutputSchema, Reminder
from cueline.errors import InvalidRequest

FIRST_STEP = "main"
"""The name of a first step that was given none."""

Steps = Mapping[str, AgentStep]


def steps_of(given: wire.CreateAgent) -> tuple[str, Steps]:
    """The first step's name, and all: as `first_step`, as `first_step_name` with `steps`, or both.

    Raises InvalidRequest where the two differ.
    """
    steps = {name: updated(AgentStep(), step) for name, step in (given.steps or {}).items()}
    name = given.first_step_name
    if given.first_step:
        first = updated(AgentStep(), given.first_step)
        first_name = given.first_step.name or name or FIRST_STEP
        if name not in (None, first_name):
            raise wrong("first_step_name", "must be that of first_step")
        if steps.setdefault(first_name, first) != first:
            raise wrong("first_step", "must be the same as in steps")
        return first_name, steps
    if not steps and name is None:
        return FIRST_STEP, {FIRST_STEP: AgentStep()}
    if not steps:
        raise wrong("steps", f"must have the step {name!r}")
    if name not in steps:
        raise wrong("first_step_name", "must name one of steps")
    return name, steps


def merged(first: str, old: Steps, given: wire.UpdateAgent) -> tuple[str, Steps]:
    """Steps are merged by name, and each field by field; a null takes out a step or a field.

    Null for all of them takes out all but the first: published clients call them additional ones.
    """
    wanted = given.first_step_name
    kept = wanted if wanted and wanted in old else first
    cleared = "steps" in given.model_fields_set and given.steps is None
    steps = {kept: old.get(kept, AgentStep())} if cleared else dict(old)
    for name, step in (given.steps or {}).items():
        if step is None:
            steps.pop(name, None)
        else:
            steps[name] = updated(steps.get(name, AgentStep()), step)
    if given.first_step:
        current = wanted if wanted and wanted in steps else first
        name = given.first_step.name or wanted or current
        if wanted not in (None, name):
            raise wrong("first_step_name", "must be that of first_step")
        if name != current and given.first_step.name is None:
            raise wrong("first_step_name", "must name one of steps, or a new name of first_step")
        if name != current and name in steps:
            raise wrong(
                "first_step.name", "is another step's; first_step_name makes that the first"
            )
        steps[current] = updated(steps.get(current, AgentStep()), given.first_step)
        return name, _renamed(steps, current, name)
    if (wanted or first) not in steps:
        raise wrong("first_step_name", "must name one of steps")
    return wanted or first, steps


def _renamed(steps: Steps, old: str, new: str) -> Steps:
    """In its place, and whatever leads to it still does."""
    if old == new:
        return steps

    def name(given: str) -> str:
        return new if given == old else given

    return {
        name(key): step.model_copy(
            update={
                "next_steps": tuple(
                    n.model_copy(update={"step_name": name(n.step_name)}) for n in step.next_steps
                ),
                "reentry_step": step.reentry_step and name(step.reentry_step),
            }
        )
        for key, step in steps.items()
    }


def updated(old: AgentStep, given: wire.StepFields) -> AgentStep:
    """With the fields that were given; null is a field's default."""
    fields = given.model_fields_set & _READ.keys()
    changes = {_READ[field][0]: _READ[field][1](getattr(given, field)) for field in fields}
    return old.model_copy(update=changes)


# --- field by field ------------------------------------------------------------------------------


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


def _output(given: wire.OutputParser | None) -> OutputSchema | None:
    if not (given and (schema := given.json_schema)):
        return None
    return OutputSchema(
        name=schema.name,
        json_schema=schema.definition,
        strict=schema.strict,
        description=schema.description,
    )


def _reminders(given: list[wire.Reminder] | None) -> tuple[Reminder, ...]:
    return tuple(
        Reminder(template=r.template, hooks=tuple(dict.fromkeys(r.hooks))) for r in given or ()
    )


def _next_steps(given: list[wire.NextStep] | None) -> tuple[NextStep, ...]:
    return tuple(NextStep(step_name=n.step_name, condition=n.condition) for n in given or ())


def _names(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(dict.fromkeys(given))


def _as_it_is(given: str | None) -> str | None:
    return given


_READ: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "instructions": ("instructions", _instructions),
    "output_parser": ("output", _output),
    "reminders": ("reminders", _reminders),
    "next_steps": ("next_steps", _next_steps),
    "allowed_tools": ("allowed_tools", _names),
    "allowed_skills": ("allowed_skills", _names),
    "reentry_step": ("reentry_step", _as_it_is),
}
"""A field on the wire: the engine's name for it, and how it is read."""


def to_wire(step: AgentStep) -> dict[str, Any]:
    """Without what says nothing."""
    optional = {
        "allowed_tools": step.allowed_tools,
        "allowed_skills": step.allowed_skills,
        "reentry_step": step.reentry_step,
        "reminders": [_reminder(r) for r in step.reminders] or None,
        "next_steps": [n.model_dump(exclude_none=True) for n in step.next_steps] or None,
    }
    return {
        "instructions": [
            {"type": "inline", "template_type": "velocity", **i.model_dump(exclude_none=True)}
            for i in step.instructions
        ],
        "output_parser": _parser(step.output),
        **{field: value for field, value in optional.items() if value is not None},
    }


def _reminder(reminder: Reminder) -> dict[str, Any]:
    return {"type": "templated", "template_type": "velocity", **reminder.model_dump(mode="json")}


def _parser(output: OutputSchema | None) -> dict[str, Any]:
    if output is None:
        return {"type": "default"}
    more = output.model_dump(exclude_none=True, include={"strict", "description"})
    schema = {"name": output.name, "schema": output.json_schema, **more}
    return {"type": "structured", "json_schema": schema}


def wrong(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {why}.", {field: why})
