"""Triggers, messages, people and removals where one gets in the way of another."""

from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.memory.schedules import MemorySchedules
from cueline.engine import sessions
from cueline.engine.accept import Accepted
from cueline.engine.append import Writer
from cueline.engine.fork import Source, fork
from cueline.engine.modes import change_mode
from cueline.engine.ports import WakeUp
from cueline.engine.posting import post
from cueline.engine.removal import remove_events
from cueline.engine.timers import schedule
from cueline.log.events import (
    Answered,
    AsideBegan,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsWithdrawn,
    Posted,
    TriggerScheduled,
    TurnBegan,
    TurnHandedOver,
    TurnInterrupted,
    TurnReady,
)
from cueline.log.triggers import SILENCE, Trigger
from tests.tooling import calls, says
from tests.unit.test_hostile_turns import put
from tests.unit.test_triggers import (
    BUY_TIME,
    FOLLOW_UP,
    LADDER,
    Room,
    of,
    planned,
    slow,
)
from tests.unit.test_turns import SESSION, texts


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_new_message_takes_back_words_that_were_to_buy_time(room: Room) -> None:
    def meanwhile() -> None:
        room.trigger(BUY_TIME, "t2")
        room.customer("stop", "t3")

    slow(room, meanwhile)
    room.customer("go", "t1")
    room.deliver()
    assert [r.trace for r in of(TurnReady, room.log())] == ["t1", "t2", "t3"]
    assert "hold on" not in str(room.model.asked[-1].items)


def test_who_waits_under_an_older_trace_is_told_the_end_too(room: Room) -> None:
    room.customer("one", "t1")
    room.trigger(FOLLOW_UP, "t2")
    room.customer("two", "t3")
    room.deliver()
    assert [r.trace for r in of(TurnReady, room.log())] == ["t1", "t2", "t3"]
    assert len(room.answers()) == 1


def test_a_message_beside_a_trigger_is_answered_though_the_model_has_nothing_to_say(
    room: Room,
) -> None:
    room.trigger(FOLLOW_UP, "t1")
    room.customer("hello?", "t2")
    room.model.scripts = [says(SILENCE), says("Hello!")]
    room.deliver()
    assert room.answers() == ["Hello!"]


def test_a_decision_in_manual_mode_runs_its_call_and_leaves_the_words_to_people(room: Room) -> None:
    room.toolbox.add("pay", approval=True)
    room.model.scripts = [calls(("pay", {}))]
    room.customer("pay", "t1")
    room.deliver()
    room.customer("and what is the weather?", "t2")
    change_mode(room.ports, room.found(), "manual", "t")
    room.decide("c0", "approve").run(lambda _: None)
    room.deliver()
    assert [name for name, _ in room.toolbox.ran] == ["pay"]
    assert room.answers() == []


def test_what_only_the_agent_could_do_is_withdrawn_at_a_hand_over(room: Room) -> None:
    room.customer("one", "t1")
    room.trigger(Trigger(), "t2")
    caller = room.accept("two", queues=True)
    change_mode(room.ports, room.found(), "manual", "t")
    told = caller.run(lambda _: None)
    assert isinstance(told[0].event, Input)  # and waits no longer
    assert [e.inputs for e in of(InputsWithdrawn, room.log())] == [(2,)]
    room.deliver()
    assert room.answers() == []


def test_what_is_said_again_after_a_hand_over_is_heard_by_people_and_then_by_the_agent(
    room: Room,
) -> None:
    hello = Input(policy="interrupt", texts=("hello?",), digest="d")
    room.put(hello, "t1")
    change_mode(room.ports, room.found(), "manual", "t")
    room.put(hello, "t2")
    assert [said.text for said in of(Posted, room.log())] == ["hello?"]
    change_mode(room.ports, room.found(), "auto", "t")
    room.put(hello, "t3")
    room.deliver()
    assert texts(room.model.asked[-1].items) == ["hello?"] * 3
    assert [r.trace for r in of(TurnReady, room.log())] == ["t1", "t3"]


