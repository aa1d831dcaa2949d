"""The laws of the state: what every segment carries, and what the next turn takes."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    Event,
    Finished,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    ModelCalled,
    Policy,
    SessionDeleted,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.fold import fold, reduce
from cueline.log.state import (
    MAX_TRIES,
    State,
    Turn,
    Waiting,
    can_begin,
    covered,
    given_up,
    next_batch,
    offsets,
    state_from_json,
    state_to_json,
    waiting_asides,
)

POLICIES: list[Policy] = ["enqueue", "coalesce", "interrupt", "steer", "silent", "aside"]


def waiting(*policies: Policy) -> State:
    return reduce(State(), 0, [Input(policy=policy) for policy in policies])


def batch(*policies: Policy) -> tuple[int, ...]:
    return offsets(next_batch(waiting(*policies), 0))


def begun(*policies: Policy) -> State:
    """All of them taken by the open turn `t`."""
    state = waiting(*policies)
    taken = offsets(state.pending)
    return fold(state, len(taken), TurnBegan(turn="t", inputs=taken))


# --- what the next turn takes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "taken"),
    [
        ([], ()),
        (["silent", "silent"], ()),
        (["enqueue"], (0,)),
        (["enqueue", "enqueue"], (0,)),
        (["enqueue", "coalesce"], (0,)),
        (["enqueue", "silent", "silent", "enqueue"], (0, 1, 2)),
        (["silent", "enqueue"], (0, 1)),
        (["coalesce", "coalesce", "steer", "silent", "enqueue"], (0, 1, 2, 3)),
        (["enqueue", "coalesce", "interrupt", "enqueue"], (0, 1, 2)),
        (["interrupt", "enqueue", "interrupt", "coalesce", "enqueue"], (0, 1, 2, 3)),
        (["aside", "enqueue"], (0,)),
        (["decision", "enqueue"], (0,)),
    ],
)
def test_the_next_turn_takes(policies: list[Policy], taken: tuple[int, ...]) -> None:
    assert batch(*policies) == taken
    assert can_begin(waiting(*policies), 0) == bool(taken)


def killed(state: State, times: int) -> State:
    """The next batch was in so many turns that died."""
    for _ in range(times):
        state = fold(state, 99, TurnBegan(turn="t", inputs=offsets(next_batch(state, 0))))
        state = fold(state, 100, TurnAbandoned(turn="t"))
    return state


def test_what_kills_its_hosts_is_tried_alone() -> None:
    state = killed(waiting("coalesce", "coalesce", "coalesce"), MAX_TRIES)
    assert offsets(next_batch(state, 0)) == (0,)
    state = fold(state, 99, InputsFailed(inputs=(0,)))
    assert offsets(next_batch(state, 0)) == (1,)
    assert 0 not in state.tries


def test_a_silent_suspect_is_tried_beside_an_asking_input() -> None:
    state = killed(waiting("silent", "silent", "enqueue"), MAX_TRIES - 1)
    state = fold(state, 98, Input(policy="interrupt"))
    state = killed(state, 1)
    assert state.tries == {0: 3, 1: 3, 2: 3, 98: 1}
    assert offsets(next_batch(state, 0)) == (2,)
    state = fold(state, 99, InputsFailed(inputs=(2,)))
    assert offsets(next_batch(state, 0)) == (0, 98)


def test_an_aside_begins_beside_the_open_turn_and_leaves_it_open() -> None:
    state = fold(begun("enqueue"), 2, Input(policy="aside"))
    assert can_begin(state, 0)
    assert offsets(waiting_asides(state)) == (2,)
    state = fold(state, 3, AsideBegan(turn="a", inputs=(2,)))
    assert state.aside == Turn("a", (Waiting(2, "aside"),))
    assert not can_begin(fold(state, 4, Input(policy="aside")), 0)
    state = fold(state, 4, Answered(turn="a", inputs=(2,), text=""))
    assert (state.aside, state.open and state.open.id) == (None, "t")


# --- how a turn ends -----------------------------------------------------------------------------


def test_an_abandoned_turn_gives_back_what_it_took_in_the_old_places() -> None:
    state = fold(begun("enqueue", "silent"), 3, Input())
    state = fold(state, 4, TurnAbandoned(turn="t"))
    assert offsets(state.pending) == (0, 1, 3)
    assert state.tries == {0: 1, 1: 1}


def test_a_decision_answers_what_was_suspended_on_it() -> None:
    state = fold(begun("enqueue"), 2, TurnSuspended(turn="t", inputs=(0,), calls=("c",)))
    assert (state.open, state.pending, state.suspended) == (None, (), {"c": (0,)})
    state = fold(state, 3, Input(policy="decision", call="c"))
    state = fold(state, 4, TurnBegan(turn="u", inputs=(3,)))
    assert state.open
    assert covered(state, state.open) == (0, 3)
    again = fold(state, 5, TurnSuspended(turn="u", inputs=(0, 3), calls=("d",)))
    assert again.suspended == {"d": (0, 3)}
    ended = fold(state, 5, Answered(turn="u", inputs=(0, 3), text="yes"))
    assert ended == State()


def test_a_turn_may_wait_for_several_decisions_and_goes_on_with_the_first() -> None:
    state = fold(begun("enqueue"), 2, TurnSuspended(turn="t", inputs=(0,), calls=("c", "d")))
    assert state.suspended == {"c": (0,), "d": (0,)}
    state = fold(state, 3, Input(policy="decision", call="c"))
    state = fold(state, 4, TurnBegan(turn="u", inputs=(3,)))
    again = fold(state, 5, TurnSuspended(turn="u", inputs=(0, 3), calls=("d",)))
    assert again.suspended == {"d": (0, 3)}
    assert fold(state, 5, Answered(turn="u", inputs=(0, 3), text="")).suspended == {}


@pytest.mark.parametrize(
    "late",
    [
        Answered(turn="old", inputs=(0,), text=""),
        TurnFailed(turn="old", inputs=(0,), code="c", message="", retryable=True),
        TurnAbandoned(turn="old"),
        TurnInterrupted(turn="old", inputs=()),
        TurnSuspended(turn="old", inputs=(0,), calls=("c",)),
        InputsOverran(inputs=()),
        InputsTaken(turn="old", inputs=(1,)),
        ToolInput(turn="old", call="c", tool="t", arguments="{}"),
        ToolOutput(turn="old", call="c", tool="t", output=""),
        Thinking(turn="old", text=""),
    ],
)
def test_events_of_a_closed_turn_change_nothing(late: Event) -> None:
    state = fold(begun("enqueue"), 2, Input())
    assert fold(state, 3, late) == state


def test_what_is_deleted_holds_no_content() -> None:
    state = fold(begun("enqueue", "silent"), 3, Input(digest="d"))
    assert fold(state, 4, SessionDeleted()) == State(deleted=True)


def test_inputs_that_were_taken_apart_wait_for_the_same_call() -> None:
    state = reduce(State(), 0, [Input(policy="coalesce"), Input(policy="coalesce")])
    for at, offset in ((2, 0), (4, 1)):
        state = fold(state, at, TurnBegan(turn="t", inputs=(offset,)))
        state = fold(state, at + 1, TurnSuspended(turn="t", inputs=(offset,), calls=("c",)))
    assert state.suspended == {"c": (0, 1)}
    state = fold(state, 6, Input(policy="decision", call="c"))
    state = fold(state, 7, TurnBegan(turn="u", inputs=(6,)))
    assert state.open
    assert covered(state, state.open) == (0, 1, 6)


def test_a_decision_that_is_given_up_ends_what_it_decides() -> None:
    state = fold(begun("enqueue"), 2, TurnSuspended(turn="t", inputs=(0,), calls=("c", "d")))
    state = fold(state, 3, Input(policy="decision", call="c"))
    failed = InputsFailed(inputs=given_up(state, state.pending[0]))
    assert failed.inputs == (0, 3)
    assert fold(state, 4, failed) == State()


def test_a_tool_call_is_remembered_until_its_input_ends() -> None:
    state = fold(begun("enqueue"), 2, ToolInput(turn="t", call="c", tool="pay", arguments="{}"))
    assert state.tools == {"c": (0, "running")}
    state = fold(state, 3, TurnAbandoned(turn="t"))
    assert state.tools == {"c": (0, "running")}
    state = fold(state, 4, TurnBegan(turn="u", inputs=(0,)))
    state = fold(state, 5, ToolOutput(turn="u", call="c", tool="pay", output="ok"))
    assert state.tools == {"c": (0, "done")}
    assert fold(state, 6, Answered(turn="u", inputs=(0,), text="")) == State()


def test_a_tool_call_is_remembered_as_long_as_one_of_its_turn_is_tried_again() -> None:
    given = [Input(policy="silent"), Input(policy="coalesce"), Input(policy="coalesce", tries=2)]
    state = reduce(State(), 0, [*given, TurnBegan(turn="t", inputs=(0, 1, 2))])
    state = fold(state, 4, ToolInput(turn="t", call="c", tool="pay", arguments="{}"))
    state = fold(state, 5, TurnPostponed(turn="t", until=9, code="c", message=""))
    state = fold(state, 6, InputsFailed(inputs=(1,), code="c", retryable=True))
    assert state.tools == {"c": (2, "running")}


# --- random, but legal, lives of a session -------------------------------------------------------


Choice = Callable[[st.DataObject], Event]


def of_turn(state: State, turn: Turn) -> list[Choice]:
    call, done = str(turn.inputs[0].offset), covered(state, turn)
    failed: dict[str, Any] = {"code": "c", "message": "", "retryable": True}
    return [
        lambda _: Answered(turn=turn.id, inputs=done, text="", step="main"),
        lambda _: Finished(turn=turn.id, inputs=done),
        lambda _: TurnFailed(turn=turn.id, inputs=done, **failed),
        lambda _: TurnInterrupted(turn=turn.id, inputs=()),
        lambda _: TurnAbandoned(turn=turn.id),
        lambda _: TurnHandedOver(turn=turn.id, unstarted=(call,)),
        lambda _: ModelCalled(turn=turn.id, input_tokens=3, output_tokens=1),
        lambda _: Spoke(turn=turn.id, text=""),
        lambda _: ToolInput(turn=turn.id, call=call, tool="t", arguments="{}"),
        lambda _: ToolOutput(turn=turn.id, call=call, tool="t", output=""),
        lambda _: SkillLoaded(turn=turn.id, skill="s", content=""),
        lambda _: StepChanged(turn=turn.id, from_step="main", to_step="more"),
        lambda _: Compacted(turn=turn.id, up_to=turn.inputs[0].offset, summary=""),
    ]


def legal(state: State, at: int) -> list[Choice]:
    """What may be appended: the engine's rules, without its clocks."""

    def given_input(data: st.DataObject) -> Event:
        policy = data.draw(st.sampled_from(POLICIES))
        aside_alone = policy == "aside" and not state.open
        return Input(policy="enqueue" if aside_alone else policy)

    can: list[Choice] = [given_input] * 3
    turn = state.open
    if not turn and (found := next_batch(state, 0)):
        can += [lambda _: TurnBegan(turn=f"t{at}", inputs=offsets(found))] * 3
    if turn and (asides := waiting_asides(state)):
        can.append(lambda _: AsideBegan(turn=f"a{at}", inputs=offsets(asides[:1])))
    if turn and (steering := [i for i in state.pending if i.policy == "steer"]):
        can.append(lambda _: InputsTaken(turn=turn.id, inputs=offsets(steering)))
    for one in state.turns:
        can += of_turn(state, one)
    if turn:
        calls = (f"c{at}", f"d{at}", *sorted(state.suspended)[:1])
        can.append(
            lambda data: TurnSuspended(
                turn=turn.id,
                inputs=covered(state, turn),
                calls=calls[: data.draw(st.integers(1, len(calls)))],
            )
        )
    if state.suspended:
        can.append(
            lambda data: Input(
                policy="decision", call=data.draw(st.sampled_from(sorted(state.suspended)))
            )
        )
    if state.pending:
        can.append(
            lambda data: InputsWithdrawn(
                inputs=(data.draw(st.sampled_from(offsets(state.pending))),)
            )
        )
        can.append(
            lambda data: InputsFailed(
                inputs=given_up(state, data.draw(st.sampled_from(state.pending)))
            )
        )
    return can


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_each_input_is_in_one_place_and_ends_once(data: st.DataObject) -> None:
    state, events = State(), list[Event]()
    inputs, ended = set[int](), set[int]()
    for at in range(data.draw(st.integers(0, 40))):
        choices = legal(state, at)
        event = choices[data.draw(st.integers(0, len(choices) - 1))](data)
        before, state = state, fold(state, at, event)
        events.append(event)
        if isinstance(event, Input):
            inputs.add(at)
        ends = ending(before, event)
        assert not ended.intersection(ends), "an input ends once"
        ended.update(ends)
        if isinstance(event, TurnBegan):
            check_begin(before, event)
        everywhere = [
            *offsets(state.pending),
            *(o for turn in state.turns for o in offsets(turn.inputs)),
            # It may wait for decisions on several calls.
            *{o for waits in state.suspended.values() for o in waits},
        ]
        assert len(everywhere) == len(set(everywhere)), "in one place"
        assert set(everywhere) == inputs - ended, "and never lost"
        assert list(state.pending) == sorted(state.pending, key=lambda i: i.offset)
        assert state.tries.keys() <= set(everywhere), "nothing is remembered of finished inputs"
        assert {o for o, _ in state.tools.values()} <= set(everywhere)
        assert state_from_json(state_to_json(state)) == state
    cut = data.draw(st.integers(0, len(events)))
    assert reduce(reduce(State(), 0, events[:cut]), cut, events[cut:]) == state


