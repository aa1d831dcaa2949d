"""The tools port: what the engine knows of a tool, whatever is behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cueline.engine.agent import Agent
    from cueline.log.segment import Session


LARGEST_ARGUMENTS = 100_000
"""Characters; what is longer no tool gets to see."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """`output` is text, JSON where the tool gives some; `error` that it did not do its work."""

    output: str
    error: bool = False


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One function that the model may call."""

    name: str
    """As the model calls it: up to 64 letters, digits, `_` and `-`, unique for an agent."""
    configuration: str
    """The agent's name for it."""
    tool: str
    """Its own name, where it comes from."""
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of what the model may give; what is overridden is not in it."""
    timeout: float
    """Seconds."""
    approval: bool
    repeatable: bool
    run: Callable[[Mapping[str, Any], float], ToolResult]
    """From arguments and the seconds left to the result; raises nothing. Runs in a thread of its
    own, beside others, and may be left behind there once its time is over."""


class Toolbox(Protocol):
    """The tools of an agent, as configured."""

    def specs(self, agent: "Agent", session: "Session") -> Sequence[ToolSpec]:
        """In the order of the configuration. One that cannot be reached now is there all the
        same, and says so when it is called."""

    def problem(self, schema: Mapping[str, Any], value: object) -> str | None:
        """Why the value does not fit the JSON Schema, for a model to mend; None where it does."""


class _NoTools:
    def specs(self, agent: "Agent", session: "Session") -> Sequence[ToolSpec]:  # noqa: ARG002
        return ()

    def problem(self, schema: Mapping[str, Any], value: object) -> str | None:  # noqa: ARG002
        return None


NO_TOOLS: Toolbox = _NoTools()
