"""Frames of turns that come one into the other: what stands before an end is what was stored."""

import json
from typing import Any

from cueline.doors.agent_events.stream import Frames
from cueline.doors.relay import Said
from cueline.engine.model import TextDelta
from cueline.errors import TurnRunning
from cueline.log.events import (
    Answered,
    Event,
    PartlyAnswered,
    Recorded,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
)
from cueline.log.segment import Session


def said(*what: Event | str) -> list[Said]:
    """Events at offsets from 0, and deltas."""
    return [
        TextDelta(one) if isinstance(one, str) else Recorded(n, 0, "", one)
        for n, one in enumerate(what)
    ]


def framed(what: list[Said], offset: int = 0, error: Exception | None = None) -> list[Any]:
    frames = Frames(Session("a", "s", 1, "S", 0), "r", offset)
    told = [frame for one in what for frame in frames.of(one, 0)]
    if error:
        told += frames.failed(error, 0)
    told += frames.close(0)
    return [json.loads(frame.partition(b"data:")[2]) for frame in told]


def runs(events: list[Any]) -> list[tuple[str, bool]]:
    """(the text, whether it is stored) of each run of pieces, each of which must be ended."""
    found, text = [], ""
    for event in events:
        if event["type"] == "streaming_agent_output":
            text += event["content"]
        elif event["type"] == "streaming_agent_output_end":
            found.append((text, "event_id" in event))
            text = ""
    assert not text
    return found


def test_an_answer_is_framed_as_it_is_said() -> None:
    told = framed(said(TurnBegan(turn="b", inputs=(0,)), "Hel", "lo", answered("b", "Hello")))
    assert runs(told) == [("Hello", True)]


def answered(turn: str, text: str) -> Answered:
    return Answered(turn=turn, inputs=(0,), text=text)


def test_words_of_an_older_turn_leave_the_answer_whole() -> None:
    late = PartlyAnswered(turn="a", text="so far")
    told = framed(said(TurnBegan(turn="b", inputs=(0,)), "Hel", late, "lo", answered("b", "Hello")))
    assert runs(told) == [("Hel", False), ("so far", True), ("Hello", True)]


def test_words_that_come_just_before_the_end_leave_it_whole() -> None:
    late = PartlyAnswered(turn="a", text="so far")
    told = framed(said(TurnBegan(turn="b", inputs=(0,)), "Hello", late, answered("b", "Hello")))
    assert runs(told) == [("Hello", False), ("so far", True), ("Hello", True)]


def test_an_answer_of_another_process_is_framed_whole() -> None:
    told = framed(said(TurnBegan(turn="a", inputs=(0,)), answered("a", "Hello")))
    assert runs(told) == [("Hello", True)]


def test_a_turn_that_was_taken_over_is_broken_off() -> None:
    told = framed(
        said(
            TurnBegan(turn="a", inputs=(0,)),
            "Hel",
            TurnBegan(turn="b", inputs=(0,)),
            answered("b", "Good day"),
        )
    )
    assert runs(told) == [("Hel", False), ("Good day", True)]


def test_an_interrupted_turn_ends_with_what_it_had_said() -> None:
    told = framed(
        said(
            TurnBegan(turn="a", inputs=(0,)),
            "so ",
            "far",
            TurnInterrupted(turn="a", inputs=(0,)),
            PartlyAnswered(turn="a", text="so far"),
        )
    )
    assert runs(told) == [("so far", True)]


def test_what_fails_ends_its_text_before_it_says_so() -> None:
    late = TurnRunning("Late.", turn="a", retry_after=1)
    told = framed(said(TurnBegan(turn="a", inputs=(0,)), "Hel"), error=late)
    assert [e["type"] for e in told][-2:] == ["streaming_agent_output_end", "error"]


def test_a_failure_of_another_input_is_told_as_the_log_shows_it() -> None:
    failed = TurnFailed(turn="a", inputs=(7,), code="model_cut", message="Cut.", retryable=True)
    assert "error" not in [e["type"] for e in framed(said(failed))]
    assert framed(said(failed), offset=7)[-1]["type"] == "error"
