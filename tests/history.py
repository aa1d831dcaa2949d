"""A checker of provider history, as strict as the strictest servers that speak OpenAI's two APIs.

It reads request bodies as they go over the wire. Each rule says whose it is: OpenAI's own, or that
of a compatible server, named where the rule was seen to be its own. A request that breaks one is
refused by at least that server, with 400, and so is every later one with the same history.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cueline.adapters.openai import chat, responses
from cueline.engine.model import ModelRequest
from cueline.log.conversation import Item

# OpenAI: «string does not match pattern» and «string too long».
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# OpenAI: «string too long», which differs between its APIs.
_LONGEST_CHAT_CALL, _LONGEST_RESPONSES_CALL = 40, 64

_CHAT_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {
        *("role", "content", "name", "refusal", "tool_calls"),
        *("audio", "annotations", "function_call"),
    },
    "tool": {"role", "content", "tool_call_id"},
}
_RESPONSES_FIELDS = {
    "message": {"type", "role", "content", "id", "status"},
    "function_call": {"type", "call_id", "name", "arguments", "id", "status"},
    "function_call_output": {"type", "call_id", "output", "id", "status"},
}


def problems_of(items: Sequence[Item]) -> list[str]:
    """Why a server of either API would refuse this conversation; nobody is asked an empty one."""
    if not items:
        return []
    asked = ModelRequest("m", "Be kind.", tuple(items))
    return problems_of_chat(chat._body(asked)) + problems_of_responses(responses._body(asked))


def problems_of_chat(body: Mapping[str, Any]) -> list[str]:
    """Why a server would refuse these `messages`; empty where all would take them."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return ["messages: empty or no list"]  # OpenAI: empty_array
    return list(_chat(messages))


def _chat(messages: Sequence[Any]) -> Iterator[str]:
    waiting: list[str] = []
    calls: set[str] = set()
    for n, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _CHAT_FIELDS:
            yield f"{n}: no message of a known role"  # OpenAI: invalid_value
            continue
        yield from _unknown(n, message, _CHAT_FIELDS[role])
        if role == "tool":
            call = message.get("tool_call_id")
            if call not in waiting:
                # OpenAI: must be a response to a preceding message with tool_calls, and but one.
                yield f"{n}: an output without a call that waits for it"
            else:
                waiting.remove(call)
            if not isinstance(message.get("content"), str | list):
                yield f"{n}: an output that is no text"  # OpenAI: invalid_type
            continue
        if waiting:
            # OpenAI: tool_calls must be followed by a tool message for each of its ids.
            yield f"{n}: a message before the output of {waiting}"
            waiting.clear()
        if role == "assistant" and message.get("tool_calls") is not None:
            made = message["tool_calls"]
            if "content" not in message:
                yield f"{n}: no content beside tool_calls, not even null"  # vLLM, SGLang
            elif message["content"] is not None:
                yield from _content(n, message)
            if not isinstance(made, list) or not made:
                yield f"{n}: empty tool_calls"  # OpenAI: empty_array
                continue
            for call in made:
                yield from _chat_call(n, call, waiting, calls)
        else:
            yield from _content(n, message)
    if waiting:
        yield f"the end: no output of {waiting}"  # OpenAI, as above


def _chat_call(n: int, call: Any, waiting: list[str], calls: set[str]) -> Iterator[str]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type") != "function":
        yield f"{n}: a call of no function"  # OpenAI: invalid_value
        return
    yield from _call(n, call.get("id"), function, calls, _LONGEST_CHAT_CALL)
    waiting.append(call.get("id"))


def problems_of_responses(body: Mapping[str, Any]) -> list[str]:
    """Why a server would refuse this `input`; empty where all would take it."""
    given = body.get("input")
    if isinstance(given, str) and given:
        return []
    if not isinstance(given, list) or not given:
        return ["input: empty, or neither text nor a list"]  # OpenAI: empty_array
    return list(_responses(given))


