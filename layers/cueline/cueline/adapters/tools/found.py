"""What the makers of tools give the toolbox, and how they fail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cueline.engine.tools import ToolResult

MOST_TOOLS = 128
"""Of an agent, all together: more than that no model takes."""


class ToolError(Exception):
    """The tool cannot do its work. The message goes to the model: what to do, and no secret."""


@dataclass(frozen=True, slots=True)
class Found:
    """One function behind a configured tool, before the agent's own settings are put over it."""

    name: str
    """Its own name, where it comes from."""
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of all arguments, those that an agent overrides included."""
    run: Callable[[Mapping[str, Any], float], ToolResult]
    """From all arguments and the seconds left to the result; may raise ToolError."""
