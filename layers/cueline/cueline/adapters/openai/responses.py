"""The model port on the OpenAI Responses API."""

from collections.abc import Generator, Iterator
from typing import Any

from cueline.adapters.openai.client import (
    OPENAI,
    Answer,
    Patience,
    named_schema,
    shared_client,
    unique_call,
    with_parameters,
)
from cueline.adapters.openai.errors import from_event, refused
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
    TextDelta,
    ThinkingDelta,
    Tool,
    Usage,
)

_THINKING = {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}
_TEXT = {"response.output_text.delta", "response.refusal.delta"}
# The conversation's own words for "operator, not user"; OpenAI ranks it above the user.
_ROLE = {"user": "user", "assistant": "assistant", "system": "developer"}


def responses_model(
    *, api_key: str, base_url: str | None, idle_seconds: float = 60.0
) -> "ResponsesModel":
    """The model port on `base_url`, OpenAI's own where it is None."""
    return ResponsesModel(api_key.strip(), base_url or OPENAI, idle_seconds)


class ResponsesModel:
    def __init__(self, api_key: str, base_url: str, idle_seconds: float) -> None:
        self._secret, self._idle = api_key, idle_seconds
        self._responses = shared_client(api_key, base_url).responses.with_streaming_response

    def stream(self, request: ModelRequest, deadline: float) -> Answer:
        body = _body(request)

        def create(**options: Any) -> Any:
            # The history goes by extra_body: the client walks typed arguments message by message.
            return self._responses.create(model=request.model, input=[], stream=True, **options)

        def read(events: Iterator[ServerEvent], _: Patience) -> Generator[Chunk, None, End]:
            return _read(events, self._secret)

        return Answer(create, read, body, Patience(self._idle, deadline), self._secret)


def _body(request: ModelRequest) -> dict[str, Any]:
    own: dict[str, Any] = {"store": False}  # the log is the only store
    body = with_parameters(own, request.parameters)
    body["input"] = [_input(item) for item in request.items]
    if request.instructions:
        body["instructions"] = request.instructions
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.output:
        form = {"type": "json_schema", **named_schema(request.output)}
        body["text"] = {**object_of(body.get("text")), "format": form}
    return body


def _input(item: Item) -> dict[str, Any]:
    match item:
        case Said(role=role, text=text):
            return {"role": _ROLE[role], "content": text}
        case Called(call=call, tool=tool, arguments=arguments):
            return {"type": "function_call", "call_id": call, "name": tool, "arguments": arguments}
        case Returned(call=call, output=output):
            return {"type": "function_call_output", "call_id": call, "output": output}


def _tool(tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
        "strict": False,  # the default is strict, which refuses most real schemas
    }


def _read(events: Iterator[ServerEvent], secret: str) -> Generator[Chunk, None, End]:
    thinking, text, calls = Text(), Text(), set[str]()
    for event in events:
        data = json_object(event.data)
        kind = data.get("type") or event.name
        if kind in _TEXT:
            if delta := text.add(_required(data, "delta")):
                yield TextDelta(delta)
        elif kind in _THINKING:
            if delta := thinking.add(_required(data, "delta")):
                yield ThinkingDelta(delta)
        elif kind == "response.reasoning_summary_part.added":
            if count_of(data.get("summary_index")):
                yield ThinkingDelta("\n\n")  # parts are paragraphs
        elif kind == "response.output_item.done":
            item = object_of(data.get("item"))
            # One that the token limit cut has half its arguments.
            if item.get("type") == "function_call" and item.get("status") != "incomplete":
                yield _call(item, calls)
        elif kind in {"response.completed", "response.incomplete"}:
            if rest := text.rest():
                yield TextDelta(rest)
            return (yield from _end(kind, data, bool(calls)))
        elif kind == "response.failed":
            raise from_event(object_of(data.get("response")).get("error"), secret)
        elif kind == "error" or ("error" in data and not data.get("type")):
            raise from_event(data.get("error") or {**data, "type": None}, secret)
        elif not isinstance(kind, str) or not kind:
            raise malformed("an event without a type")
    raise AssertionError  # the events raise at their end


def _end(kind: str, data: dict[str, Any], called: bool) -> Generator[Chunk, None, End]:
    response = data.get("response")
    if not isinstance(response, dict):
        raise malformed("an end without its response")
    list_of(response.get("output"))
    if usage := object_of(response.get("usage")):
        details = object_of(usage.get("output_tokens_details"))
        yield Usage(
            count_of(usage.get("input_tokens")),
            count_of(usage.get("output_tokens")),
            count_of(details.get("reasoning_tokens")),
        )
    if kind == "response.completed":
        return End("tool_calls" if called else "stop")
    if object_of(response.get("incomplete_details")).get("reason") == "content_filter":
        raise refused()
    return End("length")


def _call(item: dict[str, Any], calls: set[str]) -> CallMade:
    name = text_of(item.get("name"))
    if not name:
        raise malformed("a tool call without a name")
    call = unique_call(text_of(item.get("call_id")), calls)
    return CallMade(call, name, whole(text_of(item.get("arguments"))) or "{}")


def _required(data: dict[str, Any], field: str) -> str:
    value = data.get(field)
    if not isinstance(value, str):
        raise malformed(f"an event without its {field}")
    return value


_: type[Model] = ResponsesModel  # mypy: it is the port
