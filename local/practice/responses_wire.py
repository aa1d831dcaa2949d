"""The Responses API's answers: one object, or its whole ladder of stream events."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from local.practice.frames import Frame
from local.practice.heard import Answer, Call, Heard, pieces, usage_of
from local.practice.responses_request import read

__all__ = ["EMPTY", "WRONG_SHAPE", "error_frame", "frames", "read", "whole"]

# Request fields that the answer repeats, with the provider's defaults.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def whole(heard: Heard, answer: Answer) -> dict[str, Any]:
    """The answer that is not streamed."""
    return _finished(_begun(heard), heard, answer, _output(answer))


def frames(heard: Heard, answer: Answer) -> Iterator[Frame]:
    """The streamed answer, event by event."""
    number = 0

    def frame(kind: str, *, is_token: bool = False, is_end: bool = False, **data: Any) -> Frame:
        nonlocal number
        number += 1
        body = {"type": kind, "sequence_number": number - 1, **data}
        return Frame(body, kind, is_token=is_token, is_end=is_end)

    response = _begun(heard)
    output = _output(answer)
    yield frame("response.created", response=response)
    yield frame("response.in_progress", response=response)
    for at, item in enumerate(output):
        match item["type"]:
            case "reasoning":
                inner = _reasoning(frame, item, at, answer.thinking)
            case "message":
                inner = _message(frame, item, at, answer)
            case _:
                inner = _call(frame, item, at)
        yield from inner
        yield frame("response.output_item.done", output_index=at, item=item)
    done = _finished(response, heard, answer, output)
    kind = "response.completed" if done["status"] == "completed" else "response.incomplete"
    yield frame(kind, is_end=True, response=done)


_MakeFrame = Callable[..., Frame]


def _reasoning(
    frame: _MakeFrame, item: dict[str, Any], at: int, thinking: tuple[str, ...]
) -> Iterator[Frame]:
    place = {"item_id": item["id"], "output_index": at, "summary_index": 0}
    stem = "response.reasoning_summary"
    begun = {**item, "summary": []}
    yield frame("response.output_item.added", output_index=at, item=begun)
    yield frame(f"{stem}_part.added", **place, part={"type": "summary_text", "text": ""})
    for piece in thinking:
        yield frame(f"{stem}_text.delta", is_token=True, **place, delta=piece)
    yield frame(f"{stem}_text.done", **place, text="".join(thinking))
    yield frame(f"{stem}_part.done", **place, part=item["summary"][0])


def _message(frame: _MakeFrame, item: dict[str, Any], at: int, answer: Answer) -> Iterator[Frame]:
    place = {"item_id": item["id"], "output_index": at, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    yield frame("response.output_item.added", output_index=at, item=begun)
    part = item["content"][0]
    if answer.is_refusal:
        yield frame("response.content_part.added", **place, part={**part, "refusal": ""})
        for piece in answer.texts:
            yield frame("response.refusal.delta", is_token=True, **place, delta=piece)
        yield frame("response.refusal.done", **place, refusal=answer.text)
    else:
        yield frame("response.content_part.added", **place, part={**part, "text": ""})
        for piece in answer.texts:
            yield frame(
                "response.output_text.delta", is_token=True, **place, delta=piece, logprobs=[]
            )
        yield frame("response.output_text.done", **place, text=answer.text, logprobs=[])
    yield frame("response.content_part.done", **place, part=part)


def _call(frame: _MakeFrame, item: dict[str, Any], at: int) -> Iterator[Frame]:
    place = {"item_id": item["id"], "output_index": at}
    begun = {**item, "status": "in_progress", "arguments": ""}
    yield frame("response.output_item.added", output_index=at, item=begun)
    stem = "response.function_call_arguments"
    for piece in pieces(item["arguments"]):
        yield frame(f"{stem}.delta", is_token=True, **place, delta=piece)
    yield frame(f"{stem}.done", **place, name=item["name"], arguments=item["arguments"])


def _output(answer: Answer) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    if answer.thinking:
        summary = {"type": "summary_text", "text": "".join(answer.thinking)}
        output.append({"id": _id("rs"), "type": "reasoning", "summary": [summary]})
    if answer.texts or not answer.calls:
        part: dict[str, Any] = (
            {"type": "refusal", "refusal": answer.text}
            if answer.is_refusal
            else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        )
        output.append(
            {
                "id": _id("msg"),
                "type": "message",
                "status": "completed" if answer.finish == "stop" else "incomplete",
                "role": "assistant",
                "content": [part],
            }
        )
    return output + [_call_item(call) for call in answer.calls]


def _call_item(call: Call) -> dict[str, Any]:
    return {
        "id": _id("fc"),
        "type": "function_call",
        "status": "completed",
        "call_id": call.call,
        "name": call.tool,
        "arguments": call.arguments,
    }


def _begun(heard: Heard) -> dict[str, Any]:
    asked = heard.asked
    echoed = {
        name: default if asked.get(name) is None else asked[name]
        for name, default in _ECHOED.items()
    }
    tools = [{"strict": True, "description": None, **tool} for tool in asked.get("tools") or []]
    return {
        "id": _id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": heard.model,
        "output": [],
        "previous_response_id": None,
        "service_tier": "default",
        "usage": None,
        **echoed,
        "tools": tools,
    }


def _finished(
    begun: dict[str, Any], heard: Heard, answer: Answer, output: list[dict[str, Any]]
) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    given, said, reasoning = usage_of(heard, answer)
    usage = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + said,
    }
    return {
        **begun,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": usage if answer.has_usage else None,
    }


def error_frame(code: str, message: str) -> Frame:
    body = {"type": "error", "sequence_number": 99, "code": code, "message": message, "param": None}
    return Frame(body, "error")


WRONG_SHAPE = Frame(
    {"type": "response.output_text.delta", "delta": 7}, "response.output_text.delta"
)
EMPTY = Frame({"type": "response.output_text.delta"}, "response.output_text.delta")


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
