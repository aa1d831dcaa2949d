"""The checker of provider history finds each thing that a server refuses, and nothing else."""

from typing import Any

import pytest

from cueline.adapters.openai import chat
from cueline.engine.model import Called, Item, Returned, Said
from tests.history import problems_of_chat, problems_of_responses, problems_of_templates

HELLO = {"role": "user", "content": "Hello"}
HI = {"role": "assistant", "content": "Hi"}
RULES = {"role": "system", "content": "Be kind."}


def made(call: Any = "c", name: Any = "t", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*calls: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def output(call: Any = "c", content: Any = "x") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": content}


def function_call(call: Any = "c", name: Any = "t", arguments: Any = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call, "name": name, "arguments": arguments}


def function_output(call: Any = "c", text: Any = "x") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call, "output": text}


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([], "empty"),
        ("Hello", "empty"),
        ([7], "known role"),
        ([{"role": "function", "content": "x"}], "known role"),
        ([{**HELLO, "mood": "x"}], "unknown fields"),
        ([{"role": "user"}], "no content"),
        ([{"role": "user", "content": None}], "no content"),
        ([{"role": "user", "content": ""}], "empty content"),
        ([{"role": "user", "content": [{"type": "text", "text": ""}]}], "empty part"),
        ([HELLO, {"role": "assistant", "content": ""}], "empty content"),
        ([HELLO, calls()], "empty tool_calls"),
        ([HELLO, calls(7)], "no function"),
        ([HELLO, calls(made(), content=""), output()], "empty content"),
        ([HELLO, {"role": "assistant", "tool_calls": [made()]}, output()], "not even null"),
        ([HELLO, output()], "without a call"),
        ([HELLO, calls(made()), output(), output()], "without a call"),
        ([HELLO, calls(made()), output("d")], "without a call"),
        ([HELLO, calls(made()), output(content=None)], "no text"),
        ([HELLO, calls(made())], "the end: no output"),
        ([HELLO, calls(made()), HELLO, output()], "before the output"),
        ([HELLO, calls(made("a"), made("b")), output("b"), HELLO], "before the output of ['a']"),
        ([HELLO, calls(made("a"), made("a")), output("a"), output("a")], "called twice"),
        ([HELLO, calls(made()), output(), calls(made()), output()], "called twice"),
        ([HELLO, calls(made(None)), output(None)], "id is no text"),
        ([HELLO, calls(made("")), output("")], "id is no text"),
        ([HELLO, calls(made("x" * 41)), output("x" * 41)], "too long"),
        ([HELLO, calls(made(name="a tool")), output()], "no such name"),
        ([HELLO, calls(made(name="t" * 65)), output()], "no such name"),
        ([HELLO, calls(made(arguments={})), output()], "no text"),
        ([HELLO, calls(made(arguments='{"a": ')), output()], "no JSON object"),
        ([HELLO, calls(made(arguments="[]")), output()], "no JSON object"),
    ],
)
def test_what_chat_servers_refuse_is_found(messages: Any, found: str) -> None:
    (problem,) = problems_of_chat({"messages": messages})[:1]
    assert found in problem


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([], "empty"),
        ("", "empty"),
        ([7], "known type"),
        ([{"type": "odd"}], "known type"),
        ([{**HELLO, "mood": "x"}], "unknown fields"),
        ([{"role": "tool", "content": "x"}], "known role"),
        ([{"role": "user", "content": None}], "no content"),
        ([{"role": "user", "content": ""}], "empty content"),
        ([HELLO, function_output()], "without a call"),
        ([HELLO, function_output(), function_call()], "without a call"),
        ([HELLO, function_call(), function_output(), function_output()], "without a call"),
        ([HELLO, function_call(), function_output(text=None)], "no text"),
        ([HELLO, function_call()], "the end: no output"),
        ([HELLO, function_call(), HELLO, function_output()], "before the output"),
        ([HELLO, *[function_call(), function_output()] * 2], "called twice"),
        ([HELLO, function_call(None), function_output(None)], "id is no text"),
        ([HELLO, function_call("x" * 65), function_output("x" * 65)], "too long"),
        ([HELLO, function_call(name="a tool"), function_output()], "no such name"),
        ([HELLO, function_call(arguments=None), function_output()], "no text"),
        ([HELLO, function_call(arguments="[]"), function_output()], "no JSON object"),
    ],
)
def test_what_responses_servers_refuse_is_found(items: Any, found: str) -> None:
    (problem,) = problems_of_responses({"input": items})[:1]
    assert found in problem


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([HELLO, HELLO], "two user messages"),
        ([HELLO, HI, HI, HELLO], "an answer to nobody"),
        ([RULES, HI, HELLO], "an answer to nobody"),
        ([RULES, calls(made()), output()], "an answer to nobody"),
        ([HELLO, HI, RULES, HELLO], "not the first"),
        ([HELLO, calls(made()), output(), HELLO], "right after a tool"),
        ([HELLO, HI], "the end"),
        ([RULES], "the end"),
    ],
)
def test_what_chat_templates_refuse_is_found(messages: Any, found: str) -> None:
    (problem,) = problems_of_templates(messages)[:1]
    assert found in problem


def test_nothing_is_found_in_a_history_that_all_take() -> None:
    round_trip = [calls(made("a"), made("b")), output("b"), output("a")]
    messages = [RULES, HELLO, *round_trip, calls(made("c")), output(), HI, HELLO]
    assert problems_of_chat({"messages": messages}) == []
    assert problems_of_templates(messages) == []
    both = [function_call("a"), function_call("b"), function_output("b"), function_output("a")]
    items = [HELLO, *both, function_call("c"), function_output("c", ""), HI, RULES, HELLO]
    assert problems_of_responses({"input": items}) == []
    assert problems_of_responses({"input": "Hello"}) == []


# --- the order of roles that Chat Completions gets -----------------------------------------------


@pytest.mark.parametrize(
    ("items", "sent"),
    [
        ([Said("user", "one"), Said("user", "two")], [{"role": "user", "content": "one\n\ntwo"}]),
        (
            [Called("c", "t", "{}"), Returned("c", "x"), Said("user", "two")],
            [calls(made()), output(), {**HI, "content": "…"}, {**HELLO, "content": "two"}],
        ),
        (
            [Said("assistant", "One moment."), Called("c", "t", "{}"), Returned("c", "x")],
            [calls(made(), content="One moment."), output()],
        ),
        (
            [Said("system", "cart: 1"), Said("system", "cart: 2"), Said("user", "Hello")],
            [{**RULES, "content": "cart: 1"}, {**RULES, "content": "cart: 2"}, HELLO],
        ),
    ],
)  # fmt: skip
def test_user_and_assistant_take_turns(items: list[Item], sent: list[dict[str, Any]]) -> None:
    assert chat._messages("", items) == sent