def _responses(given: Sequence[Any]) -> Iterator[str]:
    waiting: list[str] = []
    calls: set[str] = set()
    answered = False
    for n, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind not in _RESPONSES_FIELDS:
            yield f"{n}: no item of a known type"  # OpenAI: invalid_value
            continue
        yield from _unknown(n, item, _RESPONSES_FIELDS[kind])
        if kind == "function_call_output":
            if item.get("call_id") not in waiting:
                # OpenAI: no tool call found. Others: but one output for each call.
                yield f"{n}: an output without a call that waits for it"
            else:
                waiting.remove(item["call_id"])
            if not isinstance(item.get("output"), str | list):
                yield f"{n}: an output that is no text"  # OpenAI: invalid_type
            answered = True
            continue
        if waiting and (kind == "message" or answered):
            # vLLM and whoever else makes chat messages of them: as in the other API.
            yield f"{n}: an item before the output of {waiting}"
            waiting.clear()
        answered = False
        if kind == "message":
            if item.get("role") not in {"user", "assistant", "system", "developer"}:
                yield f"{n}: no message of a known role"  # OpenAI: invalid_value
            yield from _content(n, item)
        else:
            yield from _call(n, item.get("call_id"), item, calls, _LONGEST_RESPONSES_CALL)
            waiting.append(item.get("call_id"))
    if waiting:
        yield f"the end: no output of {waiting}"  # OpenAI: no tool output found


def problems_of_templates(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the chat templates of Mistral's and Gemma's models refuse, and Qwen's of the last rule.

    vLLM and llama.cpp answer 400 or 500 then; OpenAI takes all of it. To be asked of messages that
    `problems_of_chat` has nothing against, and that end where an answer is asked for.
    """
    found = []
    start = 1 if messages and messages[0]["role"] == "system" else 0
    expected, before = "user", "system"
    for n, message in enumerate(messages[start:], start):
        role = message["role"]
        if role in {"system", "developer"}:
            found.append(f"{n}: a system message that is not the first")
        elif role == "user" and before == "tool":
            found.append(f"{n}: a user's message right after a tool's")  # Mistral: code 3230
        elif role == "user" and expected != "user":
            found.append(f"{n}: two user messages in a row")
        elif role == "assistant" and before in {"system", "assistant"}:
            found.append(f"{n}: an answer to nobody")
        expected = "user" if role == "assistant" else "assistant"
        before = role
    if before not in {"user", "tool"}:
        found.append(f"the end: a {before} message")  # Mistral: expected last role user or tool
    return found


# --- rules of both APIs --------------------------------------------------------------------------


def _content(n: int, message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if not isinstance(content, str | list):
        yield f"{n}: no content"  # OpenAI: invalid_type
    elif not content:
        yield f"{n}: empty content"  # vLLM with Mistral's tokenizer, Anthropic; OpenAI takes it
    elif isinstance(content, list) and not all(_part(part) for part in content):
        yield f"{n}: an empty part, or one that is none"  # OpenAI for none, Anthropic for empty


def _part(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    return "text" not in part["type"] or bool(part.get("text"))


def _call(
    n: int, call: Any, function: Mapping[str, Any], calls: set[str], longest: int
) -> Iterator[str]:
    if not isinstance(call, str) or not 0 < len(call) <= longest:
        yield f"{n}: a call whose id is no text, empty or too long"  # OpenAI
    elif call in calls:
        # Mistral: not the same number of calls and responses. Responses: duplicate outputs.
        yield f"{n}: {call} is called twice"
    calls.add(str(call))
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"{n}: a call of a function with no such name"
    if not isinstance(arguments, str):
        yield f"{n}: arguments that are no text"  # OpenAI: invalid_type
    elif not _is_object(arguments):
        yield f"{n}: arguments that are no JSON object"  # vLLM, SGLang, llama.cpp


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _unknown(n: int, given: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    if others := set(given) - known:
        yield f"{n}: unknown fields {others}"  # OpenAI: unknown_parameter
