"""An agent in requests as the public schema has it, and what Cueline lets callers say beside it."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cueline.doors.agent_events.schemas import AnswerSchema, strict_problem
from cueline.doors.agent_events.tool_wire import ToolConfiguration
from cueline.doors.agent_events.wire import Metadata, Template
from cueline.doors.body import has_controls
from cueline.doors.strict import Key, Name, RareWire
from cueline.engine import conditions
from cueline.errors import NotBuilt

# --- types of fields -----------------------------------------------------------------------------

StepName = Annotated[Name, Field(max_length=255)]
SkillName = Annotated[Name, Field(max_length=100)]
ToolName = Annotated[Name, Field(max_length=64)]


def _not(other: str) -> BeforeValidator:
    """Refuses this `type`, which the schema has too; any other wrong one is an error as usual."""

    def refuse(value: Any) -> Any:
        if value == other:
            raise NotBuilt(f"The type `{other}`")
        return value

    return BeforeValidator(refuse)


def _condition(text: str) -> str:
    conditions.parse(text)
    return text


def _schema_name(name: str) -> str:
    if not re.fullmatch(r"[0-9a-zA-Z_-]{1,64}", name):
        raise ValueError("must be 1 to 64 letters, digits, `_` or `-`")
    return name


def _model_name(name: str) -> str:
    if name and not name.strip():
        raise ValueError("must not be blank")
    if has_controls(name):
        raise ValueError("must not contain control characters")
    return name


def _switched_off(value: Any) -> Any:
    if isinstance(value, dict) and (set(value) != {"enabled"} or value["enabled"] is not False):
        raise NotBuilt('The field `tool_output_offloading`, other than {"enabled": false},')
    return value


def _of_deployment(value: Any) -> None:
    if value is not None:
        raise ValueError("is not an agent's: it is set for the whole deployment")


OfDeployment = Annotated[None, BeforeValidator(_of_deployment)]


# --- steps ---------------------------------------------------------------------------------------


class InlineInstruction(RareWire):
    type: Annotated[Literal["inline"], _not("reference")] = "inline"
    name: Annotated[Name, Field(max_length=50)]
    template: Template
    template_type: Literal["velocity"] | None = None
    description: str | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None


class JsonSchema(RareWire):
    name: Annotated[str, AfterValidator(_schema_name)]
    definition: AnswerSchema = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _is_strict(self) -> Self:
        if self.strict and (problem := strict_problem(self.definition)):
            raise ValueError(problem)
        return self


class OutputParser(RareWire):
    type: Literal["default", "structured"] = "default"
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> Self:
        if (self.type == "structured") != (self.json_schema is not None):
            raise ValueError("needs `json_schema` with the type `structured`, and only with that")
        return self


class Reminder(RareWire):
    type: Annotated[Literal["templated"], _not("glossary_expansion")] = "templated"
    template: Template
    template_type: Literal["velocity"] | None = None
    hooks: Annotated[list[Literal["input_message", "tool_output"]], Field(min_length=1)]


class NextStep(RareWire):
    step_name: StepName
    condition: Annotated[str, AfterValidator(_condition)] | None = None


class StepFields(RareWire):
    type: str | None = None
    """Deprecated; ignored by the public service too."""
    output_parser: OutputParser | None = None
    reminders: list[Reminder] | None = None
    next_steps: list[NextStep] | None = None
    allowed_tools: list[str] | None = None
    allowed_skills: list[str] | None = None
    reentry_step: str | None = None


class Step(StepFields):
    instructions: list[InlineInstruction]


class FirstStep(Step):
    name: StepName | None = None


class StepUpdate(StepFields):
    instructions: list[InlineInstruction] | None = None


class FirstStepUpdate(StepUpdate):
    name: StepName | None = None


class Skill(RareWire):
    description: Annotated[Name, Field(max_length=500)]
    content: Annotated[Name, Field(max_length=50_000)]


# --- how turns are run ---------------------------------------------------------------------------


class Retries(RareWire):
    """With the public schema's defaults, where a caller says anything at all."""

    enabled: bool | None = None
    max_retries: Annotated[int, Field(ge=0, le=10)] | None = None
    initial_backoff_ms: Annotated[int, Field(ge=100, le=60_000)] | None = 1_000
    max_backoff_ms: Annotated[int, Field(ge=1_000, le=300_000)] | None = 30_000
    backoff_factor: Annotated[float, Field(ge=1, le=10)] | None = None


class Model(RareWire):
    name: Annotated[str, AfterValidator(_model_name)]
    """Empty is the deployment's own, as agents of other doors have it that name none."""
    parameters: dict[str, Any] | None = None
    retry_configuration: Retries | None = None


class Compaction(RareWire):
    enabled: bool | None = None
    threshold_percent: Annotated[int, Field(ge=50, le=95)] | None = None
    keep_recent_inputs: Annotated[int, Field(ge=1, le=2**31)] | None = None
    compaction_message: Annotated[str, Field(max_length=10_000)] | None = None
    tool_event_policy: Literal["exclude", "include_outputs", "include_all"] | None = None


class Limits(RareWire):
    """Cueline's own: what may be used up before the model is not called any more."""

    model_calls: Annotated[int, Field(ge=1)] | None = None
    tool_calls: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    cost: Annotated[float, Field(ge=0)] | None = None
    session_tokens: Annotated[int, Field(ge=1)] | None = None
    session_cost: Annotated[float, Field(ge=0)] | None = None
    key_day_tokens: OfDeployment = None
    key_day_cost: OfDeployment = None


# --- agents --------------------------------------------------------------------------------------


class AgentFields(RareWire):
    description: str | None = None
    first_step_name: StepName | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None
    compaction: Compaction | None = None
    limits: Limits | None = None
    tool_output_offloading: Annotated[dict[str, bool] | None, BeforeValidator(_switched_off)] = None


class CreateAgent(AgentFields):
    name: Annotated[Name, Field(max_length=50)]
    tool_configurations: dict[ToolName, ToolConfiguration]
    model: Model
    key: Key | None = None
    skills: dict[SkillName, Skill] | None = None
    first_step: FirstStep | None = None
    steps: dict[StepName, Step] | None = None


class ReplaceAgent(CreateAgent):
    created_at: str | None = None
    """With `updated_at` accepted, so that what GET gave can be PUT back; the server's own count."""
    updated_at: str | None = None


class UpdateAgent(AgentFields):
    """In its maps, null takes an entry out."""

    name: Annotated[Name, Field(max_length=50)] | None = None
    tool_configurations: dict[ToolName, ToolConfiguration | None] | None = None
    model: Model | None = None
    skills: dict[SkillName, Skill | None] | None = None
    first_step: FirstStepUpdate | None = None
    steps: dict[StepName, StepUpdate | None] | None = None
