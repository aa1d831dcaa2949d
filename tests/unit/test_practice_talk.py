"""The practice model in turns of several steps: forms, summaries, chains, rejections, skills."""

import json
from typing import Any

import pytest

from cueline.engine.agent import Agent
from cueline.engine.agent import Guideline as Standing
from cueline.engine.compaction import summary_request
from cueline.engine.guidelines import instruction
from cueline.log.conversation import SUMMARY, handoff
from cueline.log.events import Answered, Event, Input, Recorded, StepChanged, TurnBegan
from cueline.log.triggers import SILENCE, Guideline, Trigger, told
from local.practice import chat_wire, responses_request
from local.practice.answers import answer
from local.practice.heard import Answer, Call, Heard, Message, Output, Tool

ORDER = Tool(
    "find_order",
    "Finds an order of a customer.",
    {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
)
REFUND = Tool(
    "refund_payment",
    "Gives money back.",
    {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]},
)
MAIL = Tool("send_mail", "Sends a mail.", {"type": "object"})
TOOLS = (ORDER, REFUND, MAIL)
REJECTED = "A person has rejected this call; it was not run."


def say(*items: Message | Call | Output, instructions: str = "Be kind.", **more: Any) -> Answer:
    return answer(Heard("m", instructions, items, **more))


def user(text: str) -> Message:
    return Message("user", text)


def rounds(*items: Message | Call | Output, output: str = "done") -> tuple[list[Call], str]:
    """All calls, each answered with the output, and the words at the end."""
    made: list[Call] = []
    so_far = list(items)
    for _ in range(9):
        said = say(*so_far, tools=TOOLS)
        if not said.calls:
            return made, said.text
        for call in said.calls:
            made.append(call)
            so_far += [call, Output(call.call, call.tool, output)]
    raise AssertionError(made)


# --- several tools -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "First find order 7 then refund 12.5 and then send a mail",
        "find order 7, then refund 12.5, then mail them",
        "Find order 7. After that, refund a payment of 12.5; afterwards send mail",
    ],
)
def test_it_calls_one_tool_after_the_other_where_it_is_told_to(text: str) -> None:
    made, told = rounds(user(text))
    assert [(call.tool, call.arguments) for call in made] == [
        ("find_order", '{"number": 7}'),
        ("refund_payment", '{"amount": 12.5}'),
        ("send_mail", "{}"),
    ]
    assert told.count("answered “done”") == 3


def test_what_it_is_about_may_be_said_before() -> None:
    made, _ = rounds(user("Look for order 7, then refund the payment"))
    assert [call.arguments for call in made] == ['{"number": 7}', '{"amount": 7}']


def test_then_without_two_tools_is_no_chain() -> None:
    made, _ = rounds(user("Find order 7, then tell me a story"))
    assert [call.tool for call in made] == ["find_order"]


def test_a_chain_ends_where_a_person_says_no() -> None:
    text = "First find order 7, then refund 12.5"
    made, told = rounds(user(text), output=f"{REJECTED} Ask her first.")
    assert [call.tool for call in made] == ["find_order"]
    assert "A person did not allow find_order: “Ask her first.”. I do without it." in told
    assert "did not allow find_order. I do" in rounds(user(text), output=REJECTED)[1]


# --- forms ---------------------------------------------------------------------------------------

INTENT = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": ["sales", "support"]},
        "urgent": {"type": "boolean"},
        "who": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    "required": ["intent", "urgent", "who"],
    "additionalProperties": False,
}


def test_it_answers_in_a_form_with_the_users_words() -> None:
    said = say(user('I need support, says "Ada"'), form=INTENT)
    assert json.loads(said.text) == {"intent": "support", "urgent": True, "who": {"name": "Ada"}}


def test_a_form_is_for_the_answer_and_not_for_tool_calls() -> None:
    made = say(user("find order 7"), form=INTENT, tools=TOOLS)
    assert made.calls
    assert not made.text
    outputs = [Output(call.call, call.tool, "a case for support") for call in made.calls]
    said = say(user("find order 7"), *made.calls, *outputs, form=INTENT, tools=TOOLS)
    assert json.loads(said.text)["intent"] == "support"


RESPONSES: dict[str, Any] = {"model": "m", "input": "x"}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize("given", [None, {"type": "text"}])
def test_plain_text_is_no_form(given: Any) -> None:
    assert responses_request.read({**RESPONSES, "text": {"format": given}}).form is None
    assert chat_wire.read({**CHAT, "response_format": given}).form is None


def test_a_form_is_read_from_both_apis() -> None:
    schema = {"name": "i", "schema": INTENT, "strict": True, "description": "What"}
    flat = {"type": "json_schema", **schema}
    read = responses_request.read({**RESPONSES, "text": {"format": flat, "verbosity": "low"}})
    deep = {"type": "json_schema", "json_schema": schema}
    assert read.form == chat_wire.read({**CHAT, "response_format": deep}).form == INTENT
    anything = {"type": "json_object"}
    assert chat_wire.read({**CHAT, "response_format": anything}).form == {"type": "object"}


