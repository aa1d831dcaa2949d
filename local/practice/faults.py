"""Failures that the practice model plays, as a test suite or a model's name tells it to."""

import json
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Any

from local.practice.answers import answer
from local.practice.choices import new_call
from local.practice.heard import Answer, BadRequest, Call, Heard, pieces

PREFIX = "practice-fail-"
KINDS = {
    "script": "answers with exactly this `text` or `texts` (deltas), `thinking`, `calls`, `finish`",
    "status": "answers with this HTTP `status`, `retry_after`, `headers`, `code`, `message`",
    "hang": "takes the request and sends nothing, not even headers",
    "drip_headers": "sends a byte of its headers now and then, for ever",
    "drip_error": "answers 500 with a body that drips for ever",
    "hang_midstream": "stops sending after `after` tokens, and keeps the connection",
    "drip": "sends a byte of a comment now and then, for ever, after `after` tokens",
    "cut": "ends the stream cleanly after `after` tokens, without its end marker",
    "reset": "resets the TCP connection after `after` tokens",
    "malformed": "sends an event that is not JSON after `after` tokens",
    "wrong_shape": "sends an event of another shape after `after` tokens",
    "empty_choices": "sends an event without its content after `after` tokens",
    "error_event": "sends an error with `code` and `message` inside the stream",
    "no_done": "leaves the very last event out",
    "no_usage": "leaves the token counts out",
    "length": "ends as if the token limit had cut it",
    "content_filter": "ends as if the content filter had cut it",
    "refusal": "refuses, in the API's own field",
    "bad_arguments": "calls the first tool with arguments that are not JSON",
    "unknown_tool": "calls a tool that it was not given",
    "same_call_id": "makes two calls with the same id",
    "endless_tools": "calls the first tool, whatever comes (until cleared)",
    "bytes": "sends each byte by itself",
    "delay": "waits `token_ms` before each token",
}
_MOST_MODELS, _MOST_BODIES = 500, 50


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure; `after` counts tokens, `times` 0 means until it is cleared."""

    kind: str
    after: int = 2
    times: int = 1
    status: int = 500
    retry_after: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    message: str = "The practice model was told to fail."
    token_ms: float | None = None
    text: str | None = None
    texts: list[str] | None = None
    thinking: str | None = None
    calls: list[dict[str, Any]] | None = None
    finish: str = "stop"


def read_fault(given: object) -> Fault:
    """A fault out of JSON; a misspelt one is refused, so that no test passes for nothing."""
    if not isinstance(given, dict) or given.get("kind") not in KINDS:
        raise BadRequest(f"A fault needs a kind: {', '.join(KINDS)}.")
    try:
        fault = Fault(**given)
    except TypeError as error:
        raise BadRequest(f"Not a field of a fault: {error}.") from None
    endless = fault.kind == "endless_tools" and "times" not in given
    return replace(fault, times=0) if endless else fault


def _named(model: str) -> Fault | None:
    if not model.startswith(PREFIX):
        return None
    kind = model.removeprefix(PREFIX).replace("-", "_")
    if kind.isdecimal():
        return Fault("status", status=int(kind))
    if kind not in KINDS:
        raise BadRequest(f"The practice model knows no failure {kind!r}.", param="model")
    return Fault(kind)


class Book:
    """Faults in waiting and bodies received, by model name; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, deque[Fault]] = {}
        self._bodies: OrderedDict[str, deque[dict[str, Any]]] = OrderedDict()
        self._gone: dict[str, int] = {}

    def add(self, model: str, faults: list[Fault]) -> None:
        with self._lock:
            self._faults.setdefault(model, deque()).extend(faults)

    def take(self, model: str) -> Fault | None:
        with self._lock:
            waiting = self._faults.get(model)
            if not waiting:
                return _named(model)
            fault = waiting[0]
            if fault.times == 1:
                waiting.popleft()
            elif fault.times > 1:
                waiting[0] = replace(fault, times=fault.times - 1)
            return fault

    def received(self, model: str, body: dict[str, Any]) -> None:
        with self._lock:
            self._bodies.setdefault(model, deque(maxlen=_MOST_BODIES)).append(body)
            self._bodies.move_to_end(model)
            if len(self._bodies) > _MOST_MODELS:
                oldest, _ = self._bodies.popitem(last=False)
                self._gone.pop(oldest, None)

    def gone(self, model: str) -> None:
        """The client went away before its answer was whole."""
        with self._lock:
            self._gone[model] = self._gone.get(model, 0) + 1

    def bodies(self, model: str) -> dict[str, Any]:
        with self._lock:
            bodies = list(self._bodies.get(model, ()))
            return {"requests": bodies, "disconnects": self._gone.get(model, 0)}

    def clear(self, model: str | None) -> None:
        with self._lock:
            for kept in (self._faults, self._bodies, self._gone):
                if model is None:
                    kept.clear()
                else:
                    kept.pop(model, None)


def answer_with(heard: Heard, fault: Fault | None) -> Answer:
    """What the fault makes of the answer; faults of delivery leave it as it is."""
    made = answer(heard)
    if fault is None:
        return made
    if any(part is not None for part in (fault.text, fault.texts, fault.thinking, fault.calls)):
        made = Answer(
            texts=tuple(fault.texts) if fault.texts is not None else pieces(fault.text or ""),
            thinking=pieces(fault.thinking or ""),
            calls=tuple(_call(call) for call in fault.calls or ()),
        )
    match fault.kind:
        case "no_usage":
            return replace(made, has_usage=False)
        case "length" | "content_filter" as finish:
            return replace(made, finish=finish)
        case "refusal":
            return replace(
                made,
                texts=made.texts if fault.text else pieces("I am sorry, I cannot help with that."),
                is_refusal=True,
                calls=(),
            )
        case "bad_arguments" | "unknown_tool" | "same_call_id" | "endless_tools":
            tool = heard.tools[0].name if heard.tools else "practice_tool"
            return replace(made, texts=(), calls=_bad_calls(fault.kind, tool))
        case _ if fault.finish in {"length", "content_filter"}:
            return replace(made, finish="length" if fault.finish == "length" else "content_filter")
    return made


def _bad_calls(kind: str, tool: str) -> tuple[Call, ...]:
    match kind:
        case "bad_arguments":
            return (Call(new_call(), tool, '{"broken": '),)
        case "unknown_tool":
            return (Call(new_call(), "no_such_tool", "{}"),)
        case "same_call_id":
            return (Call("call_same", tool, '{"n": 1}'), Call("call_same", tool, '{"n": 2}'))
        case _:
            return (Call(new_call(), tool, "{}"),)


def _call(given: dict[str, Any]) -> Call:
    arguments = given.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Call(str(given.get("id") or new_call()), str(given["name"]), text)
