"""The Chat Completions API's requests and answers, as strict as the real one about history."""

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from local.practice.forms import read_form
from local.practice.frames import Frame
from local.practice.heard import (
    Answer,
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
    pieces,
    read_choice,
    read_limit,
    read_tool,
    usage_of,
)

_KNOWN_WORDS = (
    "model messages stream stream_options tools tool_choice parallel_tool_calls temperature top_p "
    "max_tokens max_completion_tokens reasoning_effort verbosity n stop seed presence_penalty "
    "frequency_penalty logit_bias logprobs top_logprobs response_format metadata store user "
    "service_tier safety_identifier prompt_cache_key prediction modalities"
)
_KNOWN = frozenset(_KNOWN_WORDS.split())
_FIELDS = {
    "developer": ("role", "content", "name"),
    "system": ("role", "content", "name"),
    "user": ("role", "content", "name"),
    "assistant": (
        *("role", "content", "name", "refusal", "tool_calls"),
        *("audio", "annotations", "function_call"),  # in what the stock client hands back
    ),
    "tool": ("role", "content", "tool_call_id"),
}
_LONGEST_CALL = 40
_PARTS = {"text": "text", "refusal": "refusal", "image_url": None, "file": None}


def read(body: Mapping[str, Any]) -> Heard:
    """The request, or BadRequest where the provider would refuse it."""
    check_common(body, _KNOWN)
    messages = body.get("messages")
    check_type(messages, list, "messages")
    if not messages:
        raise BadRequest(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            param="messages",
            code="empty_array",
        )
    options = body.get("stream_options")
    if options is not None:
        check_type(options, dict, "stream_options")
        if not body.get("stream"):
            raise BadRequest(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                param="stream_options",
            )
    items = list(_items(messages))
    first = items[0] if items else None
    instructions = ""
    # This API has no field for them: a system message in front is the instructions.
    if isinstance(first, Message) and first.role == "system":
        instructions = first.text
        items = items[1:]
    tools = []
    for at, tool in enumerate(body.get("tools") or []):
        check_type(tool, dict, f"tools[{at}]")
        if tool.get("type") != "function":
            raise BadRequest(f"Invalid value: '{tool.get('type')}'.", param=f"tools[{at}].type")
        check_type(tool.get("function"), dict, f"tools[{at}].function")
        tools.append(read_tool(tool["function"], f"tools[{at}].function"))
    return Heard(
        model=body["model"],
        instructions=instructions,
        items=tuple(items),
        tools=tuple(tools),
        choice=read_choice(body.get("tool_choice"), tuple(tools)),
        parallel=body.get("parallel_tool_calls") is not False,
        thinks=body.get("reasoning_effort") not in {None, "none"},
        limit=read_limit(body, "max_completion_tokens", "max_tokens"),
        stream=body.get("stream") is True,
        with_usage=bool((options or {}).get("include_usage")),
        form=read_form(body.get("response_format"), "response_format", "json_schema"),
        asked=body,
    )


def _items(messages: list[Any]) -> Iterator[Message | Call | Output]:
    waiting: dict[str, str] = {}  # calls of the latest assistant message, not yet answered
    seen = set[str]()
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        check_type(message, dict, where)
        role = message.get("role")
        if not isinstance(role, str) or role not in _FIELDS:
            raise invalid_value(role, _FIELDS, f"{where}.role")
        check_fields(message, _FIELDS[role], where)
        if role == "tool":
            call = message.get("tool_call_id")
            if not isinstance(call, str) or call not in waiting:
                raise BadRequest(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    param=f"{where}.role",
                )
            yield Output(call, waiting.pop(call), _content(message, where, empty=True))
            continue
        _all_answered(waiting)
        if role == "assistant":
            calls = message.get("tool_calls")
            if calls is None or message.get("content") is not None:
                yield Message("assistant", _content(message, where))
            if calls is not None:
                if "content" not in message:
                    check_type(None, str, f"{where}.content")  # vLLM wants at least null
                yield from _calls(calls, where, waiting, seen)
        else:
            text = _content(message, where)
            yield Message("user" if role == "user" else "system", text)
    _all_answered(waiting)


def _all_answered(waiting: Mapping[str, str]) -> None:
    if waiting:
        raise BadRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(waiting),
            param="messages",
        )


