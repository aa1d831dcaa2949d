"""The Responses API's requests, as strict as the real one about history."""

from collections.abc import Iterator, Mapping
from typing import Any

from local.practice.forms import read_form
from local.practice.heard import (
    BadRequest,
    Call,
    Heard,
    Message,
    Output,
    check_call,
    check_common,
    check_fields,
    check_text,
    check_type,
    invalid_value,
    read_choice,
    read_limit,
    read_tool,
)

_KNOWN_WORDS = (
    "model input instructions stream stream_options store tools tool_choice parallel_tool_calls "
    "temperature top_p max_output_tokens max_tool_calls reasoning text truncation metadata user "
    "include service_tier safety_identifier prompt_cache_key top_logprobs background "
    "previous_response_id conversation prompt"
)
_KNOWN = frozenset(_KNOWN_WORDS.split())
_STATEFUL = ("previous_response_id", "conversation", "background", "prompt")
_ROLES = ("assistant", "system", "developer", "user")
_FIELDS = {
    "message": ("type", "role", "content", "id", "status"),
    "function_call": ("type", "call_id", "name", "arguments", "id", "status"),
    "function_call_output": ("type", "call_id", "output", "id", "status"),
    "reasoning": ("type", "id", "summary", "content", "encrypted_content", "status"),
}
_LONGEST_CALL = 64
_PARTS: dict[str, dict[str, str | None]] = {
    "user": {"input_text": "text", "input_image": None, "input_file": None},
    "assistant": {"output_text": "text", "refusal": "refusal"},
}


def read(body: Mapping[str, Any]) -> Heard:
    """The request, or BadRequest where the provider would refuse it."""
    check_common(body, _KNOWN)
    for name in _STATEFUL:
        if body.get(name):
            raise BadRequest(f"The practice model keeps nothing: no '{name}'.", param=name)
    given = body.get("input")
    if not given:
        raise BadRequest(
            "Missing required parameter: 'input'."
            if given is None
            else "Invalid 'input': it must not be empty.",
            param="input",
            code="missing_required_parameter" if given is None else "empty_array",
        )
    check_type(given, (str, list), "input")
    items = [Message("user", given)] if isinstance(given, str) else list(_items(given))
    instructions = body.get("instructions") or ""
    check_type(instructions, str, "instructions")
    reasoning = body.get("reasoning") or {}
    check_type(reasoning, dict, "reasoning")
    text = body.get("text") or {}
    check_type(text, dict, "text")
    check_fields(text, ("format", "verbosity"), "text")
    tools = []
    for at, tool in enumerate(body.get("tools") or []):
        check_type(tool, dict, f"tools[{at}]")
        if tool.get("type") != "function":
            raise BadRequest(f"Invalid value: '{tool.get('type')}'.", param=f"tools[{at}].type")
        tools.append(read_tool(tool, f"tools[{at}]"))
    return Heard(
        model=body["model"],
        instructions=instructions,
        items=tuple(items),
        tools=tuple(tools),
        choice=read_choice(body.get("tool_choice"), tuple(tools)),
        parallel=body.get("parallel_tool_calls") is not False,
        thinks=bool(reasoning) and reasoning.get("effort") != "none",
        limit=read_limit(body, "max_output_tokens"),
        stream=body.get("stream") is True,
        form=read_form(text.get("format"), "text.format"),
        asked=body,
    )


def _items(given: list[Any]) -> Iterator[Message | Call | Output]:
    waiting: dict[str, str] = {}
    seen = set[str]()
    answered = False
    for at, item in enumerate(given):
        where = f"input[{at}]"
        check_type(item, dict, where)
        kind = item.get("type", "message" if "role" in item else None)
        if not isinstance(kind, str) or kind not in _FIELDS:
            raise BadRequest(
                f"Invalid value: '{kind}'.", param=f"{where}.type", code="invalid_value"
            )
        check_fields(item, _FIELDS[kind], where)
        # Compatible servers make chat messages of them, where a call's output comes next.
        if kind == "message" or (kind == "function_call" and answered):
            _all_answered(waiting)
        answered = kind == "function_call_output"
        match kind:
            case "message":
                yield _message(item, where)
            case "function_call":
                call = item.get("call_id")
                check_call(call, item, seen, _LONGEST_CALL, f"{where}.call_id", where)
                waiting[item["call_id"]] = item["name"]
                yield Call(item["call_id"], item["name"], item["arguments"])
            case "function_call_output":
                check_type(item.get("call_id"), str, f"{where}.call_id")
                check_type(item.get("output"), (str, list), f"{where}.output")
                if item["call_id"] not in waiting:
                    raise BadRequest(
                        "No tool call found for function call output with call_id "
                        f"{item['call_id']}.",
                        param="input",
                    )
                yield Output(item["call_id"], waiting.pop(item["call_id"]), str(item["output"]))
            case "reasoning":
                continue  # a client may hand back what the model thought
    _all_answered(waiting)


def _all_answered(waiting: Mapping[str, str]) -> None:
    if waiting:
        raise BadRequest(
            f"No tool output found for function call {next(iter(waiting))}.", param="input"
        )


def _message(item: Mapping[str, Any], where: str) -> Message:
    role = item.get("role")
    if role not in _ROLES:
        raise invalid_value(role, _ROLES, f"{where}.role")
    content = item.get("content")
    check_type(content, (str, list), f"{where}.content")
    check_text(content or "", f"{where}.content")
    text = content if isinstance(content, str) else "\n".join(_parts(role, content or [], where))
    return Message(
        "user" if role == "user" else "assistant" if role == "assistant" else "system", text
    )


def _parts(role: str, content: list[Any], where: str) -> Iterator[str]:
    allowed = _PARTS["assistant" if role == "assistant" else "user"]
    for at, part in enumerate(content):
        inner = f"{where}.content[{at}]"
        check_type(part, dict, inner)
        kind = part.get("type")
        if kind not in allowed:
            raise invalid_value(kind, allowed, f"{inner}.type")
        field = allowed[kind]
        if field:
            check_type(part.get(field), str, f"{inner}.{field}")
            check_text(part[field], f"{inner}.{field}")
        yield part[field] if field else f"[{kind}]"
