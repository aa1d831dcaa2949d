"""What random schedules have found once of an agent that speaks first, and of people beside it."""

from dataclasses import replace

import pytest

from cueline.engine.fork import Source, fork
from cueline.engine.model import End, Returned, Said, TextDelta
from cueline.engine.modes import change_mode
from cueline.engine.ports import WakeUp
from cueline.engine.removal import remove_events
from cueline.engine.takeover import plan
from cueline.errors import CallNotWaiting, Conflict
from cueline.log.conversation import SUMMARY, conversation
from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    Event,
    EventsRemoved,
    Finished,
    Input,
    InputsWithdrawn,
    PartlyAnswered,
    Posted,
    TriggerScheduled,
    TurnAbandoned,
    TurnBegan,
    TurnHandedOver,
    TurnInterrupted,
    TurnReady,
    erased,
)
from cueline.log.state import MAX_TRIES
from cueline.log.triggers import FollowUp
from tests.tooling import calls
from tests.unit.test_hostile_turns import put
from tests.unit.test_triggers import BUY_TIME, FOLLOW_UP, LADDER, Room, of, slow
from tests.unit.test_turns import LEASE, SESSION, texts


@pytest.fixture
def room() -> Room:
    return Room()


def remove(room: Room, first: int) -> None:
    remove_events(room.ports, room.found(), first, "removal")


def after_removal(room: Room) -> list[Event]:
    events = room.log()
    (removed,) = (n for n, event in enumerate(events) if isinstance(event, EventsRemoved))
    return events[removed + 1 :]


# --- removal -------------------------------------------------------------------------------------


def test_a_call_that_was_removed_waits_for_nobody(room: Room) -> None:
    room.toolbox.add("pay", approval=True)
    room.model.scripts = [calls(("pay", {}))]
    room.customer("pay")
    room.deliver()
    assert room.suspended() == {"c0"}
    remove(room, 3)
    assert room.suspended() == set()
    with pytest.raises(CallNotWaiting):
        room.decide("c0", "approve")
    assert of(InputsWithdrawn, room.log()) == [InputsWithdrawn(inputs=(0,))]


def test_a_call_from_before_the_removal_waits_on(room: Room) -> None:
    room.toolbox.add("pay", approval=True)
    room.model.scripts = [calls(("pay", {}))]
    room.customer("pay")
    room.deliver()
    room.customer("and?")
    room.deliver()
    remove(room, len(room.recorded()) - 2)
    assert room.suspended() == {"c0"}
    assert isinstance(room.decide("c0", "approve").run(lambda _: None)[-1].event, Answered)


def test_a_turn_between_two_hosts_ends_as_one_that_runs_does(room: Room) -> None:
    room.customer("go", "t1")
    put(room, TurnBegan(turn="t", inputs=(0,), trace="t1"), TurnHandedOver(turn="t"))
    remove(room, 3)
    assert of(InputsWithdrawn, room.log()) == [InputsWithdrawn(inputs=(0,))]
    assert after_removal(room) == [TurnReady(trace="t1")]
    room.deliver()
    assert room.answers() == []


def test_all_that_a_turn_between_two_hosts_had_taken_ends_with_a_removal(room: Room) -> None:
    room.customer("one", "t1")
    room.customer("two", "t2")
    put(room, TurnBegan(turn="t", inputs=(0, 2), trace="t2"), TurnHandedOver(turn="t"))
    remove(room, 5)
    assert of(InputsWithdrawn, room.log()) == [InputsWithdrawn(inputs=(0, 2))]


def test_what_a_turn_had_said_until_its_removal_is_not_told_afterwards(room: Room) -> None:
    room.customer("one", "t1")
    room.model.scripts = [[TextDelta("secret"), RuntimeError(), End("stop")]]
    room.model.before = lambda: remove(room, 3) if len(room.log()) == 4 else None
    room.deliver()
    assert of(TurnInterrupted, room.log())
    assert of(PartlyAnswered, room.log()) == []


def test_whoever_was_told_of_a_turn_hears_of_its_end_after_its_removal(room: Room) -> None:
    room.customer("one", "t1")
    room.model.before = lambda: remove(room, 0) if len(room.log()) == 3 else None
    room.deliver()
    turn = of(TurnInterrupted, room.log())[0].turn
    assert after_removal(room) == [TurnReady(turn=turn, trace="t1")]