def _calls(calls: Any, where: str, waiting: dict[str, str], seen: set[str]) -> Iterator[Call]:
    check_type(calls, list, f"{where}.tool_calls")
    if not calls:
        raise BadRequest(
            f"Invalid '{where}.tool_calls': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            param=f"{where}.tool_calls",
            code="empty_array",
        )
    for at, call in enumerate(calls):
        inner = f"{where}.tool_calls[{at}]"
        check_type(call, dict, inner)
        if call.get("type") != "function":
            raise BadRequest(f"Invalid value: '{call.get('type')}'.", param=f"{inner}.type")
        function = call.get("function")
        check_type(function, dict, f"{inner}.function")
        named = call.get("id")
        check_call(named, function, seen, _LONGEST_CALL, f"{inner}.id", f"{inner}.function")
        waiting[call["id"]] = function["name"]
        yield Call(call["id"], function["name"], function["arguments"])


def _content(message: Mapping[str, Any], where: str, *, empty: bool = False) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        check_type(content, list, f"{where}.content")
    if not empty:
        check_text(content or "", f"{where}.content")
    if isinstance(content, str):
        return content
    texts = []
    for at, part in enumerate(content or []):
        inner = f"{where}.content[{at}]"
        check_type(part, dict, inner)
        if part.get("type") not in _PARTS:
            raise BadRequest(
                f"Invalid value: '{part.get('type')}'.", param=f"{inner}.type", code="invalid_value"
            )
        field = _PARTS[part["type"]]
        if field:
            check_type(part.get(field), str, f"{inner}.{field}")
            if not empty:
                check_text(part[field], f"{inner}.{field}")
        texts.append(part[field] if field else f"[{part['type']}]")
    return "\n".join(texts)


# --- answers ------------------------------------------------------------------------------------


def whole(heard: Heard, answer: Answer) -> dict[str, Any]:
    """The answer that is not streamed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.is_refusal or not answer.texts else answer.text,
        "refusal": answer.text if answer.is_refusal else None,
        "annotations": [],
    }
    if answer.thinking:
        message["reasoning_content"] = "".join(answer.thinking)
    if answer.calls:
        message["tool_calls"] = [_tool_call(call) for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    head = _head(heard, "chat.completion")
    return {
        **head,
        "choices": [choice],
        **({"usage": _usage(heard, answer)} if answer.has_usage else {}),
    }


def frames(heard: Heard, answer: Answer) -> Iterator[Frame]:
    """The streamed answer, event by event."""
    head = _head(heard, "chat.completion.chunk")
    if heard.with_usage:
        head["usage"] = None

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice]}

    yield Frame(chunk({"role": "assistant", "content": "", "refusal": None}))
    for piece in answer.thinking:
        yield Frame(chunk({"reasoning_content": piece}), is_token=True)
    for piece in answer.texts:
        yield Frame(
            chunk({"refusal": piece} if answer.is_refusal else {"content": piece}), is_token=True
        )
    for at, call in enumerate(answer.calls):
        begun = {**_tool_call(Call(call.call, call.tool, "")), "index": at}
        yield Frame(chunk({"tool_calls": [begun]}))
        for piece in pieces(call.arguments):
            part = {"index": at, "function": {"arguments": piece}}
            yield Frame(chunk({"tool_calls": [part]}), is_token=True)
    yield Frame(chunk({}, _finish(answer)), is_end=True)
    if heard.with_usage and answer.has_usage:
        yield Frame({**head, "choices": [], "usage": _usage(heard, answer)}, is_end=True)
    yield Frame("[DONE]", is_end=True)


def error_frame(code: str, message: str) -> Frame:
    kind = "server_error" if code == "server_error" else "invalid_request_error"
    return Frame({"error": {"message": message, "type": kind, "param": None, "code": code}})


WRONG_SHAPE = Frame({"object": "chat.completion.chunk", "choices": "none"})
EMPTY = Frame({"id": "chatcmpl-empty", "object": "chat.completion.chunk", "choices": []})


def _head(heard: Heard, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": heard.model,
        "service_tier": "default",
        "system_fingerprint": "fp_practice",
    }


def _tool_call(call: Call) -> dict[str, Any]:
    function = {"name": call.tool, "arguments": call.arguments}
    return {"id": call.call, "type": "function", "function": function}


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls and answer.finish == "stop" else answer.finish


def _usage(heard: Heard, answer: Answer) -> dict[str, Any]:
    given, said, reasoning = usage_of(heard, answer)
    return {
        "prompt_tokens": given,
        "completion_tokens": said,
        "total_tokens": given + said,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
