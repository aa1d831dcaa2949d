"""The model port: what both OpenAI APIs answer, over real HTTP."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.openai.chat import chat_model
from cueline.engine.agent import OutputSchema
from cueline.engine.model import (
    Called,
    End,
    Model,
    Returned,
    Said,
    Tool,
    Usage,
)
from cueline.log.conversation import conversation
from cueline.log.events import Event, Input, Recorded, ToolInput, ToolOutput, TurnBegan
from tests.calling import (
    MAKERS,
    WEATHER,
    answering,
    api,
    asking,
    call,
    calls,
    failure,
    model,
    practice,
    text,
    thinking,
)
from tests.practice import Practice

__all__ = ["api", "model", "practice"]


# --- answers ------------------------------------------------------------------------------------


def test_an_answer_comes_in_deltas_with_usage_and_an_end(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model()))
    assert "You said “hello”. I can see 1 user message. My instructions" in text(chunks)
    assert len(chunks) > 10
    assert not thinking(chunks)
    usage, end = chunks[-2:]
    assert isinstance(usage, Usage)
    assert usage.input_tokens > 0
    assert usage.output_tokens > 10
    assert end == End("stop")


def test_the_history_arrives_in_its_order_and_roles(
    model: Model, api: str, practice: Practice
) -> None:
    name = practice.model()
    call(
        model,
        asking(
            name,
            Said("user", "one ü"),
            Said("assistant", "two"),
            Said("system", "three"),
            Said("user", "four"),
            parameters={"temperature": 0.5},
        ),
    )
    (body,) = practice.requests(name)
    assert body["stream"] is True
    assert body["temperature"] == 0.5
    sent = body["input"] if api == "responses" else body["messages"]
    operator = "developer" if api == "responses" else "system"
    expected = [("user", "one ü"), ("assistant", "two"), (operator, "three"), ("user", "four")]
    if api == "responses":
        assert body["instructions"] == "You sell pizza."
        assert body["store"] is False
    else:
        expected.insert(0, ("system", "You sell pizza."))
        assert body["stream_options"] == {"include_usage": True}
    assert [(item["role"], item["content"]) for item in sent] == expected


def test_thinking_and_text_are_told_apart(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model(), Said("user", "think, then say it")))
    assert thinking(chunks).startswith("Practice thinking: the user said")
    assert "thinking" not in text(chunks)
    usage = chunks[-2]
    assert isinstance(usage, Usage)
    assert usage.reasoning_tokens > 0


def test_reasoning_is_asked_for_by_parameters(model: Model, api: str, practice: Practice) -> None:
    effort = {"reasoning": {"effort": "low", "summary": "auto"}}
    parameters = effort if api == "responses" else {"reasoning_effort": "low"}
    assert thinking(call(model, asking(practice.model(), parameters=parameters)))


def test_a_tool_call_and_its_output_go_round(model: Model, practice: Practice) -> None:
    asked = asking(practice.model(), Said("user", "The weather in Rome?"), tools=(WEATHER,))
    chunks = call(model, asked)
    (made,) = calls(chunks)
    assert (made.tool, json.loads(made.arguments)) == ("get_weather", {"city": "Rome"})
    assert chunks[-1] == End("tool_calls")
    answered = replace(
        asked,
        items=(
            *asked.items,
            Called(made.call, made.tool, made.arguments),
            Returned(made.call, "sunny, 31 °C"),
        ),
    )
    chunks = call(model, answered)
    assert "The tool get_weather answered “sunny, 31 °C”" in text(chunks)
    assert chunks[-1] == End("stop")


def test_parallel_calls_with_text_and_outputs_in_another_order_are_accepted(
    model: Model, practice: Practice
) -> None:
    items = (
        Said("user", "both"),
        Said("assistant", "One moment."),
        Called("a", "get_weather", "{}"),
        Called("b", "get_weather", "{}"),
        Returned("b", "rain"),
        Returned("a", "sun"),
        Said("user", "so?"),
    )
    assert "You said “so?”" in text(call(model, asking(practice.model(), *items)))


def test_a_call_id_may_come_again_in_a_later_answer(model: Model, practice: Practice) -> None:
    again: dict[str, Any] = {"turn": "t", "call": "call_0", "tool": "get_weather"}
    happened: list[Event] = [
        Input(texts=("1",)),
        TurnBegan(turn="t", inputs=(0,)),
        ToolInput(**again, arguments="{}"),
        ToolOutput(**again, output="first"),
        ToolInput(**again, arguments="{}"),
        ToolOutput(**again, output="second"),
    ]
    items = conversation(Recorded(n, 0, "", event) for n, event in enumerate(happened))
    assert "answered “first”. The tool get_weather answered “second”" in text(
        call(model, asking(practice.model(), *items))
    )


def test_a_tool_without_parameters_is_accepted(model: Model, practice: Practice) -> None:
    asked = asking(practice.model(), Said("user", "ping"), tools=(Tool("ping", "", {}),))
    assert calls(call(model, asked))[0].arguments == "{}"


def test_the_token_limit_of_the_caller_ends_with_length(
    model: Model, api: str, practice: Practice
) -> None:
    limit = "max_output_tokens" if api == "responses" else "max_completion_tokens"
    chunks = call(model, asking(practice.model(), parameters={limit: 3}))
    assert chunks[-1] == End("length")
    assert text(chunks) == "I am the"


@pytest.mark.parametrize("key", ["model", "input", "messages", "stream", "instructions", "tools"])
def test_parameters_may_not_say_what_is_asked(key: str, model: Model, practice: Practice) -> None:
    name = practice.model()
    error = failure(model, asking(name, parameters={key: "x"}))
    assert (error.kind, error.retryable) == ("model_rejected", False)
    assert practice.requests(name) == []


@pytest.mark.parametrize(
    "parameters", [{"temperature": float("nan")}, {"metadata": {"a": "\ud800"}}, {"user": {1}}]
)
def test_what_cannot_be_json_is_rejected(
    parameters: dict[str, Any], model: Model, practice: Practice
) -> None:
    assert failure(model, asking(practice.model(), parameters=parameters)).kind == "model_rejected"


def test_an_unknown_parameter_is_rejected_in_the_providers_words(
    model: Model, practice: Practice
) -> None:
    error = failure(model, asking(practice.model(), parameters={"colour": "red"}))
    assert error.kind == "model_rejected"
    assert "Unknown parameter: 'colour'" in error.message


def test_a_connection_serves_call_after_call(model: Model, practice: Practice) -> None:
    name = practice.model("kept", {"kind": "bytes"}, {"kind": "script", "text": "Zoë 🙂 ok"})
    first = text(call(model, asking(name)))
    assert "I am the practice model" in first
    assert text(call(model, asking(name))) == "Zoë 🙂 ok"


# --- answers in a form --------------------------------------------------------------------------

MOOD = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["good", "bad"]}},
    "required": ["mood"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("strict", [None, False, True])
def test_an_answer_comes_in_the_form_that_is_asked_for(
    strict: bool | None, model: Model, api: str, practice: Practice
) -> None:
    form = OutputSchema(name="mood-1", json_schema=MOOD, strict=strict, description="How it is")
    name = practice.model()
    asked = asking(name, Said("user", "A bad day"), output=form)
    chunks = call(model, asked)
    assert json.loads(text(chunks)) == {"mood": "bad"}
    assert chunks[-1] == End("stop")
    (body,) = practice.requests(name)
    sent = body["text"]["format"] if api == "responses" else body["response_format"]["json_schema"]
    assert sent["strict"] is bool(strict)
    assert (sent["name"], sent["schema"], sent["description"]) == ("mood-1", MOOD, "How it is")


def test_a_form_stands_beside_tools_and_parameters(
    model: Model, api: str, practice: Practice
) -> None:
    plain: dict[str, Any] = {"type": "text"}
    parameters = (
        {"text": {"verbosity": "low", "format": plain}}
        if api == "responses"
        else {"verbosity": "low", "response_format": plain}
    )
    form = OutputSchema(name="mood", json_schema=MOOD)
    name = practice.model()
    asked = asking(
        name,
        Said("user", "The weather in Rome?"),
        output=form,
        tools=(WEATHER,),
        parameters=parameters,
    )
    (made,) = calls(call(model, asked))
    returned = (Called(made.call, made.tool, made.arguments), Returned(made.call, "good"))
    answered = replace(asked, items=(*asked.items, *returned))
    assert json.loads(text(call(model, answered))) == {"mood": "good"}
    for body in practice.requests(name):
        given = body["text"] if api == "responses" else body
        assert given["verbosity"] == "low"


def test_a_form_that_the_provider_does_not_take_is_rejected(
    model: Model, practice: Practice
) -> None:
    form = OutputSchema(name="mood", json_schema={"type": "object"}, strict=True)
    error = failure(model, asking(practice.model(), output=form))
    assert (error.kind, error.retryable) == ("model_rejected", False)
    assert "additionalProperties" in error.message


# --- odd but whole answers ----------------------------------------------------------------------


def test_missing_usage_is_no_failure(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model("free", {"kind": "no_usage"})))
    assert chunks[-1] == End("stop")
    assert not [chunk for chunk in chunks if isinstance(chunk, Usage)]


def test_a_missing_end_marker(model: Model, api: str, practice: Practice) -> None:
    asked = asking(practice.model("endless", {"kind": "no_done"}))
    if api == "chat":  # its finish reason came before [DONE]
        assert call(model, asked)[-1] == End("stop")
    else:
        assert failure(model, asked).kind == "model_cut"


def test_the_token_limit(model: Model, practice: Practice) -> None:
    assert call(model, asking(practice.model("x", {"kind": "length"})))[-1] == End("length")


def test_the_content_filter_refuses(model: Model, practice: Practice) -> None:
    error = failure(model, asking(practice.model("x", {"kind": "content_filter"})))
    assert (error.kind, error.retryable) == ("model_refused", False)


def test_a_refusal_is_text_to_show(model: Model, practice: Practice) -> None:
    chunks = call(model, asking(practice.model("x", {"kind": "refusal"})))
    assert text(chunks) == "I am sorry, I cannot help with that."
    assert chunks[-1] == End("stop")


def test_bad_tool_calls_are_handed_on_as_they_are(model: Model, practice: Practice) -> None:
    name = practice.model("x", {"kind": "bad_arguments"}, {"kind": "unknown_tool"})
    assert calls(call(model, asking(name)))[0].arguments == '{"broken": '
    assert calls(call(model, asking(name)))[0].tool == "no_such_tool"


def test_two_calls_with_one_id_get_ids_of_their_own(model: Model, practice: Practice) -> None:
    first, second = calls(call(model, asking(practice.model("x", {"kind": "same_call_id"}))))
    assert first.call == "call_same"
    assert second.call != first.call
    assert [first.arguments, second.arguments] == ['{"n": 1}', '{"n": 2}']


def test_a_model_that_always_calls(model: Model, practice: Practice) -> None:
    name = practice.model("x", {"kind": "endless_tools"})
    asked = asking(name, tools=(WEATHER,))
    seen = set()
    for _ in range(3):
        (made,) = calls(call(model, asked))
        seen.add(made.call)
        more = (Called(made.call, made.tool, made.arguments), Returned(made.call, "again"))
        asked = replace(asked, items=(*asked.items, *more))
    assert len(seen) == 3


def test_calls_that_the_token_limit_cut_are_left_out(api: str, practice: Practice) -> None:
    model = MAKERS[api](api_key=practice.KEY, base_url=practice.base_url)
    bad = {"kind": "script", "finish": "length", "calls": [{"name": "t", "arguments": '{"a'}]}
    chunks = call(model, asking(practice.model("x", bad)))
    assert chunks[-1] == End("length")
    if api == "chat":  # the practice Responses API marks its items as whole
        assert not calls(chunks)


def test_thinking_in_tags(practice: Practice) -> None:
    model = chat_model(api_key=practice.KEY, base_url=practice.base_url)
    script = {"kind": "script", "texts": ["<th", "ink>hm", "m</thi", "nk>\n\n", "Hello", " you"]}
    chunks = call(model, asking(practice.model("x", script)))
    assert (thinking(chunks), text(chunks)) == ("hmm", "Hello you")


def test_half_a_character_in_each_delta(model: Model, api: str) -> None:
    halves = ["\ud83d", "\ude42", " x\ud800"]
    events: list[dict[str, Any]]
    if api == "chat":
        events = [{"choices": [{"delta": {"content": half}}]} for half in halves]
        events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    else:
        events = [{"type": "response.output_text.delta", "delta": half} for half in halves]
        events.append({"type": "response.completed", "response": {"status": "completed"}})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    with answering(body.encode()) as address:
        chunks = call(MAKERS[api](api_key="x", base_url=address), asking("m"))
    assert text(chunks) == "🙂 x\ufffd"
