"""Tools that a test makes of plain functions, and what a model says that calls them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cueline.engine.agent import Agent
from cueline.engine.model import CallMade, Chunk, End, TextDelta
from cueline.engine.tools import ToolResult, ToolSpec
from cueline.log.segment import Session

ANYTHING = {"type": "object"}


def spec(
    name: str,
    run: Callable[[Mapping[str, Any], float], ToolResult],
    *,
    approval: bool = False,
    repeatable: bool = False,
    timeout: float = 5.0,
    required: Sequence[str] = (),
) -> ToolSpec:
    schema = {**ANYTHING, "required": list(required)}
    return ToolSpec(name, name, name, f"Does {name}.", schema, timeout, approval, repeatable, run)


@dataclass
class FakeToolbox:
    """Gives the same tools to every agent; `ran` remembers the calls that were run."""

    tools: list[ToolSpec] = field(default_factory=list)
    ran: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, name: str, output: str | ToolResult = "done", **more: Any) -> None:
        def run(arguments: Mapping[str, Any], _: float) -> ToolResult:
            self.ran.append((name, dict(arguments)))
            return output if isinstance(output, ToolResult) else ToolResult(output)

        self.tools.append(spec(name, more.pop("run", run), **more))

    def specs(self, agent: Agent, session: Session) -> Sequence[ToolSpec]:
        return self.tools

    def problem(self, schema: Mapping[str, Any], value: object) -> str | None:
        missing = [n for n in schema.get("required", ()) if n not in (value or {})]  # type: ignore[operator]
        return f"{missing[0]!r} is required." if missing else None


def calls(*made: tuple[str, dict[str, Any]], text: str = "", at: int = 0) -> list[Chunk]:
    """An answer that calls these tools; ids count from `at`."""
    said = [TextDelta(text)] if text else []
    asked = [
        CallMade(f"c{at + n}", name, json.dumps(arguments))
        for n, (name, arguments) in enumerate(made)
    ]
    return [*said, *asked, End("tool_calls")]


def says(text: str) -> list[Chunk]:
    return [TextDelta(text), End("stop")]