# --- summaries -----------------------------------------------------------------------------------


def past(*texts: str) -> list[Recorded]:
    events: list[Event] = []
    for n, text in enumerate(texts):
        asked = len(events)
        events += [
            Input(texts=(text,)),
            TurnBegan(turn=f"t{n}", inputs=(asked,)),
            Answered(turn=f"t{n}", inputs=(asked,), text=f"Answer.\n\n{n}"),
        ]
    return [Recorded(n, 0, "", event) for n, event in enumerate(events)]


def summarise(*texts: str, message: str = "") -> str:
    agent = Agent(key="a", name="A", model="m", created_at=0, updated_at=0)
    asked = summary_request(agent, past(*texts), message, 100_000)
    items = tuple(Message("user", item.text) for item in asked.items)  # type: ignore[union-attr]
    return say(*items, instructions=asked.instructions).text


def test_a_summary_counts_messages_and_names_the_first_and_the_last() -> None:
    assert summarise("I am Ada.\n\nHello", "Bye", "Really bye") == (
        "Practice summary of 3 user messages. The first was “I am Ada. Hello”. "
        "The last was “Really bye”."
    )
    assert summarise("Hi").startswith("Practice summary of 1 user message. The first was “Hi”.")
    assert summarise("Hi", message="Keep names.").endswith("I was also told “Keep names.”.")


def test_a_summary_of_a_summary_remembers_the_first() -> None:
    first = summarise("I am Ada", "Two", message="Keep names.")
    assert summarise(SUMMARY + first, "Three") == (
        "Practice summary of 3 user messages. The first was “I am Ada”. The last was “Three”."
    )


@pytest.mark.parametrize("together", [True, False])
def test_it_remembers_the_first_message_by_the_summary(together: bool) -> None:
    given = SUMMARY + summarise("I am Ada", "Two")
    question = "What was my first message?"
    # Chat Completions has it as one message.
    asked = [user(f"{given}\n\n{question}")] if together else [user(given), user(question)]
    said = say(*asked).text
    assert "You said “What was my first message?”. I can see 1 user message." in said
    assert "A summary stands for 2 user messages before that." in said
    assert "Your first message was “I am Ada”." in said


def test_a_summary_that_somebody_else_wrote_is_none_of_the_users_words() -> None:
    assert (
        "I can see 1 user message. A summary stands" in say(user(f"{SUMMARY}She."), user("a")).text
    )


# --- skills and steps ----------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
def test_it_says_which_skills_it_has(together: bool) -> None:
    skill = "Skill tax:\n\nTake 19 %."
    asked = [user(f"Hello\n\n{skill}")] if together else [user("Hello"), user(skill)]
    said = say(*asked).text
    assert "You said “Hello”. I can see 1 user message. I have the skill “tax”." in said


def test_it_goes_on_in_a_step_with_what_the_user_asked() -> None:
    changed = StepChanged(turn="t", from_step="triage", to_step="sell")
    items = (user("Find order 7"), Message("assistant", "{}"), user(handoff(changed)))
    said = say(*items).text
    assert "You said “Find order 7”. I go on in step “sell”. I can see 1 user message." in said
    (made,) = say(*items, tools=TOOLS).calls
    assert (made.tool, made.arguments) == ("find_order", '{"number": 7}')


# --- triggers and guidelines ---------------------------------------------------------------------


def trigger(*actions: str) -> str:
    return told(Trigger(guidelines=tuple(Guideline(action=action) for action in actions)))


def test_it_says_what_a_trigger_asks_for_and_calls_nothing() -> None:
    words = [user("Find order 7"), Message("assistant", "It is 7.")]
    said = say(*words, user(trigger("Ask how they are", "Say hold on")), tools=TOOLS)
    assert said.calls == ()
    assert "I was asked to speak: “Ask how they are” and “Say hold on”." in said.text


def test_to_a_trigger_that_wants_nothing_said_it_is_silent() -> None:
    assert say(user(trigger("Say nothing"))).text == SILENCE


def test_a_user_who_speaks_behind_a_trigger_is_answered() -> None:
    said = say(user(trigger("Ask how they are") + "\n\nFine, and you?"))
    assert "You said “Fine, and you?”." in said.text


def test_what_a_person_beside_it_says_is_none_of_the_users_words() -> None:
    said = say(user("Hello"), user("[Bob, who works beside you, says to the user:]\nHi there"))
    assert "You said “Hello”." in said.text


def test_it_tells_which_guidelines_it_followed() -> None:
    guidelines = (
        Standing(id="a", condition="they greet", action='Say "Ahoy"'),
        Standing(id="b", condition="the moon is full", action='Say "Howl"'),
    )
    agent = Agent(key="a", name="A", model="m", created_at=0, updated_at=0, guidelines=guidelines)
    said = say(user("Please greet me"), instructions=instruction(agent))
    assert said.text.endswith("Ahoy\n[[guidelines: 1]]")
    assert "Howl" not in said.text
