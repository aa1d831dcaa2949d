"""What models see of a session of which a part has been removed."""

from typing import Any

from cueline.engine.compaction import cut
from cueline.log.conversation import CUT_OFF, Called, Item, Returned, Said, conversation
from cueline.log.events import (
    Answered,
    Event,
    EventsRemoved,
    Input,
    InputsWithdrawn,
    Recorded,
    Spoke,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
)


def log(*happened: Event) -> list[Recorded]:
    return [Recorded(n, 0, "", event) for n, event in enumerate(happened)]


def user(text: str) -> Input:
    return Input(texts=(text,))


def shown(*happened: Event) -> tuple[Item, ...]:
    return conversation(log(*happened))


def test_a_turn_of_which_the_end_is_removed_has_ended_and_keeps_its_place() -> None:
    assert shown(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        Spoke(turn="t1", text="so far"),
        Answered(turn="t1", inputs=(0,), text="gone"),
        EventsRemoved(first=3),
        user("two"),
        TurnBegan(turn="t2", inputs=(5,)),
        Answered(turn="t2", inputs=(5,), text="second"),
    ) == (
        Said("user", "one"),
        Said("assistant", "so far"),
        Said("user", "two"),
        Said("assistant", "second"),
    )


def test_a_call_of_which_the_output_is_removed_does_not_run_for_ever() -> None:
    items = shown(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        ToolInput(turn="t1", call="c", tool="find", arguments="{}"),
        ToolOutput(turn="t1", call="c", tool="find", output="gone"),
        TurnInterrupted(turn="t1", inputs=(0,)),
        EventsRemoved(first=3),
    )
    assert items == (Said("user", "one"), Called("c", "find", "{}"), Returned("c", CUT_OFF))


def test_an_input_stays_where_all_that_was_done_about_it_is_removed() -> None:
    assert shown(
        user("one"),
        user("removed"),
        TurnBegan(turn="t1", inputs=(0,)),
        Answered(turn="t1", inputs=(0,), text="gone"),
        InputsWithdrawn(inputs=(1,)),
        EventsRemoved(first=1),
        user("two"),
        TurnBegan(turn="t2", inputs=(6,)),
    ) == (Said("user", "one"), Said("user", "two"))


def test_what_the_provider_refuses_is_not_sent_again_where_the_refusal_is_removed() -> None:
    refused: dict[str, Any] = {"code": "model_refused", "message": "", "retryable": False}
    assert shown(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        TurnFailed(turn="t1", inputs=(0,), **refused),
        EventsRemoved(first=2),
        user("two"),
        TurnBegan(turn="t2", inputs=(4,)),
    ) == (Said("user", "two"),)


def test_a_turn_of_which_the_end_is_removed_can_be_summed_up() -> None:
    happened = log(
        user("one"),
        TurnBegan(turn="t1", inputs=(0,)),
        Answered(turn="t1", inputs=(0,), text="gone"),
        user("gone"),
        TurnBegan(turn="t2", inputs=(3,)),
        Answered(turn="t2", inputs=(3,), text="gone"),
        EventsRemoved(first=2),
        user("two"),
        TurnBegan(turn="t3", inputs=(7,)),
    )
    found = cut(happened, 0)
    assert found
    assert (found.up_to, found.kept, found.turns) == (2, (), 1)
    assert conversation(found.past) == (Said("user", "one"),)
