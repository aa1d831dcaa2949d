"""The agent speaks first: triggers, statuses, silence, people, and what comes at its time."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.memory.schedules import MemorySchedules
from cueline.engine import sessions
from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.agent import Guideline as Standing
from cueline.engine.append import Writer
from cueline.engine.failures import Failures
from cueline.engine.modes import change_mode
from cueline.engine.ports import WakeUp
from cueline.engine.posting import post, refuse
from cueline.engine.removal import remove_events
from cueline.engine.timers import schedule
from cueline.engine.tools import ToolResult
from cueline.errors import Conflict, ManualMode
from cueline.log.conversation import RUNNING
from cueline.log.events import (
    Acknowledged,
    Answered,
    AsideBegan,
    Event,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsWithdrawn,
    ModeChanged,
    ModelCalled,
    PartlyAnswered,
    Posted,
    Recorded,
    TriggerScheduled,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnReady,
    TurnTyping,
)
from cueline.log.triggers import SILENCE, BuyTime, FollowUp, Guideline, Participant, Trigger
from tests.models import refused
from tests.tooling import calls, says
from tests.unit.test_tool_turns import Workshop
from tests.unit.test_turns import LEASE, SESSION, texts

FOLLOW_UP = Trigger(guidelines=(Guideline(action="Ask if help is needed", rationale="follow_up"),))
BUY_TIME = Trigger(guidelines=(Guideline(action="Say hold on", rationale="buy_time"),))


class Room(Workshop):
    """A session of a door whose callers do not wait for turns."""

    def put(self, new: Input, trace: str = "trace") -> Accepted | Repeated:
        tail = self.ports.log.tail(SESSION)
        writer = Writer(self.ports.log, self.clock, SESSION, trace)
        told = new.model_copy(update={"trace": trace})
        return accept(self.ports, writer, tail, Arrival(told), LEASE, hosts=False)

    def customer(self, text: str, trace: str = "trace") -> int:
        return self.put(Input(policy="interrupt", texts=(text,)), trace).offset

    def trigger(self, trigger: Trigger, trace: str = "trace", digest: str = "") -> int:
        policy = "aside" if trigger.buys_time else "enqueue"
        new = Input(policy=policy, source="system", trigger=trigger, digest=digest)
        return self.put(new, trace).offset

    def deliver(self, rounds: int = 20) -> None:
        """All that is due by the clock, as the queue and the scheduler would."""
        schedules, queue = self.ports.schedules, self.ports.wake_ups
        assert isinstance(schedules, MemorySchedules)
        for _ in range(rounds):
            due = schedules.due(self.clock.now())
            found = [*due, *queue.drain()]  # type: ignore[attr-defined]
            for wake_up in found:
                self.worker.handle(wake_up, 100.0, "worker")
            if not found:
                return

    def after(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.deliver()

    def recorded(self) -> list[Recorded]:
        return list(self.ports.log.read(SESSION, self.session.incarnation, -1, 10_000))

    def kinds(self) -> list[type]:
        return [type(event) for event in self.log()]

    def answers(self) -> list[str]:
        return [e.text for e in self.log() if isinstance(e, Answered)]

    def found(self) -> Any:
        return sessions.find(self.ports, "a", "s")[0]


@pytest.fixture
def room() -> Room:
    return Room()


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


# --- statuses ------------------------------------------------------------------------------------


def test_a_customers_turn_is_told_status_by_status_under_one_trace(room: Room) -> None:
    room.customer("hello", "t1")
    room.deliver()
    turn = of(TurnBegan, room.log())[0].turn
    assert room.log() == [
        Input(policy="interrupt", texts=("hello",), trace="t1"),
        Acknowledged(input=0),
        TurnBegan(turn=turn, inputs=(0,), trace="t1"),
        TurnTyping(turn=turn),
        Answered(turn=turn, inputs=(0,), text="ok"),
        TurnReady(turn=turn, trace="t1"),
    ]
    assert {r.trace_id for r in room.recorded()} == {"t1"}


def test_statuses_take_no_write_but_that_of_typing(room: Room) -> None:
    room.customer("hello")
    room.deliver()
    at, segments = 0, 0
    while found := room.ports.log.segment(SESSION, room.session.incarnation, at):
        at, segments = found.end, segments + 1
    assert segments == 4


def test_nobody_is_told_of_a_turn_that_nobody_asked_to_be_told_of(room: Room) -> None:
    room.say("hello")
    assert room.kinds() == [Input, TurnBegan, Answered]


def test_a_new_message_ends_the_running_turn_under_its_own_trace(room: Room) -> None:
    room.customer("one", "t1")
    room.model.before = lambda: room.customer("two", "t2") if len(room.log()) == 3 else None
    room.deliver()
    (stopped,) = of(TurnInterrupted, room.log())
    readies = of(TurnReady, room.log())
    assert stopped.trace == "t1"
    assert [r.trace for r in readies] == ["t1", "t2"]
    assert [r.trace_id for r in room.recorded() if isinstance(r.event, Answered)] == ["t2"]


def test_a_failure_is_told_and_then_that_the_agent_is_ready(room: Room) -> None:
    room.model.scripts = [[refused()]]
    room.customer("hello")
    room.deliver()
    assert room.kinds()[-2:] == [TurnFailed, TurnReady]


def test_a_turn_that_was_taken_over_is_told_once(room: Room) -> None:
    room.customer("hello")
    began = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "trace")
    head, _ = writer.append(began.head, lambda *_: (TurnBegan(turn="dead", inputs=(0,)),))
    room.wake({"dead": 0})
    again = of(TurnBegan, room.log())[-1]
    assert (again.trace, again.again) == ("trace", True)
    assert head.state.running("dead")
    assert len(of(TurnReady, room.log())) == 1


def test_without_its_customer_a_message_is_kept_and_fails_at_once(room: Room) -> None:
    tail = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "t1")
    said = Input(policy="interrupt", texts=("hello",), trace="t1")
    recorded = refuse(room.ports, writer, tail, Arrival(said), "There is no customer 'x'.")
    assert recorded.offset == 0
    assert room.kinds() == [Input, Acknowledged, InputsFailed, TurnReady]
    assert not room.ports.log.tail(SESSION).head.state.unfinished
    assert not room.sent


# --- triggers ------------------------------------------------------------------------------------


def test_the_agent_speaks_though_nobody_has_said_anything(room: Room) -> None:
    room.model.scripts = [says("Welcome!")]
    room.trigger(Trigger())
    room.deliver()
    assert room.kinds() == [Input, TurnBegan, TurnTyping, Answered, TurnReady]
    assert room.answers() == ["Welcome!"]
    (asked,) = texts(room.model.asked[0].items)
    assert "speak to the user now" in asked


def test_guidelines_and_rationale_are_told_to_the_model(room: Room) -> None:
    room.say("hello")
    room.trigger(FOLLOW_UP)
    room.deliver()
    asked = texts(room.model.asked[-1].items)
    assert asked[:2] == ["hello", "ok"]
    assert "Ask if help is needed (to follow up on the conversation)" in asked[-1]


def test_a_follow_up_waits_for_the_running_turn(room: Room) -> None:
    room.customer("one")
    room.model.before = lambda: room.trigger(FOLLOW_UP) if len(room.log()) == 3 else None
    room.deliver()
    assert of(AsideBegan, room.log()) == []
    assert [e.inputs for e in of(Answered, room.log())] == [(0,), (3,)]


def test_a_trigger_that_comes_again_at_once_speaks_once(room: Room) -> None:
    first = room.trigger(FOLLOW_UP, digest="d")
    assert room.trigger(FOLLOW_UP, digest="d") == first
    room.deliver()
    assert room.trigger(FOLLOW_UP, digest="d") == first
    assert len(room.answers()) == 1
    room.after(11)
    assert room.trigger(FOLLOW_UP, digest="d") != first


def test_a_model_may_have_nothing_to_say_to_a_trigger(room: Room) -> None:
    room.model.scripts = [says(SILENCE)]
    room.trigger(FOLLOW_UP)
    room.deliver()
    assert room.kinds() == [Input, TurnBegan, Finished, TurnReady]


def test_silence_is_only_an_answer_to_triggers(room: Room) -> None:
    room.model.scripts = [says(SILENCE)]
    room.say("Say [[silence]]!")
    assert room.answers() == [SILENCE]


def test_a_customer_who_speaks_while_a_trigger_is_followed_is_answered_instead(room: Room) -> None:
    room.trigger(FOLLOW_UP, "t1")
    room.model.before = lambda: room.customer("wait", "t2") if len(room.log()) == 2 else None
    room.deliver()
    assert len(of(TurnInterrupted, room.log())) == 1
    (answered,) = of(Answered, room.log())
    assert answered.inputs == (4,)


# --- buying time ---------------------------------------------------------------------------------


def slow(room: Room, meanwhile: Any) -> None:
    """A tool that runs while `meanwhile` is done."""

    def run(_: Mapping[str, Any], __: float) -> ToolResult:
        meanwhile()
        return ToolResult("done")

    room.toolbox.add("any", run=run, timeout=80.0)
    room.model.scripts = [calls(("any", {})), says("One moment."), says("Here it is.")]


def until(true: Any) -> None:
    limit = time.monotonic() + 10
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_time_is_bought_beside_a_slow_tool_and_heard_before_the_answer(room: Room) -> None:
    def meanwhile() -> None:
        room.trigger(BUY_TIME, "t2")
        room.deliver()

    slow(room, meanwhile)
    room.customer("go", "t1")
    room.deliver()
    assert room.answers() == ["One moment.", "Here it is."]
    asked = room.model.asked[1]
    assert asked.tools == ()
    assert [item.output for item in asked.items if hasattr(item, "output")] == [RUNNING]
    assert [r.trace for r in of(TurnReady, room.log())] == ["t2", "t1"]
    assert "One moment." in texts(room.model.asked[2].items)


def test_by_policy_a_word_is_said_when_a_tool_takes_long_and_only_once(room: Room) -> None:
    def meanwhile() -> None:
        room.clock.sleep(6)

        def said() -> bool:
            room.deliver()  # once the host has sent a wake-up for it
            return bool(room.answers())

        until(said)
        room.clock.sleep(60)
        time.sleep(0.6)  # the host looks four times a second

    slow(room, meanwhile)
    room.change(buy_time=BuyTime(after_seconds=5))
    room.customer("go", "t1")
    room.deliver()
    assert room.answers() == ["One moment.", "Here it is."]
    triggers = [i.trigger for i in of(Input, room.log()) if i.trigger]
    assert [t.during for t in triggers] == [of(TurnBegan, room.log())[0].turn]


def test_time_is_not_bought_for_what_is_done(room: Room) -> None:
    asked = Trigger(guidelines=BUY_TIME.guidelines, during="gone")
    room.trigger(asked)
    room.deliver()
    assert room.kinds() == [Input, TurnBegan, Finished, TurnReady]
    assert not room.model.asked


def test_a_word_that_comes_after_the_answer_is_not_said(room: Room) -> None:
    def meanwhile() -> None:
        room.trigger(BUY_TIME)
        began = room.ports.log.tail(SESSION)
        writer = Writer(room.ports.log, room.clock, SESSION, "trace")
        main = began.head.state.open
        assert main
        done = Answered(turn=main.id, inputs=(0,), text="Here it is.")
        room.model.before = lambda: writer.append(
            room.ports.log.tail(SESSION).head, lambda s, _: (done,) if s.open else ()
        )
        room.deliver()

    slow(room, meanwhile)
    room.customer("go")
    room.deliver()
    assert room.answers() == ["Here it is."]
    assert len(of(Finished, room.log())) == 1


# --- people --------------------------------------------------------------------------------------


def test_in_manual_mode_people_answer_and_only_guided_triggers_speak(room: Room) -> None:
    change_mode(room.ports, room.found(), "manual", "t0")
    room.customer("hello")
    with pytest.raises(ManualMode):
        room.trigger(Trigger())
    tail = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "t1")
    person = Participant(display_name="Bob")
    post(room.ports, writer, tail, Posted(source="person", text="I am Bob", participant=person))
    room.trigger(FOLLOW_UP)
    room.deliver()
    assert room.kinds() == [ModeChanged, Posted, Posted, Input, TurnBegan, TurnTyping, Answered,
                            TurnReady]  # fmt: skip
    said = texts(room.model.asked[0].items)
    assert said[0] == "hello"
    assert said[1].endswith("I am Bob")
    assert "Bob" in said[1]


def test_a_hand_over_ends_the_open_turn_in_the_same_step(room: Room) -> None:
    room.customer("one", "t1")
    room.model.before = lambda: change_mode(room.ports, room.found(), "manual", "t2")
    room.deliver()
    assert room.answers() == []
    segment = room.ports.log.segment(SESSION, room.session.incarnation, 3)
    assert segment
    assert [type(e) for e in segment.events] == [TurnInterrupted, TurnReady, ModeChanged]


def test_after_the_hand_back_the_agent_knows_what_was_said(room: Room) -> None:
    change_mode(room.ports, room.found(), "manual", "t")
    for n in range(120):  # more than may wait
        room.customer(f"message {n}")
    change_mode(room.ports, room.found(), "auto", "t")
    change_mode(room.ports, room.found(), "auto", "t")  # once is enough
    room.deliver()
    assert room.answers() == []
    room.customer("and now?")
    room.deliver()
    assert len(of(ModeChanged, room.log())) == 2
    assert texts(room.model.asked[-1].items)[-2:] == ["message 119", "and now?"]


def test_a_message_through_the_first_door_waits_for_nobody_in_manual_mode(room: Room) -> None:
    change_mode(room.ports, room.found(), "manual", "t")
    assert room.say("hello") == [Posted(text="hello")]
    assert room.say("hello") == [Posted(text="hello")]


# --- removal -------------------------------------------------------------------------------------


def test_what_is_removed_is_gone_for_the_model_and_ends_what_runs(room: Room) -> None:
    room.customer("secret")
    room.deliver()
    room.customer("more")
    remove_events(room.ports, room.found(), 0, "t")
    assert len(of(InputsWithdrawn, room.log())) == 1
    place = room.kinds().index(EventsRemoved)
    assert set(room.kinds()[place + 1 :]) <= {TurnReady}
    room.customer("hello")
    room.deliver()
    assert texts(room.model.asked[-1].items) == ["hello"]
    assert room.ports.log.tail(SESSION).head.state.removed


def test_a_removal_closes_the_open_turn(room: Room) -> None:
    room.customer("one")
    room.model.before = lambda: remove_events(room.ports, room.found(), 0, "t")
    room.deliver()
    assert room.answers() == []
    assert len(of(EventsRemoved, room.log())) == 1  # the second had nothing to remove


def test_removed_stretches_join(room: Room) -> None:
    for first in (2, 1, 0):
        room.customer("x")
        room.deliver()
        remove_events(room.ports, room.found(), first, "t")
    assert room.ports.log.tail(SESSION).head.state.removed[0][0] == 0
    assert len(room.ports.log.tail(SESSION).head.state.removed) == 1


# --- at its time ---------------------------------------------------------------------------------


LADDER = (
    FollowUp(after_seconds=60, guidelines=FOLLOW_UP.guidelines),
    FollowUp(after_seconds=3_600),
)


def test_a_silent_customer_is_followed_up_rung_by_rung_and_no_further(room: Room) -> None:
    room.change(follow_ups=LADDER)
    room.customer("hello")
    room.deliver()
    room.after(59)
    assert len(room.answers()) == 1
    room.after(2)
    assert len(room.answers()) == 2
    assert "Ask if help is needed" in texts(room.model.asked[-1].items)[-1]
    room.after(3_590)
    assert len(room.answers()) == 2
    room.after(12)
    assert len(room.answers()) == 3
    assert "still there" in texts(room.model.asked[-1].items)[-1]
    room.after(7_200)
    assert len(room.answers()) == 3


def test_a_customer_who_has_spoken_is_not_followed_up_for_what_was_before(room: Room) -> None:
    room.change(follow_ups=LADDER)
    room.customer("hello")
    room.deliver()
    room.after(40)
    room.customer("again")
    room.deliver()
    room.after(40)
    assert len(room.answers()) == 2
    room.after(25)
    assert len(room.answers()) == 3


def test_a_sessions_ladder_stands_for_its_agents(room: Room) -> None:
    room.change(follow_ups=LADDER)
    sessions.update(room.ports, "a", "s", lambda s: replace(s, follow_ups=()))
    room.customer("hello")
    room.deliver()
    room.after(10_000)
    assert len(room.answers()) == 1


def test_a_follow_up_whose_timer_comes_twice_is_said_once(room: Room) -> None:
    room.change(follow_ups=LADDER[:1])
    room.customer("hello")
    room.deliver()
    quiet = room.ports.log.tail(SESSION).head.state.quiet
    assert quiet
    timer = WakeUp(SESSION, triggers=(room.session.incarnation, quiet.offset))
    for _ in range(3):
        room.worker.handle(timer, 100.0, "worker")
    assert len(room.answers()) == 2


def test_a_host_that_died_before_it_armed_leaves_that_to_the_next_look(room: Room) -> None:
    room.change(follow_ups=LADDER[:1])
    room.customer("hello")
    room.deliver()
    room.ports.wake_ups.messages.clear()  # type: ignore[attr-defined]
    room.worker.handle(WakeUp(SESSION, in_case=True), 100.0, "worker")
    room.after(61)
    assert len(room.answers()) == 2


def test_a_person_who_speaks_ends_the_wait_too(room: Room) -> None:
    room.change(follow_ups=LADDER[:1])
    room.customer("hello")
    room.deliver()
    tail = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "t1")
    post(room.ports, writer, tail, Posted(source="person", text="I take over"))
    room.after(100)
    assert len(room.answers()) == 1


def test_a_turn_through_the_first_door_is_followed_up_too(room: Room) -> None:
    room.change(follow_ups=LADDER[:1])
    room.say("hello")
    room.after(61)
    assert len(room.answers()) == 2


def planned(room: Room, seconds: int, digest: str = "", trigger: Trigger = FOLLOW_UP) -> Recorded:
    tail = room.ports.log.tail(SESSION)
    writer = Writer(room.ports.log, room.clock, SESSION, "t1")
    due = room.clock.now() + seconds * 1000
    asked = TriggerScheduled(due=due, trigger=trigger, digest=digest)
    return schedule(room.ports, writer, tail, asked)


def test_a_trigger_comes_at_its_time_and_once(room: Room) -> None:
    planned(room, 5_000)
    planned(room, 100)
    room.after(101)
    assert len(room.answers()) == 1
    room.after(5_000)
    assert len(room.answers()) == 2
    room.after(50_000)
    assert len(room.answers()) == 2


def test_a_trigger_that_is_planned_twice_by_its_client_comes_once(room: Room) -> None:
    assert planned(room, 100, "d").offset == planned(room, 100, "d").offset
    room.after(500)
    assert len(room.answers()) == 1


def test_time_is_bought_at_its_time_beside_the_turn_that_runs_by_then(room: Room) -> None:
    def meanwhile() -> None:
        planned(room, 5, trigger=BUY_TIME)
        room.after(6)

    slow(room, meanwhile)
    room.customer("go", "t1")
    room.deliver()
    assert of(AsideBegan, room.log())
    assert room.answers() == ["One moment.", "Here it is."]


def test_time_that_was_to_be_bought_for_what_is_over_by_then_is_not_bought(room: Room) -> None:
    planned(room, 100, trigger=BUY_TIME)
    room.customer("go", "t1")
    room.deliver()
    room.after(101)
    assert room.answers() == ["ok"]
    assert room.kinds()[-3:] == [Input, InputsWithdrawn, TurnReady]
    assert not room.ports.log.tail(SESSION).head.state.pending


def test_a_planned_trigger_can_be_removed(room: Room) -> None:
    planned(room, 100)
    remove_events(room.ports, room.found(), 0, "t")
    room.after(500)
    assert room.answers() == []


def test_a_session_holds_so_many_planned_triggers(room: Room) -> None:
    for _ in range(20):
        planned(room, 1_000)
    with pytest.raises(Conflict):
        planned(room, 1_000)


# --- standing guidelines -------------------------------------------------------------------------


def test_guidelines_are_told_in_the_same_call_and_what_was_followed_comes_back(room: Room) -> None:
    room.change(
        guidelines=(
            Standing(id="g1", condition="they greet", action="Greet back"),
            Standing(id="g2", condition="switched off", enabled=False),
            Standing(id="g3", condition="they leave", action="Say bye", priority=5),
        )
    )
    room.model.scripts = [says("Hello you!\n\n[[guidelines: 2, 9]]")]
    room.customer("hi")
    room.deliver()
    assert room.answers() == ["Hello you!"]
    assert len(room.model.asked) == 1
    told = room.model.asked[0].instructions
    assert told.index("1. When they leave: Say bye") < told.index("2. When they greet: Greet back")
    assert "switched off" not in told
    assert of(TurnReady, room.log())[0].matched == ("g1",)


def test_after_its_rounds_of_tools_the_model_has_to_answer(room: Room) -> None:
    room.change(max_iterations=2)
    room.toolbox.add("any")
    room.model.scripts = [calls(("any", {"n": 1})), calls(("any", {"n": 2}), at=1), says("Done.")]
    room.customer("go")
    room.deliver()
    assert [bool(asked.tools) for asked in room.model.asked] == [True, True, False]
    assert room.answers() == ["Done."]


def test_timers_do_not_multiply(room: Room) -> None:
    room.change(follow_ups=LADDER)
    for _ in range(5):
        room.customer("hello")
        room.deliver()
        room.after(31)  # and each turn's own wake-up comes
    room.after(62)
    waiting = [w for w in room.sent if w.triggers]
    assert waiting == []
    assert len(room.answers()) == 6


def test_a_planned_trigger_that_no_worker_can_work_off_fails_visibly(room: Room) -> None:
    planned(room, 100)
    timer = room.sent[-1]  # the first is for the case that its maker dies
    room.ports.wake_ups.drain()  # type: ignore[attr-defined]
    failures = Failures(room.ports, LEASE)
    failures.handle(timer, "t")
    (again,) = [w for w in room.sent if w.waited]
    assert again.triggers == timer.triggers
    failures.handle(again, "t")
    assert room.kinds() == [TriggerScheduled, Input, InputsFailed, TurnReady]
    assert len([w for w in room.sent if w.waited]) == 1


# --- what a closed turn leaves behind ------------------------------------------------------------


def closing_at_the_end(room: Room, close: Any) -> None:
    """Somebody closes the turn when all is said, and its host has not seen that."""
    done: list[bool] = []
    put = Writer.put

    def before(self: Writer, *given: Any) -> Any:
        answers = any(isinstance(event, Answered) for event in given[1])
        if answers and not done:
            done.append(True)
            close()
        return put(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "put", before)
        room.customer("one", "t1")
        room.deliver()
    assert done


def test_what_was_said_and_taken_is_told_though_the_turn_was_closed_before_its_commit(
    room: Room,
) -> None:
    closing_at_the_end(room, lambda: change_mode(room.ports, room.found(), "manual", "t2"))
    events = [r.event for r in room.recorded()]
    assert [e.text for e in events if isinstance(e, PartlyAnswered)] == ["ok"]
    assert len([e for e in events if isinstance(e, ModelCalled)]) == 1


def test_what_was_removed_is_not_told_after_all(room: Room) -> None:
    closing_at_the_end(room, lambda: remove_events(room.ports, room.found(), 0, "t2"))
    events = [r.event for r in room.recorded()]
    assert not [e for e in events if isinstance(e, PartlyAnswered)]
    assert len([e for e in events if isinstance(e, ModelCalled)]) == 1


def test_whoever_wants_all_since_a_place_is_told_nothing_that_was_removed(room: Room) -> None:
    room.say("secret")
    remove_events(room.ports, room.found(), 0, "t")
    told = room.accept("hello", queues=True, since=-1).run(lambda _: None)
    said = [r.event.texts for r in told if isinstance(r.event, Input)]
    assert said == [("hello",)]


def test_an_answer_names_the_agent_that_gave_it_where_another_one_took_over(room: Room) -> None:
    other = room.ports.agents.get("a").model_copy(update={"key": "b", "name": "B"})
    room.ports.agents.create(other)
    sessions.update(room.ports, "a", "s", lambda s: replace(s, answers="b"))
    room.customer("hello")
    room.deliver()
    assert of(Answered, room.log())[0].agent == "b"
