"""The model port on the Chat Completions API, as OpenAI and many others speak it."""

import json
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore2
import httpx2

from cueline.adapters.openai.client import (
    OPENAI,
    Answer,
    Patience,
    named_schema,
    shared_client,
    unique_call,
    with_parameters,
)
from cueline.adapters.openai.errors import cut, from_event, refused
from cueline.adapters.openai.event_stream import (
    ServerEvent,
    Text,
    count_of,
    json_object,
    list_of,
    malformed,
    object_of,
    text_of,
    whole,
)
from cueline.adapters.openai.thinking_tags import ThinkingTags
from cueline.engine.model import (
    Called,
    CallMade,
    Chunk,
    End,
    Item,
    Model,
    ModelRequest,
    Returned,
    Said,
    ThinkingDelta,
    Tool,
    Usage,
)
from cueline.errors import ModelError

# How long a finished answer may wait for its token counts, which come after it.
USAGE_SECONDS = 5.0
# Stands where some servers insist on an answer: between a tool's output and the user's next words.
NO_ANSWER = "\u2026"


def chat_model(*, api_key: str, base_url: str | None, idle_seconds: float = 60.0) -> "ChatModel":
    """The model port on `base_url`, OpenAI's own where it is None."""
    return ChatModel(api_key.strip(), base_url or OPENAI, idle_seconds)


class ChatModel:
    def __init__(self, api_key: str, base_url: str, idle_seconds: float) -> None:
        self._secret, self._idle = api_key, idle_seconds
        self._completions = shared_client(
            api_key, base_url
        ).chat.completions.with_streaming_response

    def stream(self, request: ModelRequest, deadline: float) -> Answer:
        body = _body(request)

        def create(**options: Any) -> Any:
            # The history goes by extra_body: the client walks typed arguments message by message.
            return self._completions.create(
                model=request.model, messages=[], stream=True, **options
            )

        def read(events: Iterator[ServerEvent], patience: Patience) -> Generator[Chunk, None, End]:
            return _Reading(self._secret, patience).chunks(events)

        return Answer(create, read, body, Patience(self._idle, deadline), self._secret)


def _body(request: ModelRequest) -> dict[str, Any]:
    body = with_parameters({}, request.parameters)
    given = body.get("stream_options")
    body["stream_options"] = {"include_usage": True, **(given if isinstance(given, dict) else {})}
    body["messages"] = _messages(request.instructions, request.items)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.output:
        form = {"type": "json_schema", "json_schema": named_schema(request.output)}
        body["response_format"] = form
    return body


def _messages(instructions: str, items: Sequence[Item]) -> list[dict[str, Any]]:
    """The messages, each tool call's output right behind it, where this API demands it."""
    outputs: dict[str, deque[str]] = {}
    for item in items:
        if isinstance(item, Returned):
            outputs.setdefault(item.call, deque()).append(item.output)
    messages: list[dict[str, Any]] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    position = 0
    while position < len(items):
        item = items[position]
        position += 1
        if isinstance(item, Said):
            _say(messages, item)
        elif isinstance(item, Called):
            calls = [item]
            while position < len(items) and isinstance(following := items[position], Called):
                calls.append(following)
                position += 1
            # Text and calls of one answer are one message.
            last = messages[-1] if messages else {}
            if last.get("role") != "assistant" or "tool_calls" in last:
                messages.append({"role": "assistant", "content": None})
            messages[-1]["tool_calls"] = [
                {
                    "id": call.call,
                    "type": "function",
                    "function": {"name": call.tool, "arguments": call.arguments},
                }
                for call in calls
            ]
            messages += [
                {"role": "tool", "tool_call_id": call.call, "content": found.popleft()}
                for call in calls
                if (found := outputs.get(call.call))
            ]
    return messages


def _say(messages: list[dict[str, Any]], said: Said) -> None:
    """One more message; user and assistant take turns, as many models' chat templates demand."""
    last = messages[-1] if messages else {}
    if said.role == last.get("role") != "system" and "tool_calls" not in last:
        last["content"] += f"\n\n{said.text}"
        return
    if said.role == "user" and last.get("role") == "tool":
        messages.append({"role": "assistant", "content": NO_ANSWER})
    messages.append({"role": said.role, "content": said.text})


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


