"""Arguments that an agent gives to its tools by itself, unseen by the model."""

from collections.abc import Mapping
from typing import Any

from cueline.adapters.tools.found import ToolError
from cueline.engine.agent import Agent
from cueline.log.segment import Session

REFERENCE, LITERAL = "$ref", "$$ref"


def without(parameters: Mapping[str, Any], overridden: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of what is left for the model to give; of an object in any case."""
    schema = {"type": "object", "properties": {}, **parameters}
    properties = schema["properties"]
    if isinstance(properties, Mapping):
        schema["properties"] = {
            name: one for name, one in properties.items() if name not in overridden
        }
    required = schema.get("required")
    if isinstance(required, list):
        schema["required"] = [name for name in required if name not in overridden]
    if not schema.get("required"):
        schema.pop("required", None)
    return schema


def resolved(overrides: Mapping[str, Any], agent: Agent, session: Session) -> dict[str, Any]:
    """The arguments, each `{"$ref": "session.metadata.x"}` replaced by what it names.

    A key that is written `$$ref` is a plain `$ref`. Raises ToolError where a reference names
    nothing.
    """
    known = {
        "session": {"metadata": session.metadata},
        "agent": {"metadata": agent.metadata},
    }
    return {name: _resolved(value, known) for name, value in overrides.items()}


def _resolved(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {REFERENCE}:
            return _named(str(value[REFERENCE]), known)
        return {
            REFERENCE if key == LITERAL else key: _resolved(one, known)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_resolved(one, known) for one in value]
    return value


def _named(reference: str, known: Mapping[str, Any]) -> Any:
    found: Any = known
    parts = reference.removeprefix(".").split(".")
    for part in parts:
        if not isinstance(found, Mapping) or part not in found or len(parts) < 3:
            raise ToolError(
                f"This tool needs {reference}, which is not set. Whoever made the agent or the "
                "session can set it."
            )
        found = found[part]
    return found
