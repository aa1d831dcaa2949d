"""The log as a provider sees it: every input under the turn that took it."""

from typing import Any

import pytest

from cueline.log.conversation import Called, Returned, Said, conversation
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsFailed,
    InputsTaken,
    PartlyAnswered,
    Recorded,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnPostponed,
)


def log(*happened: Event) -> list[Recorded]:
    return [Recorded(n, 0, "", event) for n, event in enumerate(happened)]


def user(text: str) -> Input:
    return Input(texts=(text,))


def test_an_input_stands_under_the_turn_that_took_it() -> None:
    happened = log(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        user("two"),
        Answered(turn="t1", inputs=(0,), text="first"),
        TurnBegan(turn="t2", inputs=(2,)),
    )
    assert conversation(happened) == (
        Said("user", "one"),
        Said("assistant", "first"),
        Said("user", "two"),
    )


def test_an_input_that_no_turn_has_taken_is_left_out() -> None:
    happened = log(user("one"), TurnBegan(turn="t1", inputs=(0,)), user("later"))
    assert conversation(happened) == (Said("user", "one"),)


def test_thinking_is_not_sent_back() -> None:
    happened = log(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        Thinking(turn="t1", text="hm"),
        Answered(turn="t1", inputs=(0,), text="first"),
    )
    assert conversation(happened) == (Said("user", "one"), Said("assistant", "first"))


def test_system_input_is_never_text_of_the_user() -> None:
    happened = log(
        Input(source="system", policy="silent", texts=("cart: 2",)),
        user("hi"),
        TurnBegan(turn="t1", inputs=(0, 1)),
    )
    assert conversation(happened) == (Said("system", "cart: 2"), Said("user", "hi"))


def test_a_takeover_goes_on_with_the_tool_results_that_are_there() -> None:
    happened = log(
        user("pay"),
        TurnBegan(turn="t1", inputs=(0,)),
        ToolInput(turn="t1", call="c1", tool="pay", arguments="{}"),
        ToolOutput(turn="t1", call="c1", tool="pay", output="paid"),
        ToolInput(turn="t1", call="c2", tool="mail", arguments="{}"),
        TurnAbandoned(turn="t1"),
        TurnBegan(turn="t2", inputs=(0,)),
    )
    items = conversation(happened)
    assert items[:3] == (Said("user", "pay"), Called("c1", "pay", "{}"), Returned("c1", "paid"))
    assert isinstance(items[4], Returned)
    assert "unknown" in items[4].output
    assert len(items) == 5


def put_off(*inputs: int) -> list[Event]:
    """A turn of these has paid, and is tried again."""
    return [
        TurnBegan(turn="t1", inputs=inputs),
        ToolInput(turn="t1", call="c1", tool="pay", arguments="{}"),
        ToolOutput(turn="t1", call="c1", tool="pay", output="paid"),
        TurnPostponed(turn="t1", until=1, code="model_timeout", message=""),
    ]


def test_who_passes_a_turn_that_is_tried_again_does_not_go_on_with_its_work() -> None:
    note = Input(source="system", policy="silent", texts=("cart: 2",))
    happened = [note, user("pay"), *put_off(0, 1), user("hello")]
    passes = TurnBegan(turn="t2", inputs=(0, 6))
    assert conversation(log(*happened, passes)) == (
        Said("system", "cart: 2"),
        Said("user", "hello"),
    )
    answered = Answered(turn="t2", inputs=(0, 6), text="hi")
    again = conversation(log(*happened, passes, answered, TurnBegan(turn="t3", inputs=(1,))))
    assert again[-3:] == (Said("user", "pay"), Called("c1", "pay", "{}"), Returned("c1", "paid"))


def test_who_is_tried_again_goes_on_with_the_work_though_who_was_first_has_failed() -> None:
    happened = [user("one"), user("two"), *put_off(0, 1)]
    failed = InputsFailed(inputs=(0,), code="model_timeout", retryable=True)
    assert conversation(log(*happened, failed, TurnBegan(turn="t2", inputs=(1,)))) == (
        Said("user", "one"),
        Said("user", "two"),
        Called("c1", "pay", "{}"),
        Returned("c1", "paid"),
    )


def test_parallel_calls_stand_together_before_their_outputs() -> None:
    happened = log(
        user("both"),
        TurnBegan(turn="t1", inputs=(0,)),
        ToolInput(turn="t1", call="c1", tool="a", arguments="{}"),
        ToolInput(turn="t1", call="c2", tool="b", arguments="{}"),
        ToolOutput(turn="t1", call="c2", tool="b", output="2"),
        ToolOutput(turn="t1", call="c1", tool="a", output="1"),
    )
    assert [type(item) for item in conversation(happened)] == [
        Said,
        Called,
        Called,
        Returned,
        Returned,
    ]


