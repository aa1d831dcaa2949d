"""What a model says beside its answer, taken out of it while it is being said."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.engine.agent import Agent, Guideline
from cueline.engine.guidelines import Markers, instruction

AGENT = Agent(
    key="a",
    name="A",
    model="m",
    created_at=0,
    updated_at=0,
    guidelines=(
        Guideline(id="low", condition="x", action="y"),
        Guideline(id="high", condition="z", priority=1, criticality="high", description="d"),
        Guideline(id="off", condition="w", enabled=False),
    ),
)


def heard(said: list[str]) -> tuple[str, Markers]:
    markers = Markers()
    told = [markers.feed(piece) for piece in said]
    return "".join([*told, markers.rest()]), markers


@pytest.mark.parametrize(
    ("said", "text", "followed", "silent"),
    [
        ("Hi there.", "Hi there.", (), False),
        ("Hi.\n[[guidelines: 1, 2]]", "Hi.", (1, 2), False),
        ("Hi.\n\n[[ Guidelines: 2 ]]\n", "Hi.", (2,), False),
        ("[[guideline:1]]\nHi.", "Hi.", (1,), False),
        ("a [[guidelines: 1]] b", "a b", (1,), False),
        ("[[silence]]", "", (), True),
        ("\n[[Silence]] ", "", (), True),
        ("Lists are [[1, 2], [3]] and [[x]].", "Lists are [[1, 2], [3]] and [[x]].", (), False),
        ("[[guidelines: 1", "[[guidelines: 1", (), False),
        ("See [1] and [2] ", "See [1] and [2]", (), False),
    ],
)
def test_a_marker_is_no_part_of_the_answer_however_it_is_cut_in_pieces(
    said: str, text: str, followed: tuple[int, ...], silent: bool
) -> None:
    for pieces in ([said], list(said), [said[:7], said[7:]]):
        found, markers = heard(pieces)
        assert (found, markers.followed, markers.silent) == (text, followed, silent)


@given(st.lists(st.text("ab[] \n1:,", max_size=6), max_size=12))
def test_what_is_no_marker_is_told_whole(pieces: list[str]) -> None:
    found, _ = heard(pieces)
    assert found == "".join(pieces).strip()


@pytest.mark.parametrize(
    "pieces",
    [
        ["Hi", *["\n" * 8] * 1_000, "there"],
        ["Hi", "\n" * 100_000, "there"],
        ["Hi", *["\n"] * 100_000],
        ["Hi", "\n" * 10_000, *"[[guidelines: 1"],
        ["[[guidelines: 1", " " * 100_000, "there"],
        ["[[silence", " " * 100_000, "there"],
    ],
    ids=["many", "long", "trailing", "held", "numbers", "silence"],
)
def test_a_model_that_goes_on_and_on_with_space_holds_nobody_up(pieces: list[str]) -> None:
    began = time.process_time()
    found, _ = heard(pieces)
    assert time.process_time() - began < 3  # of minutes that it takes who tries every beginning
    assert found == "".join(pieces).strip()


def test_guidelines_are_numbered_by_priority_and_their_ids_come_back() -> None:
    told = instruction(AGENT)
    assert "1. When z: take note of it (this one matters most) [d]" in told
    assert "2. When x: y" in told
    assert "When w" not in told
    assert Markers(followed=(2, 2, 7, 1)).ids(AGENT) == ("low", "high")


def test_an_agent_without_guidelines_is_told_of_none() -> None:
    assert instruction(AGENT.model_copy(update={"guidelines": ()})) == ""