def summed_up(room: Room) -> None:
    """What stands at 0 to 2, by a turn that is over at 6."""
    room.say("one")
    began = TurnBegan(turn="t", inputs=(3,))
    summary = Compacted(turn="t", up_to=2, summary="In short.")
    answered = Answered(turn="t", inputs=(3,), text="ok")
    put(room, Input(texts=("secret",)), began, summary, answered)


def test_only_what_is_summed_up_cannot_be_removed(room: Room) -> None:
    summed_up(room)
    with pytest.raises(Conflict, match="summed up"):
        remove(room, 2)
    remove(room, 3)
    room.customer("two")
    room.deliver()
    assert texts(room.model.asked[-1].items) == [SUMMARY + "In short.", "two"]
    with pytest.raises(Conflict, match="summed up"):
        remove(room, 2)


def test_a_fork_keeps_the_summary_that_a_removed_turn_has_made(room: Room) -> None:
    summed_up(room)
    end = room.ports.log.tail(SESSION).head.at
    remove(room, 3)
    made = fork(room.ports, replace(room.found(), session_key="f"), Source(room.found(), end), "t")
    events = room.ports.log.read(made.id, made.incarnation, -1, 100)
    assert conversation(events) == (Said("user", SUMMARY + "In short."),)
    assert "secret" not in str(events)


# --- buying time ---------------------------------------------------------------------------------


def test_who_answers_is_not_asked_to_buy_time_by_an_aside_that_runs_beside(room: Room) -> None:
    def meanwhile() -> None:
        at = room.trigger(BUY_TIME)
        put(room, AsideBegan(turn="aside", inputs=(at,)))

    slow(room, meanwhile)
    room.customer("go")
    room.worker.handle(room.sent[-1], 100.0, "worker")
    assert room.answers() == ["One moment."]  # the second of the model's scripts
    *before, last = room.model.asked[-1].items
    assert isinstance(last, Returned)
    assert texts(before) == ["go"]


def test_an_aside_that_has_ended_stands_before_the_answer(room: Room) -> None:
    def meanwhile() -> None:
        at = room.trigger(BUY_TIME)
        told = Answered(turn="aside", inputs=(at,), text="One moment.")
        put(room, AsideBegan(turn="aside", inputs=(at,)), told)

    slow(room, meanwhile)
    room.customer("go")
    room.worker.handle(room.sent[-1], 100.0, "worker")
    *before, last = room.model.asked[-1].items
    assert isinstance(last, Returned)
    assert texts(before)[1:] == ["One moment.", "go"]


def test_time_is_not_bought_for_a_turn_that_came_later(room: Room) -> None:
    asked = BUY_TIME.model_copy(update={"during": "first"})
    room.customer("one")
    put(room, TurnBegan(turn="first", inputs=(0,)))
    room.trigger(asked)

    def another() -> None:
        if len(room.log()) == 5:
            put(room, Answered(turn="first", inputs=(0,), text="Here it is."))
            at = room.put(Input(texts=("two",))).offset
            put(room, TurnBegan(turn="second", inputs=(at,)))

    room.model.before = another
    room.worker.handle(WakeUp(SESSION), 100.0, "worker")
    aside = of(AsideBegan, room.log())[0]
    assert of(Finished, room.log()) == [Finished(turn=aside.turn, inputs=aside.inputs)]


# --- triggers that come again --------------------------------------------------------------------


def test_a_trigger_that_comes_again_is_known_whatever_was_written_since(room: Room) -> None:
    first = room.trigger(FOLLOW_UP, digest="d")
    room.deliver()
    put(room, Posted(kind="status", source="person", data={"status": "typing"}))
    assert room.trigger(FOLLOW_UP, digest="d") == first
    room.clock.sleep(11)
    assert room.trigger(FOLLOW_UP, digest="d") != first


def test_a_trigger_that_comes_again_while_a_call_waits_speaks_once(room: Room) -> None:
    room.toolbox.add("pay", approval=True)
    room.model.scripts = [calls(("pay", {}))]
    first = room.trigger(FOLLOW_UP, digest="d")
    room.deliver()
    assert room.suspended() == {"c0"}
    assert room.trigger(FOLLOW_UP, digest="d") == first
    room.decide("c0", "approve").run(lambda _: None)
    assert room.trigger(FOLLOW_UP, digest="d") == first


def test_a_trigger_that_comes_again_after_its_removal_is_a_new_one(room: Room) -> None:
    room.trigger(FOLLOW_UP, digest="d")
    room.deliver()
    remove(room, 0)
    room.trigger(FOLLOW_UP, digest="d")
    room.deliver()
    assert len(room.answers()) == 2


# --- people --------------------------------------------------------------------------------------