def ending(before: State, event: Event) -> tuple[int, ...]:
    match event:
        case InputsWithdrawn() | InputsFailed():
            return event.inputs
        case Answered() | Finished() | TurnFailed() | TurnInterrupted():
            turn = before.running(event.turn)
            return covered(before, turn) if turn else ()
    return ()


def check_begin(before: State, event: TurnBegan) -> None:
    taken = [i for i in before.pending if i.offset in event.inputs]
    left = [i for i in before.pending if i.offset not in event.inputs]
    assert before.open is None, "one turn at a time"
    assert any(i.asks for i in taken), "a silent input asks for nothing"
    newest = max(i.offset for i in taken if i.asks)
    assert all(i.offset > newest for i in left if i.asks), "in the order of acceptance"
    if any(before.suspect(i) for i in before.pending):
        return  # tried alone
    assert all(i.offset > newest for i in left), "the next turn absorbs what was silent"
    assert all(i.policy != "interrupt" for i in left), "answered with what waited before it"


def test_an_empty_state_is_small() -> None:
    assert state_to_json(State()) == "{}"
    assert state_from_json("{}") == State()


def test_the_state_of_a_newer_version_can_be_read() -> None:
    assert state_from_json('{"deleted":true,"unheard_of":"x"}') == State(deleted=True)
