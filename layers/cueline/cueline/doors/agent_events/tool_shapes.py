"""Tools: from their shape on the wire to the engine's, and back."""

from typing import Any

from cueline.doors.agent_events import tool_wire as wire
from cueline.engine.agent import HttpTool, LambdaTool, McpTool, PythonTool, ToolConfiguration


def from_wire(given: wire.Tool) -> ToolConfiguration:
    common = _given(
        tool_id=given.tool_id,
        description=given.description_template,
        argument_override=given.argument_override,
        timeout_seconds=given.timeout_seconds,
        approval=given.approval,
        repeatable=given.repeatable,
    )
    match given:
        case wire.Lambda():
            more = _given(parameters=given.parameters)
            return LambdaTool(**common, **more, function_name=given.function_name)
        case wire.Mcp(server=server):
            return McpTool(**common, **_remote(server), tool_name=given.tool_name)
        case wire.DynamicVectara(http=wire.Http() as http):
            more = _given(method=http.method, parameters=http.parameters)
            return HttpTool(**common, **_remote(http), **more)
        case _:
            return PythonTool(**common, function=given.tool_id.removeprefix(wire.PREFIX))


def _remote(given: wire.Remote) -> dict[str, Any]:
    return _given(url=given.url, headers=given.headers, secret_headers=given.secret_headers)


def _given(**fields: Any) -> dict[str, Any]:
    """Those that have a value; the engine's defaults stand for the others."""
    return {name: value for name, value in fields.items() if value is not None}


def to_wire(tool: ToolConfiguration) -> dict[str, Any]:
    """Of secrets it has the names."""
    common = {
        "tool_id": tool.tool_id,
        **_given(description_template=tool.description),
        **_filled(argument_override=tool.argument_override),
        "timeout_seconds": tool.timeout_seconds,
        "approval": tool.approval,
        "repeatable": tool.repeatable,
    }
    match tool:
        case PythonTool():
            return {"type": "dynamic_vectara", **common}
        case HttpTool():
            http = {
                "method": tool.method,
                **_reached(tool),
                **_filled(parameters=tool.parameters),
            }
            return {"type": "dynamic_vectara", **common, "http": http}
        case LambdaTool():
            own = {"function_name": tool.function_name, **_filled(parameters=tool.parameters)}
            return {"type": "lambda", **common, **own}
        case McpTool():
            own = {"server": _reached(tool), **_given(tool_name=tool.tool_name)}
            return {"type": "mcp", **common, **own}


def _reached(tool: HttpTool | McpTool) -> dict[str, Any]:
    filled = _filled(headers=tool.headers, secret_headers=tool.secret_headers)
    return {"url": tool.url, **filled}


def _filled(**fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
