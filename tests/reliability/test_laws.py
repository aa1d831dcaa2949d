"""The laws can be broken: each damage to a good log, or to what clients were told, is named."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cueline.adapters.dynamodb.items import Item, segment_to_item, session_to_item
from cueline.log.events import (
    Answered,
    Event,
    Input,
    InputsFailed,
    PartlyAnswered,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    event_id,
)
from cueline.log.fold import reduce
from cueline.log.segment import Segment, Session
from cueline.log.state import State
from tests.reliability.evidence import Reading, Told
from tests.reliability.laws import broken

S, INC = "a.s", 7
META = session_to_item(Session("a", "s", INC, "S", 0), "attempt", 0)

Written = list[tuple[Event, ...]]


def good() -> Written:
    """An answer; a queue of two; an interrupt; a failure; a takeover, and a giving up."""
    return [
        (Input(texts=("one",)), TurnBegan(turn="t1", inputs=(0,))),  # 0, 1
        (Answered(turn="t1", inputs=(0,), text="first"),),  # 2
        (Input(texts=("two",)), TurnBegan(turn="t2", inputs=(3,))),  # 3, 4
        (Input(texts=("three",)),),  # 5
        (Answered(turn="t2", inputs=(3,), text="second"),),  # 6
        (TurnBegan(turn="t3", inputs=(5,)),),  # 7
        (TurnInterrupted(turn="t3", inputs=(5,)),),  # 8
        (PartlyAnswered(turn="t3", text="thi"),),  # 9
        (Input(texts=("four",)), TurnBegan(turn="t4", inputs=(10,))),  # 10, 11
        (
            TurnFailed(turn="t4", inputs=(10,), code="model_cut", message="Cut.", retryable=True),
        ),  # 12
        (Input(texts=("five",)), TurnBegan(turn="t5", inputs=(13,))),  # 13, 14
        (TurnAbandoned(turn="t5"), InputsFailed(inputs=(13,))),  # 15, 16
    ]


def items(written: Written) -> list[Item]:
    """As a writer who is right about everything stores them."""
    state, at = State(), 0
    made: list[Item] = [META]
    for n, events in enumerate(written):
        state = reduce(state, at, events)
        made.append(segment_to_item(S, INC, Segment(at, events, state, f"attempt {n}", 1000 + n)))
        at += len(events)
    return made


def id_of(offset: int) -> str:
    return event_id(S, INC, offset)


ANN = Told(S, "ann", "one", status=201, event=id_of(0), answers={id_of(2): "first"})
BEN = Told(S, "ben", "two", key="k", status=201, event=id_of(3), answers={id_of(6): "second"})
LATER = Told(S, "ann", "three", status=201, event=id_of(5), answers={id_of(9): "thi"})
FAILED = Told(S, "ann", "four", attempts=2, status=500, code="agent_processing_failed")
TOLD = (ANN, BEN, LATER, FAILED)
READING = Reading(S, tuple(map(id_of, (0, 2, 3, 5, 6, 9, 10, 12, 13, 16))))


def test_a_good_log_breaks_no_law() -> None:
    assert broken(items(good()), TOLD, [READING]) == []


# --- damage to what is stored --------------------------------------------------------------------


def written(*changes: tuple[int, tuple[Event, ...] | None]) -> list[Item]:
    """Other events in some segments, or none, and the writer believed it all."""
    made: list[tuple[Event, ...] | None] = [*good()]
    for place, events in changes:
        made[place] = events
    return items([events for events in made if events is not None])


def without(place: int) -> list[Item]:
    made = items(good())
    del made[place + 1]
    return made


def carried(place: int) -> list[Item]:
    made = items(good())
    made[place + 1] = {**made[place + 1], "state": made[place]["state"]}
    return made


STORED: dict[str, tuple[str, Callable[[], Sequence[Item]]]] = {
    "a segment is lost": ("P3 dense", lambda: without(3)),
    "the last segment is lost": ("P1 rest", lambda: without(11)),
    "an answer is lost": ("P3 dense", lambda: without(4)),
    "a carried state is that of the segment before": ("P3 carried", lambda: carried(4)),
    "an answer was never written": ("P1 rest", lambda: items(good()[:10] + good()[10:11])),
    "an input was never taken": ("P1 answered", lambda: items([*good()[:7], *good()[10:]][:6])),
    "a turn is answered twice": (
        "P3 fence",
        lambda: written((2, (Answered(turn="t1", inputs=(0,), text="again"), *good()[2]))),
    ),
    "an answer names an input that another turn answered": (
        "P3 once",
        lambda: written((4, (Answered(turn="t2", inputs=(0, 3), text="second"),))),
    ),
    "an answer leaves its input out": (
        "P3 answer",
        lambda: written((1, (Answered(turn="t1", inputs=(), text="first"),))),
    ),
    "two turns run": ("P3 lock", lambda: written((3, (*good()[3], *good()[5])))),
    "a later input is taken first": (
        "P3 order",
        lambda: written((7, None), (8, None), (6, None), (5, None), (3, two_waiting())),
    ),
    "what is held back is taken before its time": (
        "P3 order",
        lambda: written((0, (Input(texts=("one",), not_before=60_000), good()[0][1]))),
    ),
    "a turn takes what has been answered": (
        "P3 taken",
        lambda: written((5, (TurnBegan(turn="t3", inputs=(3, 5)),))),
    ),
    "a turn that was taken over answers": (
        "P3 fence",
        lambda: written((11, (*good()[11], Answered(turn="t5", inputs=(13,), text="late")))),
    ),
    "a failure says nothing": (
        "P10 code",
        lambda: written(
            (9, (TurnFailed(turn="t4", inputs=(10,), code="", message="", retryable=True),))
        ),
    ),
    "a failure is a bug": (
        "P10 code",
        lambda: written(
            (9, (replace_code("internal_error"),)),
        ),
    ),
}


def two_waiting() -> tuple[Event, ...]:
    """Two inputs come while the turn runs; the second is begun before the first."""
    return (
        Input(texts=("three",)),
        Input(texts=("three and a half",)),
        Answered(turn="t2", inputs=(3,), text="second"),
        TurnBegan(turn="t3", inputs=(6,)),
    )


def replace_code(code: str) -> TurnFailed:
    return TurnFailed(turn="t4", inputs=(10,), code=code, message="Sorry.", retryable=True)


@pytest.mark.parametrize("damage", STORED)
def test_damage_to_the_log_is_named(damage: str) -> None:
    law, make = STORED[damage]
    found = broken(make())
    assert any(line.startswith(law) for line in found), found


def test_what_is_ready_may_pass_what_is_held_back() -> None:
    held = Input(texts=("three",), not_before=60_000)
    passed = (held, *two_waiting()[1:])
    done = Answered(turn="t3", inputs=(6,), text="third")
    found = broken(items([*good()[:3], (*passed, done)]))
    assert found == ["P1 answered: input 5 (enqueue) never ended [a.s/7]"]


# --- damage to what was told ---------------------------------------------------------------------

TOLD_WRONG: dict[str, tuple[str, Sequence[Told]]] = {
    "an acknowledged input is not there": (
        "P1 kept",
        [Told(S, "ann", "never stored", status=201, event=id_of(1))],
    ),
    "an acknowledged input is beyond the end": ("P1 kept", [replace(ANN, event=id_of(99))]),
    "a failed input is not there": ("P1 kept", [replace(FAILED, text="never stored")]),
    "an input is there without being sent": ("P2 once", [replace(ANN, attempts=0)]),
    "a key stands for two events": ("P2 key", [BEN, replace(BEN, event=id_of(0), text="one")]),
    "a key has two answers": ("P2 key", [BEN, replace(BEN, answers={id_of(2): "first"})]),
    "an answer is not what is stored": (
        "P3 told",
        [replace(ANN, answers={id_of(2): "something else"})],
    ),
    "an answer is another's": ("P3 told", [replace(ANN, answers={id_of(6): "second"})]),
    "what was heard of an interrupted answer is lost": (
        "P3 told",
        [replace(LATER, answers={id_of(9): "third"})],
    ),
    "one after the other, and stored the other way round": ("P3 order", [LATER, ANN]),
    "a bug is told": ("P10 bug", [Told(S, "ann", "x", status=500, code="internal_error")]),
    "a traceback is told": (
        "P10 bug",
        [replace(FAILED, raw='{"messages": ["Traceback (most recent call last)"]}')],
    ),
    "a status that no client expects": ("P10 status", [Told(S, "ann", "x", status=502, code="x")]),
    "a refusal without a code": ("P10 code", [Told(S, "ann", "x", status=400)]),
}


@pytest.mark.parametrize("damage", TOLD_WRONG)
def test_damage_to_what_was_told_is_named(damage: str) -> None:
    law, told = TOLD_WRONG[damage]
    found = broken(items(good()), told)
    assert any(line.startswith(law) for line in found), found


@pytest.mark.parametrize(
    ("law", "ids"),
    [
        ("P5 missed", READING.ids[:3] + READING.ids[4:]),
        ("P5 missed", READING.ids[:-1]),
        ("P5 twice", (*READING.ids, READING.ids[-1])),
        ("P5 order", (READING.ids[1], READING.ids[0], *READING.ids[2:])),
    ],
)
def test_a_reader_who_misses_something_is_noticed(law: str, ids: tuple[str, ...]) -> None:
    found = broken(items(good()), (), [replace(READING, ids=ids)])
    assert [line.split(":")[0] for line in found] == [law]


def test_a_history_that_providers_refuse_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from cueline.log.conversation import Returned
    from tests.reliability import laws

    monkeypatch.setattr(laws, "conversation", lambda _: (Returned("never called", "x"),))
    assert any(line.startswith("P4 history") for line in broken(items(good())))
