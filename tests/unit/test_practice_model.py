"""The practice model: what it says, from what it was given."""

import json
from typing import Any

import pytest

from local.practice.answers import answer
from local.practice.arguments import arguments_for
from local.practice.heard import Answer, Call, Heard, Message, Output, Tool
from tests.practice import practice

__all__ = ["practice"]

ORDER = Tool(
    "find_order",
    "Finds an order of a customer by its number.",
    {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "state": {"enum": ["open", "closed"]},
            "note": {"type": "string"},
        },
        "required": ["number"],
    },
)


def heard(*items: Message | Call | Output, **more: Any) -> Heard:
    return Heard(**{"model": "m", "instructions": "Sell pizza.", "items": items, **more})


def user(text: str) -> Message:
    return Message("user", text)


def say(*items: Message | Call | Output, **more: Any) -> Answer:
    return answer(heard(*items, **more))


def test_it_says_what_it_is_and_what_it_sees() -> None:
    said = say(user("Hi"), Message("assistant", "Hello"), user("How are you?"))
    assert said.text == (
        "I am the practice model, not an AI. You said “How are you?”. I can see 2 user messages. "
        "My instructions begin “Sell pizza.”."
    )
    assert said == say(user("Hi"), Message("assistant", "Hello"), user("How are you?"))


def test_it_remembers_the_first_message() -> None:
    said = say(user("I am Ada"), user("What was my first message?"))
    assert "Your first message was “I am Ada”." in said.text


def test_it_mentions_the_latest_context() -> None:
    said = say(Message("system", "old"), Message("system", "The customer is Ada."), user("Hi"))
    assert "I was told “The customer is Ada.”." in said.text


def test_it_answers_a_trigger_without_a_user() -> None:
    said = say(Message("system", "Ask how the pizza was."))
    assert "I was asked to speak: “Ask how the pizza was.”." in said.text


def test_it_follows_a_guideline_whose_condition_holds() -> None:
    rule = Message("system", 'When the user asks about refunds, say "Within 30 days."')
    assert say(rule, user("Do you give a refund?")).text.endswith("Within 30 days.")
    assert "I follow the guideline" in say(rule, user("Do you give a refund?")).text
    assert not say(rule, user("Hello")).text.endswith("Within 30 days.")


@pytest.mark.parametrize("more", [{"thinks": True}, {"items": (user("Think hard"),)}])
def test_it_thinks_aloud_when_asked(more: dict[str, Any]) -> None:
    given = {"model": "m", "instructions": "", "items": (user("Hi"),), **more}
    assert answer(Heard(**given)).thinking
    assert not say(user("Hi")).thinking


def test_it_calls_the_tool_that_fits_and_answers_with_its_output() -> None:
    asked = user("Where is order 4711?")
    (made,) = say(asked, tools=(ORDER,)).calls
    assert (made.tool, made.arguments) == ("find_order", '{"number": 4711}')
    after = say(asked, made, Output(made.call, made.tool, "on its way"), tools=(ORDER,))
    assert not after.calls
    assert "The tool find_order answered “on its way”. That is for “Where is order" in after.text


def test_it_calls_no_tool_that_does_not_fit_or_may_not_be_called() -> None:
    assert not say(user("Good morning"), tools=(ORDER,)).calls
    assert not say(user("find order 7"), tools=(ORDER,), choice="none").calls
    assert say(user("Good morning"), tools=(ORDER,), choice="required").calls
    assert say(user("Good morning"), tools=(ORDER,), choice="find_order").calls


def test_it_calls_two_tools_at_once_when_both_are_named() -> None:
    tools = (Tool("get_weather", "", {}), Tool("get_time", "", {}))
    asked = user("weather and time, please")
    assert [one.tool for one in say(asked, tools=tools).calls] == ["get_weather", "get_time"]
    assert len(say(asked, tools=tools, parallel=False).calls) == 1


def test_arguments_come_from_the_schema_and_the_message() -> None:
    fields: dict[str, Any] = {
        "size": {"$ref": "#/$defs/Size"},
        "city": {"type": ["null", "string"]},
        "tags": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"enum": ["hot", "new"]}}]},
        "inner": {
            "type": "object",
            "properties": {"yes": {"type": "boolean"}, "price": {"type": "number", "maximum": 9}},
            "required": ["yes", "price"],
        },
        "day": {"type": "string", "format": "date"},
        "fixed": {"const": 7},
        "optional": {"type": "string"},
        "kind": {"enum": ["thin", "thick"]},
        "name": {"type": "string", "maxLength": 4},
    }
    schema = {
        "type": "object",
        "properties": fields,
        "required": ["size", "city", "tags", "inner", "day", "fixed", "name"],
        "$defs": {"Size": {"type": "integer", "minimum": 5}},
    }
    message = 'Take 3 new thick ones to New York on 2031-02-03 for 12.5, not "Margherita".'
    assert json.loads(arguments_for(schema, message)) == {
        "size": 5,
        "city": "Margherita",
        "tags": ["new"],
        "inner": {"yes": False, "price": 9},
        "day": "2031-02-03",
        "fixed": 7,
        "kind": "thick",
        "name": "New",
    }


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": 7}, {"$ref": "#/x"}])
def test_odd_schemas_give_no_arguments(schema: dict[str, Any]) -> None:
    assert arguments_for(schema, "x") in {"{}", '"x"'}


def test_the_token_limit_cuts() -> None:
    said = say(user("Hi"), limit=4)
    assert (said.text, said.finish) == ("I am the practic", "length")
