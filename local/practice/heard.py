"""What the practice model was given and what it answers, without the shape of either API."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["user", "assistant", "system"]
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` is text, as the model may have written anything."""

    call: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Output:
    call: str
    tool: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """A request that a real provider would have taken.

    `choice` is auto, none, required, or the name of the tool that must be called; `form` the JSON
    Schema of the answer.
    """

    model: str
    instructions: str
    items: tuple[Message | Call | Output, ...]
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    thinks: bool = False
    limit: int | None = None
    stream: bool = False
    with_usage: bool = True
    form: Mapping[str, Any] | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """`texts` and `thinking` are the deltas, in order."""

    texts: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    finish: Literal["stop", "length", "content_filter"] = "stop"
    is_refusal: bool = False
    has_usage: bool = True

    @property
    def text(self) -> str:
        return "".join(self.texts)


class BadRequest(Exception):  # noqa: N818
    """A request that the provider refuses; `body` is its error, in the provider's shape."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, param=param, code=code)


def invalid_value(given: object, allowed: Iterable[str], param: str) -> BadRequest:
    known = ", ".join(map(repr, allowed))
    return BadRequest(
        f"Invalid value: '{given}'. Supported values are: {known}.",
        param=param,
        code="invalid_value",
    )


def error_body(
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_PIECE = re.compile(r"\s*\S{1,7}|\s+")


def pieces(text: str) -> tuple[str, ...]:
    """The text in what passes for tokens here; together they are the text."""
    return tuple(_PIECE.findall(text))


def usage_of(heard: Heard, answer: Answer) -> tuple[int, int, int]:
    """Input, output and reasoning tokens."""
    given = [heard.instructions, *(_text(item) for item in heard.items)]
    said = [*answer.texts, *(call.arguments for call in answer.calls)]
    reasoning = sum(len(pieces(part)) for part in answer.thinking)
    return (
        sum(len(pieces(part)) for part in given),
        sum(len(pieces(part)) for part in said) + reasoning,
        reasoning,
    )


def _text(item: Message | Call | Output) -> str:
    return item.arguments if isinstance(item, Call) else item.text


# --- checks that both APIs make -----------------------------------------------------------------


def check_type(value: object, expected: type | tuple[type, ...], where: str) -> None:
    wrong_bool = isinstance(value, bool) and expected is not bool
    if wrong_bool or not isinstance(value, expected):
        wanted = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(_NAMES.get(one, one.__name__) for one in wanted)
        got = "null" if value is None else _NAMES.get(type(value), type(value).__name__)
        raise BadRequest(
            f"Invalid type for '{where}': expected {names}, but got {got} instead.",
            param=where,
            code="invalid_type",
        )


_NAMES: dict[type, str] = {
    str: "a string",
    dict: "an object",
    list: "an array",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
}


def check_common(body: Mapping[str, Any], known: frozenset[str]) -> None:
    """Model, unknown parameters, and the types of those that both APIs have."""
    if "model" not in body:
        raise BadRequest(
            "Missing required parameter: 'model'.",
            param="model",
            code="missing_required_parameter",
        )
    check_type(body["model"], str, "model")
    for name in body:
        if name not in known:
            raise BadRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name, kinds in _TYPES.items():
        if body.get(name) is not None:
            check_type(body[name], kinds, name)
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and not 0 <= value <= most:
            raise BadRequest(
                f"Invalid '{name}': decimal outside of the range 0 to {most}.",
                param=name,
                code="decimal_above_max_value" if value > most else "decimal_below_min_value",
            )


_TYPES: dict[str, type | tuple[type, ...]] = {
    "stream": bool,
    "store": bool,
    "parallel_tool_calls": bool,
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": list,
    "metadata": dict,
    "user": str,
}


def check_fields(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise BadRequest(
                f"Unknown parameter: '{where}.{name}'.",
                param=f"{where}.{name}",
                code="unknown_parameter",
            )


def check_text(content: str | list[Any], where: str) -> None:
    """OpenAI takes messages without text; others that speak its APIs do not."""
    if not content:
        raise BadRequest(f"Invalid '{where}': it must not be empty.", param=where)


def check_name(name: object, where: str) -> None:
    check_type(name, str, where)
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(name)):
        raise BadRequest(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches "
            "the pattern '^[a-zA-Z0-9_-]+$'.",
            param=where,
            code="invalid_value",
        )


def check_call(
    call: object,
    function: Mapping[str, Any],
    seen: set[str],
    longest: int,
    id_field: str,
    where: str,
) -> None:
    """A call that the model is said to have made; `seen` are the ids of those before it."""
    check_type(call, str, id_field)
    if not 0 < len(str(call)) <= longest:
        raise BadRequest(
            f"Invalid '{id_field}': string too long or empty. Expected at most {longest} "
            "characters.",
            param=id_field,
            code="string_above_max_length",
        )
    if call in seen:
        raise BadRequest(f"Duplicate tool call id '{call}'.", param=id_field)
    seen.add(str(call))
    check_name(function.get("name"), f"{where}.name")
    check_type(function.get("arguments"), str, f"{where}.arguments")
    try:
        is_object = isinstance(json.loads(function["arguments"]), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise BadRequest(
            f"Invalid '{where}.arguments': it must be a JSON object.", param=f"{where}.arguments"
        )


def read_tool(tool: Mapping[str, Any], where: str) -> Tool:
    """The name, description and schema of a function, as both APIs have them."""
    name = tool.get("name")
    check_name(name, f"{where}.name")
    parameters = tool.get("parameters") or {}
    check_type(parameters, dict, f"{where}.parameters")
    if parameters and parameters.get("type") != "object":
        raise BadRequest(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of "
            f"'type: \"object\"', got 'type: \"{parameters.get('type')}\"'.",
            param=f"{where}.parameters",
            code="invalid_function_parameters",
        )
    description = tool.get("description") or ""
    check_type(description, str, f"{where}.description")
    return Tool(str(name), description, parameters)


def read_limit(body: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = body.get(name)
        if value is not None:
            check_type(value, int, name)
            if value < 1:
                raise BadRequest(
                    f"Invalid '{name}': integer below minimum value. Expected a value >= 1.",
                    param=name,
                    code="integer_below_min_value",
                )
            return int(value)
    return None


def read_choice(choice: object, tools: tuple[Tool, ...]) -> str:
    """auto, none, required, or a tool's name, from either API's `tool_choice`."""
    if choice is None:
        return "auto"
    if isinstance(choice, dict):
        function = choice.get("function")
        choice = choice.get("name") or (function or {}).get("name")
        if choice not in {tool.name for tool in tools}:
            raise BadRequest(
                f"Tool choice '{choice}' not found in 'tools' parameter.", param="tool_choice"
            )
    elif choice not in {"auto", "none", "required"}:
        raise BadRequest("Invalid value for 'tool_choice'.", param="tool_choice")
    return str(choice)