@dataclass(slots=True)
class _Call:
    call: str
    tool: str
    arguments: str


class _Reading:
    """One answer on its way in."""

    def __init__(self, secret: str, patience: Patience) -> None:
        self._secret, self._patience = secret, patience
        self._tags, self._text, self._thinking = ThinkingTags(), Text(), Text()
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._usage: Usage | None = None
        self._finish: str | None = None

    def chunks(self, events: Iterator[ServerEvent]) -> Generator[Chunk, None, End]:
        while (event := self._next(events)) is not None:
            data = json_object(event.data)
            if data.get("error") or event.name == "error":
                raise from_event(data.get("error") or data, self._secret)
            if usage := object_of(data.get("usage")):
                details = object_of(usage.get("completion_tokens_details"))
                self._usage = Usage(
                    count_of(usage.get("prompt_tokens")),
                    count_of(usage.get("completion_tokens")),
                    count_of(details.get("reasoning_tokens")),
                )
            if choice := _choice(data):
                yield from self._delta(object_of(choice.get("delta")))
                if finish := text_of(choice.get("finish_reason")):
                    self._finish = finish
                    self._patience.idle = min(self._patience.idle, USAGE_SECONDS)
        if self._finish is None:
            raise cut()  # [DONE] alone: proxies send it also when what is behind them broke off
        return (yield from self._end(self._finish))

    def _next(self, events: Iterator[ServerEvent]) -> ServerEvent | None:
        """The next event, None when the answer is over."""
        try:
            event = next(events)
        except (httpx2.HTTPError, httpcore2.TimeoutException, ModelError):
            # A whole answer is not lost for a missing token count or [DONE].
            if self._finish is None:
                raise
            return None
        return None if event.data.strip() == b"[DONE]" else event

    def _delta(self, delta: dict[str, Any]) -> Iterator[Chunk]:
        # DeepSeek and vLLM say reasoning_content, Ollama and OpenRouter reasoning.
        thinking = delta.get("reasoning_content") or delta.get("reasoning")
        if thinking := self._thinking.add(text_of(thinking)):
            self._tags.are_text()
            yield ThinkingDelta(thinking)
        for content in (delta.get("content"), delta.get("refusal")):
            if content := self._text.add(text_of(content)):
                yield from self._tags.add(content)
        for part in list_of(delta.get("tool_calls")):
            self._call(object_of(part))

    def _call(self, part: dict[str, Any]) -> None:
        function = object_of(part.get("function"))
        given, name = text_of(part.get("id")), text_of(function.get("name"))
        index = count_of(part.get("index"))
        call = self._at.get(index)
        # Some servers number all their calls 0: a new id with a name is then a new call.
        if call is None or (given and name and call.call and given != call.call):
            call = self._at[index] = _Call(given, name, "")
            self._calls.append(call)
        call.call, call.tool = call.call or given, call.tool or name
        call.arguments += text_of(function.get("arguments"))

    def _end(self, finish: str) -> Generator[Chunk, None, End]:
        if finish == "content_filter":
            raise refused()
        if finish in {"error", "insufficient_system_resource"}:
            raise from_event({"code": "server_error"}, self._secret)
        if rest := self._text.rest():
            yield from self._tags.add(rest)
        yield from self._tags.rest()
        ids, called = set[str](), False
        for call in self._calls:
            if not call.tool:
                raise malformed("a tool call without a name")
            arguments = whole(call.arguments) or "{}"
            if finish == "length" and not _is_json(arguments):
                continue  # the token limit cut its arguments
            called = True
            yield CallMade(unique_call(call.call, ids), call.tool, arguments)
        if self._usage:
            yield self._usage
        if finish == "length":
            return End("length")
        return End("tool_calls" if called else "stop")  # some servers say stop after calls


def _choice(data: dict[str, Any]) -> dict[str, Any] | None:
    """The first choice; None in events that are about something else."""
    choices = data.get("choices")
    if not isinstance(choices, list):
        raise malformed("an event without choices")
    for choice in choices:
        found = object_of(choice)
        if not count_of(found.get("index")):
            return found
    # Empty in the event that brings the token counts, and in Azure's first.
    if not choices and not data.get("usage") and "prompt_filter_results" not in data:
        raise malformed("an event with empty choices")
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_: type[Model] = ChatModel  # mypy: it is the port
