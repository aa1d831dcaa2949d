"""A fork at any place of any session: all is closed, and all that was shown is shown."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from cueline.adapters.openai import chat
from cueline.doors.agent_events.events import to_wire
from cueline.engine.fork import closing, copied, packs
from cueline.engine.model import ModelRequest
from cueline.log.conversation import conversation
from cueline.log.events import (
    Acknowledged,
    Answered,
    Event,
    Input,
    Listening,
    Recorded,
    TriggerScheduled,
    TurnBegan,
    TurnSuspended,
)
from cueline.log.fold import reduce
from cueline.log.segment import LARGEST_PACK, MAX_EVENTS, Session
from cueline.log.state import State
from cueline.log.triggers import Trigger
from tests.history import problems_of, problems_of_templates
from tests.walks import Walk

SESSION = Session("a", "s", 5, "S", 0)
tapes = st.lists(st.integers(0, 1000), max_size=200)


def log(events: Sequence[Event]) -> list[Recorded]:
    return [Recorded(n, 0, "", event) for n, event in enumerate(events)]


def fork(events: Sequence[Event], cut: int) -> list[Event]:
    kept = [copied(recorded) for recorded in log(events[:cut])]
    return [*kept, *closing(reduce(State(), 0, kept), cut, "fork")]


def shown(events: Sequence[Event]) -> list[object]:
    wired = (to_wire(SESSION, recorded) for recorded in log(events))
    return [one for one in wired if one]


def check(events: Sequence[Event], cut: int) -> None:
    forked = fork(events, cut)
    state = reduce(State(), 0, forked)
    before = reduce(State(), 0, events[:cut])
    assert (state.pending, state.turns, state.suspended) == ((), (), {})
    assert (state.used, state.step, state.compacted) == (before.used, before.step, before.compacted)
    assert shown(forked) == shown(events[:cut])
    assert problems_of(conversation(log(forked))) == []
    more = [*forked, Input(texts=("more",)), TurnBegan(turn="more", inputs=(len(forked),))]
    items = conversation(log(more))
    assert problems_of(items) == []
    assert problems_of_templates(chat._body(ModelRequest("m", "Be kind.", items))["messages"]) == []


@settings(deadline=None)
@given(tapes, st.integers(0, 200))
def test_a_fork_at_any_place_has_nothing_open_and_shows_the_same(
    numbers: Sequence[int], cut: int
) -> None:
    walk = Walk(numbers, strict=True)
    for _ in walk.steps():
        pass
    check(walk.events, min(cut, len(walk.events)))


def test_a_turn_that_waits_for_several_decisions_ends() -> None:
    events: list[Event] = [
        Input(texts=("pay",)),
        TurnBegan(turn="t", inputs=(0,)),
        TurnSuspended(turn="t", inputs=(0,), calls=("c", "d")),
        Input(texts=("and now?",)),
        TurnBegan(turn="u", inputs=(3,)),
        TurnSuspended(turn="u", inputs=(3,), calls=("e",)),
        Input(policy="decision", call="c"),
        Input(texts=("and then?",)),
    ]
    for cut in range(len(events) + 1):
        check(events, cut)


def test_what_is_said_again_in_a_fork_is_no_repeat() -> None:
    (said,) = log([Input(texts=("hi",), digest="d")])
    assert copied(said) == Input(texts=("hi",))


def test_what_was_to_come_by_itself_comes_in_its_own_session_only() -> None:
    answer = Answered(turn="t", inputs=(0,), text="yes", follow_up=60)
    scheduled = TriggerScheduled(due=1, trigger=Trigger())
    listening = Listening(connection="a.s.one", until=9)
    copies = [copied(recorded) for recorded in log([answer, scheduled, listening])]
    assert copies == [
        Answered(turn="t", inputs=(0,), text="yes"),
        Acknowledged(input=1),
        Acknowledged(input=2),
    ]


@given(st.lists(st.integers(0, LARGEST_PACK + 1_000), max_size=60))
def test_packs_are_dense_and_fit(sizes: list[int]) -> None:
    events = [Recorded(n, n, "", Input(texts=("x" * size,))) for n, size in enumerate(sizes)]
    packed = list(packs(events))
    assert [r for pack in packed for r in pack] == events
    for n, pack in enumerate(packed):
        size = sum(sizes[r.offset] for r in pack)
        assert 1 <= len(pack) <= MAX_EVENTS
        assert len(pack) == 1 or size <= LARGEST_PACK
        if packed[n + 1 :] and len(pack) < MAX_EVENTS:
            # What JSON takes around a text is little.
            assert size + sizes[packed[n + 1][0].offset] > LARGEST_PACK - 100 * MAX_EVENTS
