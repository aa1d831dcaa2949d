"""The laws of tools can be broken: each damage to a good log, or to its ledger, is named."""

from collections.abc import Sequence
from typing import Any

import pytest

from cueline.adapters.dynamodb.items import segment_to_item
from cueline.log.events import (
    Answered,
    Decision,
    Event,
    Input,
    Spoke,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnSuspended,
)
from cueline.log.fold import reduce
from cueline.log.segment import Segment
from cueline.log.state import State
from tests.reliability.laws import broken
from tests.reliability.test_laws import INC, META, S


def made(turn: str, call: str, tool: str, entry: str, **more: Any) -> ToolInput:
    arguments = f'{{"entry": "{entry}"}}'
    return ToolInput(
        turn=turn, call=call, tool=tool, arguments=arguments, configuration=tool, **more
    )


def output(turn: str, call: str, tool: str, **more: Any) -> ToolOutput:
    return ToolOutput(turn=turn, call=call, tool=tool, output="", **more)


def good(verdict: Any = "approve") -> list[Event]:
    """A payment, noted; then a refund that somebody decides on."""
    return [
        Input(texts=("pay",)),
        TurnBegan(turn="t1", inputs=(0,)),
        made("t1", "c1", "pay", "rent"),
        made("t1", "c2", "note", "rent"),
        output("t1", "c1", "pay"),
        output("t1", "c2", "note"),
        Answered(turn="t1", inputs=(0,), text="paid"),
        Input(texts=("refund",)),
        TurnBegan(turn="t2", inputs=(7,)),
        made("t2", "c3", "refund", "rent", approval=True),
        TurnSuspended(turn="t2", inputs=(7,), calls=("c3",)),
        Input(policy="decision", call="c3", decision=Decision(verdict=verdict)),
        TurnBegan(turn="t3", inputs=(11,)),
        made("t3", "c3", "refund", "rent", approval=True),
        output("t3", "c3", "refund", error=verdict == "reject"),
        Answered(turn="t3", inputs=(7, 11), text="done"),
    ]


LEDGER = ("pay rent", "note rent", "refund rent")


def found(events: Sequence[Event], ledger: Sequence[str]) -> list[str]:
    segment = Segment(0, tuple(events), reduce(State(), 0, events), "attempt", 1000)
    return broken([META, segment_to_item(S, INC, segment)], ledger=ledger)


def instead(place: int, event: Event) -> list[Event]:
    events = good()
    events[place] = event
    return events


NOTHING = Spoke(turn="t1", text="")


def test_good_work_breaks_no_law() -> None:
    assert found(good(), LEDGER) == []
    assert found(good(), (*LEDGER, "note rent")) == [], "what may be repeated may have been"
    assert found(good("reject"), LEDGER[:2]) == []


@pytest.mark.parametrize(
    ("law", "events", "ledger"),
    [
        ("P3 tool once", good(), (*LEDGER, "pay rent")),
        ("P3 tool once", good(), (*LEDGER, "refund rent")),
        ("P3 allowed", good(), (*LEDGER, "pay gas")),
        ("P3 allowed", good("reject"), LEDGER),
        ("P3 allowed", good()[:10], LEDGER),
        ("P3 allowed", instead(2, NOTHING), LEDGER),
        ("P3 output", good(), LEDGER[1:]),
        ("P3 output", instead(4, NOTHING), LEDGER),
        ("P3 output", instead(5, output("t1", "c1", "pay")), LEDGER),
    ],
    ids=[
        *("a payment twice", "a refund twice", "a payment that nobody asked for"),
        *("a refund that was rejected", "a refund on which nobody has decided"),
        *("a payment before its call", "a payment that is told and was not made"),
        *("an answer before the output", "an output twice"),
    ],
)
def test_damage_is_named(law: str, events: Sequence[Event], ledger: Sequence[str]) -> None:
    lines = found(events, ledger)
    assert any(line.startswith(law) for line in lines), lines