def test_what_the_application_says_again_while_people_answer_waits_for_no_answer(
    room: Room,
) -> None:
    change_mode(room.ports, room.found(), "manual", "t")
    told = Input(source="system", texts=("The order has left.",), digest="d")
    found = [room.put(told, f"t{n}") for n in range(2)]
    assert all(isinstance(one, Accepted) and one.silent for one in found)


def test_however_much_people_have_to_answer_the_agent_can_be_asked_again(room: Room) -> None:
    room.customer("first", "t")
    for n in range(98):
        room.put(Input(texts=(f"message {n}",)), f"t{n}")
    change_mode(room.ports, room.found(), "manual", "t")
    change_mode(room.ports, room.found(), "auto", "t")
    room.customer("and now?", "new")
    room.deliver()
    assert len(room.answers()) == 1


def test_a_planned_trigger_that_people_cannot_follow_fails_visibly(room: Room) -> None:
    tail = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "t1")
    due = room.clock.now() + 100_000
    schedule(room.ports, writer, tail, TriggerScheduled(due=due, trigger=Trigger()))
    change_mode(room.ports, room.found(), "manual", "t")
    room.after(101)
    assert [e.code for e in of(InputsFailed, room.log())] == ["manual_mode"]
    assert room.kinds()[-1] is TurnReady


@pytest.mark.parametrize("what", ["session", "agent", "customer"])
def test_what_is_disabled_or_gone_has_nobody_followed_up_and_says_why_of_a_planned_trigger(
    room: Room, what: str
) -> None:
    room.change(follow_ups=LADDER[:1])
    room.customer("hello")
    room.deliver()
    planned(room, 100)
    if what == "agent":
        room.change(enabled=False)
    else:
        more: dict[str, Any] = {"enabled": False} if what == "session" else {"customer": "gone"}
        sessions.update(room.ports, "a", "s", lambda s: replace(s, **more))
    room.after(500)
    assert len(room.answers()) == 1
    code = "customer_not_found" if what == "customer" else "disabled"
    assert [e.code for e in of(InputsFailed, room.log())] == [code]


def test_a_planned_trigger_keeps_its_session_from_expiring(room: Room) -> None:
    sessions.update(room.ports, "a", "s", lambda s: replace(s, tti_minutes=1))
    planned(room, 500)
    room.after(501)
    assert len(room.answers()) == 1


def test_a_planned_trigger_whose_maker_died_is_armed_by_the_wake_up_before_it(room: Room) -> None:
    schedules = room.ports.schedules
    assert isinstance(schedules, MemorySchedules)
    planned(room, 5_000)
    schedules.waiting.clear()  # as if it had died before
    schedules._taken.clear()
    room.after(61)
    room.after(5_000)
    assert len(room.answers()) == 1


def test_time_is_bought_for_one_turn_and_not_for_the_next(room: Room) -> None:
    def meanwhile() -> None:
        room.trigger(BUY_TIME, "t2")

    slow(room, meanwhile)
    room.model.scripts = [calls(("any", {})), says("Here it is.")]
    room.customer("go", "t1")
    room.deliver()
    assert room.answers() == ["Here it is."]
    assert [r.trace for r in of(TurnReady, room.log())] == ["t1", "t2"]


def test_time_is_bought_for_the_turn_that_is_about_to_begin_and_said_beside_it(room: Room) -> None:
    room.customer("go", "t1")
    room.trigger(BUY_TIME, "t2")
    slow(room, room.deliver)
    room.deliver()
    assert of(AsideBegan, room.log())
    assert room.answers() == ["One moment.", "Here it is."]
    assert "goes on meanwhile" in texts(room.model.asked[1].items)[-1]
    assert "hold on" not in str(room.model.asked[0].items)
    assert [r.trace for r in of(TurnReady, room.log())] == ["t2", "t1"]


def test_a_timer_that_buys_time_begins_the_turn_that_waits_and_what_is_said_beside_it(
    room: Room,
) -> None:
    planned(room, 5, trigger=BUY_TIME)
    (_, timer) = room.sent
    room.customer("go", "t1")
    slow(room, room.deliver)
    room.clock.sleep(5)
    room.worker.handle(timer, 100.0, "worker")
    assert room.answers() == ["One moment.", "Here it is."]


