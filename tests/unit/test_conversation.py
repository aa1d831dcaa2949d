"""The log as a provider sees it: every input under the turn that took it, valid at every cut."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cueline.log.conversation import Called, Returned, Said, conversation, size
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsTaken,
    Recorded,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
)
from tests.history import problems

turns = st.sampled_from(["t1", "t2"])
calls = st.sampled_from(["c1", "c2"])
inputs = st.lists(st.integers(0, 30), max_size=3, unique=True).map(lambda o: tuple(sorted(o)))
texts = st.sampled_from(["", "a", "b"])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Input, texts=st.tuples(texts), source=st.sampled_from(["user", "system"])),
    st.builds(TurnBegan, turn=turns, inputs=inputs),
    st.builds(AsideBegan, turn=turns, inputs=inputs),
    st.builds(InputsTaken, turn=turns, inputs=inputs),
    st.builds(Thinking, turn=turns, text=texts),
    st.builds(ToolInput, turn=turns, call=calls, tool=st.just("t"), arguments=st.just("{}")),
    st.builds(ToolOutput, turn=turns, call=calls, tool=st.just("t"), output=texts),
    st.builds(Answered, turn=turns, inputs=inputs, text=texts),
    st.builds(
        TurnFailed,
        turn=turns,
        inputs=inputs,
        text=texts,
        code=st.just("x"),
        message=st.just(""),
        retryable=st.booleans(),
    ),
    st.builds(TurnInterrupted, turn=turns, text=texts),
    st.builds(TurnAbandoned, turn=turns),
    st.builds(TurnSuspended, turn=turns, call=calls),
)


def log(*happened: Event) -> list[Recorded]:
    return [Recorded(n, 0, "", event) for n, event in enumerate(happened)]


def user(text: str) -> Input:
    return Input(texts=(text,))


began = [Input(texts=("a",)), TurnBegan(turn="t1", inputs=(0,)), TurnBegan(turn="t2", inputs=())]
logs = st.one_of(
    st.lists(events, max_size=30), st.lists(events, max_size=30).map(lambda more: began + more)
)


@given(logs, st.integers(0, 3), st.integers(0, 33))
def test_any_cut_of_any_log_is_a_history_that_providers_accept(
    happened: Sequence[Event], start: int, stop: int
) -> None:
    assert problems(conversation(log(*happened)[start:stop])) == []


@given(logs, st.integers(0, 400))
def test_a_byte_limit_keeps_whole_turns_and_always_the_newest(
    happened: Sequence[Event], limit: int
) -> None:
    whole, cut = conversation(log(*happened)), conversation(log(*happened), limit)
    assert problems(cut) == []
    assert whole[len(whole) - len(cut) :] == cut
    if sum(map(size, whole)) <= limit:
        assert cut == whole


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
        TurnInterrupted(turn="t1", text="well,"),
        user("two"),
        TurnBegan(turn="t2", inputs=(3,)),
        TurnFailed(turn="t2", inputs=(3,), code="x", message="", retryable=True, text="so"),
    )
    assert [item.text for item in conversation(happened) if isinstance(item, Said)] == [
        "one",
        "well,",
        "two",
        "so",
    ]
