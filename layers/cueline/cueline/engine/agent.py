"""What an agent is: instructions in steps, a model, tools, skills, limits, under a key."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cueline.log.triggers import BuyTime, FollowUp


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


# --- steps ---------------------------------------------------------------------------------------


class Instruction(_Frozen):
    """A part of a step's instructions."""

    name: str
    template: str
    description: str | None = None
    metadata: dict[str, Any] | None = None
    enabled: bool = True


class Reminder(_Frozen):
    """Text that follows the newest message of a kind, each time that the model is called."""

    template: str
    hooks: tuple[Literal["input_message", "tool_output"], ...]


class NextStep(_Frozen):
    """Where the turn goes on once the step has answered; without a condition always."""

    step_name: str
    condition: str | None = None


class OutputSchema(_Frozen):
    """What a structured answer looks like; `json_schema` is its JSON Schema."""

    name: str
    json_schema: dict[str, Any]
    strict: bool | None = None
    description: str | None = None


class AgentStep(_Frozen):
    """One mode of the agent. `None` in `allowed_...` is all of the agent's, an empty one none."""

    instructions: tuple[Instruction, ...] = ()
    output: OutputSchema | None = None
    """None is plain text."""
    reminders: tuple[Reminder, ...] = ()
    next_steps: tuple[NextStep, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    allowed_skills: tuple[str, ...] | None = None
    reentry_step: str | None = None
    """Where the session's next input finds the agent, if this step was its last; None: here."""


class Skill(_Frozen):
    """Instructions on demand: the model sees the description, and the content once it asks."""

    description: str
    content: str


class Guideline(_Frozen):
    """What the agent does whenever a condition holds; the model is told of all in each call."""

    id: str
    condition: str
    action: str = ""
    description: str | None = None
    enabled: bool = True
    criticality: Literal["low", "medium", "high"] = "medium"
    metadata: dict[str, Any] = {}
    labels: tuple[str, ...] = ()
    mark: str = ""
    """As an agent's."""
    priority: int = 0
    """The higher ones are told first."""
    tags: tuple[str, ...] = ()
    """As in the door that knows such; means nothing to the engine, as do the next two."""
    composition_mode: str | None = None
    track: bool = True


# --- tools ---------------------------------------------------------------------------------------


TOOL_FUNCTIONS = "cueline-tool-"
"""The names of Lambda functions that tools may be begin so: the template allows no others."""
TOOL_FUNCTION = re.compile(
    rf"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{{12}}:function:)?"
    rf"{TOOL_FUNCTIONS}[0-9A-Za-z_-]{{1,{64 - len(TOOL_FUNCTIONS)}}}(?::[0-9A-Za-z$_-]{{1,128}})?"
)
"""Name or ARN, perhaps with a version."""
TOOL_SECRETS = "cueline/tools/"
"""The same for the names of secrets that tools may send."""
OWN_HEADERS = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Each connection's own; with some of them one request could be made to look like two."""


class _Tool(_Frozen):
    tool_id: str
    """As its door names it; means nothing to the engine."""
    description: str | None = None
    """Stands for the tool's own."""
    argument_override: dict[str, Any] = {}
    """Arguments that the model neither gives nor sees. `{"$ref": "session.metadata.x"}` is looked
    up when the tool is called."""
    timeout_seconds: float = Field(default=30.0, gt=0, le=240)
    approval: Literal["never", "required"] = "never"
    repeatable: bool = False
    """Whether a call that was cut off may be run again; else its outcome is unknown."""


class PythonTool(_Tool):
    """A function that is shipped with the bundle, in `agent_tools`."""

    kind: Literal["python"] = "python"
    function: str


class HttpTool(_Tool):
    """One request. `{name}` in the URL is an argument; the others go into query or JSON body."""

    kind: Literal["http"] = "http"
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str
    headers: dict[str, str] = {}
    secret_headers: dict[str, str] = {}
    """Header -> name of the secret in Secrets Manager that is its value."""
    parameters: dict[str, Any] = {}
    """JSON Schema of the arguments."""


class LambdaTool(_Tool):
    """Another Lambda function, invoked with the arguments as its event."""

    kind: Literal["lambda"] = "lambda"
    function_name: str
    parameters: dict[str, Any] = {}


class McpTool(_Tool):
    """A tool of a remote MCP server (streamable HTTP), or all of them where `tool_name` is None."""

    kind: Literal["mcp"] = "mcp"
    url: str
    tool_name: str | None = None
    headers: dict[str, str] = {}
    secret_headers: dict[str, str] = {}


ToolConfiguration = Annotated[
    PythonTool | HttpTool | LambdaTool | McpTool, Field(discriminator="kind")
]


# --- how turns are run ---------------------------------------------------------------------------


class Retries(_Frozen):
    """Of a model call that failed with something that may pass."""

    enabled: bool = True
    max_retries: int = Field(default=3, ge=0, le=10)
    initial_backoff_ms: int = Field(default=500, ge=100, le=60_000)
    max_backoff_ms: int = Field(default=20_000, ge=1_000, le=300_000)
    backoff_factor: float = Field(default=2.0, ge=1, le=10)


class Compaction(_Frozen):
    """When the oldest turns are summed up, and how."""

    enabled: bool = True
    threshold_percent: int = Field(default=80, ge=50, le=95)
    """Of the model's context window."""
    keep_recent_inputs: int = Field(default=3, ge=1)
    message: str | None = None
    """Further instructions for who writes the summary."""
    tool_events: Literal["exclude", "include_outputs", "include_all"] = "include_outputs"


class Caps(_Frozen):
    """What may be used up before the model is not called any more; None is no cap.

    Costs are in US dollars, by the deployment's price table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_calls: int | None = Field(default=None, ge=1)
    """Of one turn, as are the next four."""
    tool_calls: int | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, ge=1)
    cost: float | None = Field(default=None, ge=0)
    session_tokens: int | None = Field(default=None, ge=1)
    session_cost: float | None = Field(default=None, ge=0)
    key_day_tokens: int | None = Field(default=None, ge=1)
    """Of one API key on one day (UTC), by whatever agent."""
    key_day_cost: float | None = Field(default=None, ge=0)

    @property
    def costs(self) -> bool:
        """Whether anything is capped that needs prices."""
        return any(c is not None for c in (self.cost, self.session_cost, self.key_day_cost))

    def under(self, other: "Caps") -> "Caps":
        """The tighter of both, one by one."""
        both = {
            name: [cap for cap in (getattr(self, name), getattr(other, name)) if cap is not None]
            for name in Caps.model_fields
        }
        return Caps.model_validate({name: min(caps) for name, caps in both.items() if caps})


class Agent(_Frozen):
    key: str
    name: str
    description: str | None = None
    model: str
    parameters: dict[str, Any] = {}
    """Passed to the model provider as they are."""
    retries: Retries = Retries()
    first_step: str = "main"
    steps: dict[str, AgentStep] = {"main": AgentStep()}
    tools: dict[str, ToolConfiguration] = {}
    """Under the names that the steps allow them by."""
    skills: dict[str, Skill] = {}
    compaction: Compaction = Compaction()
    caps: Caps = Caps()
    guidelines: tuple[Guideline, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    """A ladder: the first is due when the customer has said nothing since the agent's answer, the
    next when nothing since that one, and so on."""
    buy_time: BuyTime | None = None
    max_iterations: int | None = None
    """Rounds of tools in one turn; None is no limit but that of `caps`."""
    composition_mode: str = "fluid"
    """As in the door that knows such modes; means nothing to the engine, as do the next two."""
    message_output_mode: str = "block"
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    enabled: bool = True
    created_at: int
    """Milliseconds since 1970, UTC."""
    updated_at: int
    version: int = 0
    """Counts the updates; an update names the one that it read."""
    mark: str = ""
    """Of the request that made it: tells a repeat of that from another one."""

    def step(self, name: str) -> AgentStep:
        """The step, or the first one where `name` is none of the agent's any more."""
        return self.steps.get(name) or self.steps.get(self.first_step) or AgentStep()

    def step_name(self, name: str) -> str:
        return name if name in self.steps else self.first_step