def test_who_begins_a_turn_has_begun_what_is_to_be_said_beside_it(room: Room) -> None:
    room.customer("go", "t1")
    room.ports.wake_ups.drain()  # type: ignore[attr-defined]
    room.trigger(BUY_TIME, "t2")
    slow(room, room.deliver)
    room.worker.handle(WakeUp(SESSION), 100.0, "worker")
    assert room.answers() == ["One moment.", "Here it is."]


def test_time_that_was_to_be_bought_for_a_turn_that_is_over_is_not_bought(room: Room) -> None:
    room.customer("go", "t1")
    room.trigger(BUY_TIME, "t2")

    def another() -> None:
        room.model.before = lambda: None
        room.put(Input(texts=("and?",)), "t3")

    room.model.before = another
    room.worker.handle(WakeUp(SESSION), 100.0, "worker")
    room.deliver()
    assert room.answers() == ["ok", "ok"]
    assert [e.inputs for e in of(Finished, room.log())] == [(2,)]
    assert "hold on" not in str(room.model.asked)


def test_time_is_bought_for_the_first_turn_alone_though_it_is_said_during_the_second(
    room: Room,
) -> None:
    room.customer("go", "t1")
    aside = room.trigger(BUY_TIME, "t2")
    put(room, TurnBegan(turn="first", inputs=(0,)), AsideBegan(turn="aside", inputs=(aside,)))
    put(room, TurnHandedOver(turn="aside"), Answered(turn="first", inputs=(0,), text="Here."))
    second = room.put(Input(texts=("and?",))).offset
    put(room, TurnBegan(turn="second", inputs=(second,)))
    room.worker.handle(WakeUp(SESSION), 100.0, "worker")
    assert [e.inputs for e in of(Finished, room.log())] == [(aside,)]
    assert room.model.asked == []


def test_a_removal_tells_how_a_turn_ended_whose_message_stays(room: Room) -> None:
    room.customer("hello", "t1")

    def remove() -> None:
        tail = room.ports.log.tail(SESSION)
        writer = Writer(room.ports.log, room.clock, SESSION, "t9")
        place = post(room.ports, writer, tail, Posted(kind="custom", data=1)).offset
        remove_events(room.ports, room.found(), place, "t10")

    room.model.before = lambda: remove() if EventsRemoved not in room.kinds() else None
    room.deliver()
    place = room.kinds().index(EventsRemoved)
    interrupted, ready = room.log()[place + 1 : place + 3]
    assert isinstance(interrupted, TurnInterrupted)
    assert isinstance(ready, TurnReady)


def test_what_was_said_in_its_name_before_is_known_to_the_model(room: Room) -> None:
    tail = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "t1")
    post(room.ports, writer, tail, Posted(source="on_behalf", text="Shall I cancel it?"))
    room.customer("yes")
    room.deliver()
    first, second = texts(room.model.asked[0].items)
    assert first.endswith("Shall I cancel it?")
    assert second == "yes"


def test_a_trigger_that_was_not_followed_is_not_read_again(room: Room) -> None:
    room.model.scripts = [says(SILENCE)]
    room.trigger(FOLLOW_UP)
    room.deliver()
    room.customer("hello")
    room.deliver()
    assert texts(room.model.asked[-1].items) == ["hello"]


def test_a_fork_has_nothing_of_what_was_removed_later(room: Room) -> None:
    room.customer("hello")
    room.deliver()
    place = room.customer("secret")
    room.deliver()
    end = room.ports.log.tail(SESSION).head.at
    remove_events(room.ports, room.found(), place, "t")
    made = fork(room.ports, replace(room.found(), session_key="f"), Source(room.found(), end), "t")
    events = room.ports.log.read(made.id, made.incarnation, -1, 100)
    assert "secret" not in str(events)
    assert "hello" in str(events)