def test_what_was_left_to_people_asks_for_nothing_any_more(room: Room) -> None:
    room.customer("one")
    change_mode(room.ports, room.found(), "manual", "t")
    change_mode(room.ports, room.found(), "auto", "t")
    room.trigger(BUY_TIME.model_copy(update={"during": "gone"}))
    room.deliver()
    assert room.model.asked == []
    assert [e.inputs for e in of(Finished, room.log())] == [(0, 4)]


# --- follow-ups ----------------------------------------------------------------------------------


def test_a_customer_who_spoke_to_people_is_followed_up_from_the_first_rung_on(room: Room) -> None:
    room.change(follow_ups=LADDER)
    room.customer("hello")
    room.deliver()
    room.after(60)
    change_mode(room.ports, room.found(), "manual", "t")
    room.customer("are you a person?")
    change_mode(room.ports, room.found(), "auto", "t")
    room.trigger(FOLLOW_UP)
    room.deliver()
    assert [e.follow_up for e in of(Answered, room.log())] == [60, 3600, 60]


# --- statuses ------------------------------------------------------------------------------------


def test_whoever_speaks_between_two_hosts_is_told_of_the_turn_and_who_spoke_before_of_its_end(
    room: Room,
) -> None:
    room.customer("one", "t1")
    put(room, TurnBegan(turn="t", inputs=(0,), trace="t1"), TurnHandedOver(turn="t"))
    room.customer("two", "t2")
    room.deliver()
    began = of(TurnBegan, room.log())[-1]
    assert (began.trace, began.again) == ("t2", False)
    assert [e.trace for e in of(TurnReady, room.log())] == ["t1", "t2"]
    assert {r.trace_id for r in room.recorded() if isinstance(r.event, Answered)} == {"t2"}


def test_an_input_that_is_tried_alone_is_told_of_its_own_turn(room: Room) -> None:
    room.customer("one", "t1")
    room.customer("two", "t2")
    state = room.ports.log.tail("a.s").head.state
    for n in range(MAX_TRIES):
        again = plan(state, 4, [f"turn{n - 1}"], f"turn{n}", 0)
        put(room, *again)
        state = room.ports.log.tail("a.s").head.state
    put(room, TurnAbandoned(turn=f"turn{MAX_TRIES - 1}"))
    room.deliver()
    began = [(e.inputs, e.trace, e.again) for e in of(TurnBegan, room.log())]
    assert began[0] == ((0, 2), "t2", False)
    assert began[-2:] == [((0,), "t1", False), ((2,), "t2", True)]
    assert [e.trace for e in of(TurnReady, room.log())] == ["t1", "t2"]


def test_what_is_erased_of_a_trigger_for_later_says_nothing() -> None:
    left = erased(TriggerScheduled(due=1, trigger=FOLLOW_UP, digest="d"))
    assert "Ask" not in left.model_dump_json()
    assert isinstance(left, TriggerScheduled)
    assert (left.due, left.digest, left.trigger.kind) == (1, "d", "guided")


def test_whoever_was_told_of_a_turn_is_not_told_again_when_tried_alone(room: Room) -> None:
    room.customer("one", "t1")
    put(room, TurnBegan(turn="t", inputs=(0,), trace="t1"), TurnHandedOver(turn="t"))
    room.customer("two", "t2")
    for n in range(MAX_TRIES):
        at = len(room.log())
        put(room, *plan(room.ports.log.tail("a.s").head.state, at, [f"u{n - 1}"], f"u{n}", 0))
    put(room, TurnAbandoned(turn=f"u{MAX_TRIES - 1}"))
    room.deliver()
    assert [e.trace for e in of(TurnBegan, room.log()) if not e.again] == ["t1", "t2"]


# --- timers --------------------------------------------------------------------------------------


def test_a_timer_of_hours_that_came_too_early_comes_again(room: Room) -> None:
    room.change(follow_ups=(FollowUp(after_seconds=3_600),))
    room.customer("hello")
    room.deliver()
    room.clock.sleep(3_590)
    at = room.trigger(FOLLOW_UP)
    put(room, TurnBegan(turn="t", inputs=(at,), trace="trace"))
    room.after(20)  # the timer finds the agent at work
    put(room, Finished(turn="t", inputs=(at,)))
    for _ in range(10):
        room.after(LEASE)  # all that is on its way for the case that somebody dies
    assert room.sent == []
    room.after(3_600)
    follows = [i.trigger.follows for i in of(Input, room.log()) if i.trigger]
    assert follows == [None, 5]