def test_what_was_said_before_a_failure_or_an_interrupt_stays() -> None:
    happened = log(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        TurnInterrupted(turn="t1", inputs=(0,)),
        PartlyAnswered(turn="t1", text="well,"),
        user("two"),
        TurnBegan(turn="t2", inputs=(4,)),
        TurnFailed(turn="t2", inputs=(4,), code="x", message="", retryable=True, text="so"),
    )
    assert [item.text for item in conversation(happened) if isinstance(item, Said)] == [
        "one",
        "well,",
        "two",
        "so",
    ]


def test_a_steering_input_stands_where_it_was_taken() -> None:
    happened = log(
        user("a car"),
        TurnBegan(turn="t1", inputs=(0,)),
        ToolInput(turn="t1", call="c1", tool="find", arguments="{}"),
        ToolOutput(turn="t1", call="c1", tool="find", output="red"),
        Input(policy="steer", texts=("no, blue",)),
        InputsTaken(turn="t1", inputs=(4,)),
        Answered(turn="t1", inputs=(0, 4), text="here"),
    )
    assert conversation(happened) == (
        Said("user", "a car"),
        Called("c1", "find", "{}"),
        Returned("c1", "red"),
        Said("user", "no, blue"),
        Said("assistant", "here"),
    )


def test_a_steering_input_that_is_tried_alone_is_still_said() -> None:
    happened = log(
        user("a car"),
        TurnBegan(turn="t1", inputs=(0,)),
        Input(policy="steer", texts=("no, blue",)),
        InputsTaken(turn="t1", inputs=(2,)),
        TurnAbandoned(turn="t1"),
        TurnBegan(turn="t2", inputs=(0,)),
        Answered(turn="t2", inputs=(0,), text="red"),
        TurnBegan(turn="t3", inputs=(2,)),
    )
    assert conversation(happened) == (
        Said("user", "a car"),
        Said("assistant", "red"),
        Said("user", "no, blue"),
    )


def test_the_turn_that_goes_on_beside_an_aside_comes_last() -> None:
    happened = log(
        user("a flight"),
        TurnBegan(turn="t1", inputs=(0,)),
        Input(policy="aside", texts=("hello?",)),
        AsideBegan(turn="t2", inputs=(2,)),
        Answered(turn="t2", inputs=(2,), text="One moment."),
    )
    assert conversation(happened) == (
        Said("user", "hello?"),
        Said("assistant", "One moment."),
        Said("user", "a flight"),
    )


def test_a_call_whose_id_came_before_gets_another() -> None:
    """Small servers number their calls anew in each answer; others refuse that."""
    happened: list[Event] = []
    for n, turn in enumerate(("t1", "t2")):
        call: dict[str, Any] = {"turn": turn, "call": "call_0", "tool": "find"}
        happened += [
            user("where?"),
            TurnBegan(turn=turn, inputs=(5 * n,)),
            ToolInput(**call, arguments="{}"),
            ToolOutput(**call, output=f"here {n}"),
            Answered(turn=turn, inputs=(5 * n,), text="there"),
        ]
    first, second = (i for i in conversation(log(*happened)) if isinstance(i, Returned))
    assert (first, second.output) == (Returned("call_0", "here 0"), "here 1")
    assert Called(second.call, "find", "{}") in conversation(log(*happened))
    assert second.call != "call_0"


@pytest.mark.parametrize(
    ("tool", "arguments", "shown"),
    [
        ("find", '{"a": 1}', Called("c", "find", '{"a": 1}')),
        ("find", '{"a": ', Called("c", "find", '{"invalid": "{\\"a\\": "}')),
        ("find", "[1]", Called("c", "find", '{"invalid": "[1]"}')),
        ("find it", "{}", Called("c", "find_it", "{}")),
        ("", "{}", Called("c", "unknown", "{}")),
    ],
)
def test_a_call_that_a_provider_would_refuse_is_shown_as_it_would_not(
    tool: str, arguments: str, shown: Called
) -> None:
    happened = log(
        user("where?"),
        TurnBegan(turn="t1", inputs=(0,)),
        ToolInput(turn="t1", call="c", tool=tool, arguments=arguments),
        ToolOutput(turn="t1", call="c", tool=tool, output="No such tool.", error=True),
    )
    assert conversation(happened)[1] == shown


def test_an_answer_whose_question_is_not_in_the_window_is_left_out() -> None:
    happened = log(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        Answered(turn="t1", inputs=(0,), text="first"),
        user("two"),
        TurnBegan(turn="t2", inputs=(3,)),
    )
    assert conversation(happened[1:]) == (Said("user", "two"),)
