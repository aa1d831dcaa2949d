"""The plain turn on the memory adapters: accepted, hosted, ended; repeated, refused, followed."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.memory import MemoryWakeUps, memory_ports
from cueline.adapters.wake_ups import wake_up_from_json
from cueline.engine import sessions
from cueline.engine.accept import Accepted, Arrival
from cueline.engine.agent import Agent, AgentStep, Compaction, Instruction
from cueline.engine.inline import Caller, Inline
from cueline.engine.model import (
    Chunk,
    End,
    Model,
    ModelRequest,
    Said,
    TextDelta,
    ThinkingDelta,
)
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.reader import Reader
from cueline.engine.turn import Host, Limits
from cueline.engine.worker import Worker
from cueline.errors import ModelError, SessionNotFound, TurnRunning
from cueline.log.events import (
    Answered,
    Event,
    Input,
    InputsFailed,
    InputsOverran,
    ModelCalled,
    Recorded,
    Thinking,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
)
from cueline.log.fold import reduce
from cueline.log.segment import Session
from cueline.log.state import State
from tests.clock import FakeClock
from tests.models import ScriptedModel, overloaded, refused

LEASE = 30
SESSION = "a.s"


class Bench:
    """One agent, one session, and the doors' way in."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ports: Ports = memory_ports(self.clock)
        self.model = ScriptedModel()
        self.limits = Limits(lease=LEASE)
        self.ports.agents.create(
            Agent(
                key="a",
                name="A",
                model="m",
                steps={
                    "main": AgentStep(instructions=(Instruction(name="i", template="Be brief."),))
                },
                created_at=0,
                updated_at=0,
            )
        )
        self.session = self.make()
        self.inline = Inline(self.ports, lambda: self.model, self.limits)
        self.worker = Worker(self.ports, lambda: self.model, self.limits)

    def change(self, **fields: Any) -> None:
        """The agent."""
        found = self.ports.agents.get("a")
        changed = found.model_copy(update={**fields, "version": found.version + 1})
        assert self.ports.agents.replace(changed)

    def make(self, tti_minutes: int = 0) -> Session:
        new = Session("a", "s", 0, "S", 0, tti_minutes=tti_minutes)
        return sessions.create(self.ports, new, "trace")

    def limit(self, **limits: Any) -> None:
        self.limits = replace(self.limits, **limits)
        self.inline = Inline(self.ports, lambda: self.model, self.limits)
        self.worker = Worker(self.ports, lambda: self.model, self.limits)

    def accept(self, text: str, *, retries: bool = True, **more: Any) -> Caller:
        session, _ = sessions.find(self.ports, "a", "s")
        tail = self.ports.log.tail(SESSION, self.limits.window_bytes)
        agent = self.ports.agents.get("a")
        new = Input(texts=(text,), digest=text)
        arrival = Arrival(new, **{"queues": False, "retries": retries, **more})
        return self.inline.accept(session, agent, tail, arrival, "trace")

    def say(self, text: str) -> list[Event]:
        return [r.event for r in self.accept(text).run(lambda _: None)]

    def log(self) -> list[Event]:
        events = self.ports.log.read(SESSION, self.session.incarnation, -1, 10_000)
        tail = self.ports.log.tail(SESSION)
        assert tail.head.state == reduce(State(), 0, [r.event for r in events])
        return [r.event for r in events if not isinstance(r.event, ModelCalled)]

    def wake(self, look: dict[str, int] | None = None) -> None:
        self.worker.handle(WakeUp(SESSION, look or {}), 100.0, "wake")

    @property
    def sent(self) -> list[WakeUp]:
        assert isinstance(self.ports.wake_ups, MemoryWakeUps)
        return [wake_up_from_json(body) for _, body in self.ports.wake_ups.messages]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def turn_of(waiting: Caller) -> str:
    assert isinstance(waiting.accepted, Accepted)
    assert waiting.accepted.turn
    return waiting.accepted.turn


def without_counts(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Without what only tells what a call took."""
    return [r for r in recorded if not isinstance(r.event, ModelCalled)]


def texts(items: Sequence[object]) -> list[str]:
    return [item.text for item in items if isinstance(item, Said)]


def test_an_input_is_answered_in_two_segments(bench: Bench) -> None:
    bench.model.scripts = [[ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("hi"), End("stop")]]
    said: list[object] = []
    waiting = bench.accept("hello")
    answer = waiting.run(said.append)
    turn = turn_of(waiting)
    assert bench.log() == [
        Input(texts=("hello",), digest="hello"),
        TurnBegan(turn=turn, inputs=(0,)),
        Thinking(turn=turn, text="hm"),
        Answered(turn=turn, inputs=(0,), text="hi"),
    ]
    assert [r.event for r in without_counts(answer)] == bench.log()
    assert [r.offset for r in answer] == [0, 1, 2, 3, 4]
    deltas = [what for what in said if not isinstance(what, Recorded)]
    assert deltas == [ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("hi")]
    assert bench.model.asked[0].instructions == "Be brief."
    assert bench.model.asked[0].items == (Said("user", "hello"),)


def test_message_1_of_60_is_seen(bench: Bench) -> None:
    for n in range(60):
        bench.say(f"message {n + 1}")
    assert texts(bench.model.asked[-1].items)[0] == "message 1"
    assert len(bench.model.asked[-1].items) == 119


def test_the_window_drops_the_oldest_turns_beyond_its_limit(bench: Bench) -> None:
    bench.limit(window_bytes=400)
    for n in range(20):
        bench.say(f"message {n + 1}")
    seen = texts(bench.model.asked[-1].items)
    assert seen[-1] == "message 20"
    assert "message 1" not in seen


def test_a_wake_up_is_on_its_way_before_a_turn_begins(bench: Bench) -> None:
    began_at: list[int] = []
    bench.model.before = lambda: began_at.append(len(bench.sent))
    bench.say("hello")
    assert began_at[0] == 1


def test_another_input_is_refused_while_a_turn_runs(bench: Bench) -> None:
    first = bench.accept("one")
    with pytest.raises(TurnRunning) as refusal:
        bench.accept("two")
    assert refusal.value.turn == turn_of(first)
    sent = len(bench.sent)
    with pytest.raises(TurnRunning):
        bench.accept("two")
    assert len(bench.sent) == sent  # refused without a trace
    assert len(bench.log()) == 2


def test_a_repeat_of_the_running_input_waits_for_the_same_answer(bench: Bench) -> None:
    first = bench.accept("one")
    again = bench.accept("one")
    bench.model.scripts = [[TextDelta("once"), End("stop")]]
    first.run(lambda _: None)
    said: list[object] = []
    assert [type(r.event) for r in without_counts(again.run(said.append))] == [
        Input,
        TurnBegan,
        Answered,
    ]
    assert len(said) == 4
    assert len(bench.model.asked) == 1


def test_after_an_overrun_a_repeat_gets_the_answer_that_was_missed(bench: Bench) -> None:
    first = bench.accept("one")
    refusal = first.give_up()
    assert refusal
    assert refusal.turn == turn_of(first)
    first.give_up()  # says it once
    assert [type(e) for e in bench.log()] == [Input, TurnBegan, InputsOverran]
    first.run(lambda _: None)
    bench.clock.sleep(59)
    assert isinstance(bench.say("one")[-1], Answered)
    assert len(bench.model.asked) == 1
    bench.clock.sleep(2)
    bench.say("one")  # after a minute it is a new input
    assert len(bench.model.asked) == 2


def test_what_others_say_meanwhile_makes_no_repeat_a_new_input(bench: Bench) -> None:
    first = bench.accept("one")
    first.give_up()
    first.run(lambda _: None)
    bench.say("two")
    bench.say("one")
    assert len(bench.model.asked) == 2


def test_a_client_that_repeats_a_failed_input_by_itself_does_not_double_it(bench: Bench) -> None:
    bench.model.scripts = [[refused()]]
    assert isinstance(bench.say("one")[-1], TurnFailed)
    bench.clock.sleep(3)
    assert isinstance(bench.say("one")[-1], TurnFailed)
    bench.clock.sleep(8)
    assert isinstance(bench.say("one")[-1], Answered)  # a person tries again
    assert [e.texts for e in bench.log() if isinstance(e, Input)] == [("one",), ("one",)]


def test_a_failure_ends_the_turn_with_a_code_and_the_next_message_is_answered(
    bench: Bench,
) -> None:
    bench.model.scripts = [[refused()]]
    failed = bench.say("one")[-1]
    assert isinstance(failed, TurnFailed)
    assert (failed.code, failed.retryable, failed.inputs) == ("model_unauthorized", False, (0,))
    assert isinstance(bench.say("two")[-1], Answered)
    assert texts(bench.model.asked[-1].items) == ["one", "two"]


def test_a_passing_failure_is_tried_again(bench: Bench) -> None:
    bench.model.scripts = [[overloaded()], [ThinkingDelta("x"), overloaded(retry_after=7)]]
    before = bench.clock.now()
    assert isinstance(bench.say("one")[-1], Answered)
    assert len(bench.model.asked) == 3
    assert bench.clock.now() - before >= 7_000
    assert not any(isinstance(e, Thinking) for e in bench.log())


def test_tries_are_bounded(bench: Bench) -> None:
    bench.model.scripts = [[overloaded()] for _ in range(9)]
    assert isinstance(bench.say("one")[-1], TurnFailed)
    assert len(bench.model.asked) == 4


def test_a_pause_that_ends_after_the_deadline_is_not_made(bench: Bench) -> None:
    bench.limit(turn=5.0)
    bench.model.scripts = [[overloaded(retry_after=6)]]
    assert isinstance(bench.say("one")[-1], TurnFailed)


def test_what_was_said_is_kept_and_not_said_again(bench: Bench) -> None:
    bench.model.scripts = [[TextDelta("so far"), overloaded()]]
    failed = bench.accept("one").run(lambda _: None, heard=True)[-1].event
    assert isinstance(failed, TurnFailed)
    assert failed.text == "so far"
    assert failed.retryable
    assert len(bench.model.asked) == 1


def test_what_nobody_heard_may_be_said_again_in_other_words(bench: Bench) -> None:
    bench.model.scripts = [[TextDelta("so f"), overloaded()], [TextDelta("whole"), End("stop")]]
    answered = bench.say("one")[-1]
    assert isinstance(answered, Answered)
    assert answered.text == "whole"


def test_a_provider_that_hangs_is_not_asked_again(bench: Bench) -> None:
    hangs = ModelError("model_timeout", "No byte.", retryable=True)
    bench.model.scripts = [[hangs]]
    failed = bench.say("one")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.retryable
    assert len(bench.model.asked) == 1


def test_a_bug_ends_the_turn_visibly_and_tells_nothing(bench: Bench) -> None:
    bench.model.scripts = [[ZeroDivisionError("secret detail")]]
    failed = bench.say("one")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "internal_error"
    assert "secret" not in failed.message


def test_an_answer_that_no_item_can_hold_ends_as_a_failure(bench: Bench) -> None:
    bench.model.scripts = [[TextDelta("x" * 400_000), End("stop")]]
    failed = bench.say("one")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "answer_too_large"
    assert isinstance(bench.say("two")[-1], Answered)


def test_a_turn_in_a_session_whose_agent_is_gone_fails_visibly(bench: Bench) -> None:
    bench.accept("one")  # and its host dies
    bench.ports.agents.delete("a")
    bench.wake()
    look = bench.sent[-1].look
    bench.wake(dict(look))
    failed = bench.log()[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "agent_not_found"


def test_two_looks_at_the_same_beat_take_a_dead_turn_over(bench: Bench) -> None:
    first = bench.accept("one")  # and its host dies
    turn = turn_of(first)
    bench.wake()
    assert bench.sent[-1].look == {turn: 0}
    bench.wake({turn: 0})
    kinds = [type(e) for e in bench.log()]
    assert kinds == [Input, TurnBegan, TurnAbandoned, TurnBegan, Answered]


def test_a_turn_that_beats_is_not_taken_over(bench: Bench) -> None:
    first = bench.accept("one")
    turn = turn_of(first)
    bench.ports.beats.beat(SESSION, bench.session.incarnation, turn)
    bench.wake({turn: 0})
    assert [type(e) for e in bench.log()] == [Input, TurnBegan]
    assert bench.sent[-1].look == {turn: 1}


def test_a_host_that_wakes_up_late_writes_nothing(bench: Bench) -> None:
    first = bench.accept("one")
    turn = turn_of(first)
    bench.wake({turn: 0})
    done = bench.log()
    answer = first.run(lambda _: None)
    assert bench.log() == done
    assert answer[-1].event == done[-1]  # its caller gets the answer of who took over


def test_an_input_that_kills_its_hosts_ends_alone(bench: Bench) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    bench.accept("poison")
    bench.model.before = die
    for _ in range(4):
        open_turn = bench.ports.log.tail(SESSION).head.state.open
        assert open_turn
        with suppress(Killed):
            bench.wake({open_turn.id: 0})
    assert bench.log()[-1] == InputsFailed(inputs=(0,))
    bench.model.before = lambda: None
    assert isinstance(bench.say("two")[-1], Answered)


def test_an_open_turn_keeps_its_session_from_expiring() -> None:
    bench = Bench()
    sessions.delete(bench.ports, "a", "s", "trace")
    bench.session = bench.make(tti_minutes=1)
    waiting = bench.accept("one")
    bench.clock.sleep(120)
    assert sessions.find(bench.ports, "a", "s")
    waiting.run(lambda _: None)
    bench.clock.sleep(59)
    assert sessions.find(bench.ports, "a", "s")
    bench.clock.sleep(1)
    assert not bench.ports.log.tail(SESSION).live(bench.clock.now())


def test_a_deleted_session_stops_its_turn() -> None:
    bench = Bench()
    waiting = bench.accept("one")
    sessions.delete(bench.ports, "a", "s", "trace")
    assert waiting.run(lambda _: None) == []
    assert bench.ports.log.tail(SESSION).head.state.deleted


# --- a model whose window is smaller than ours ---------------------------------------------------


class SmallModel(ScriptedModel):
    """Takes so many characters, as a model behind a local server may."""

    def stream(self, request: ModelRequest, deadline: float) -> Generator[Chunk, None, None]:
        if sum(len(text) for text in texts(request.items)) > 3_000:
            self.asked.append(request)
            raise ModelError("context_limit_exceeded", "Too long.", retryable=False)
        return super().stream(request, deadline)


def test_a_session_that_outgrows_its_model_loses_its_oldest_turns(bench: Bench) -> None:
    bench.change(compaction=Compaction(enabled=False))
    bench.model = SmallModel()
    for n in range(30):
        assert isinstance(bench.say(f"this is message {n} " + 200 * "x")[-1], Answered)
    seen = texts(bench.model.asked[-1].items)
    assert seen[-1].startswith("this is message 29")
    assert len(seen) > 5


def test_a_message_that_no_window_holds_fails_alone(bench: Bench) -> None:
    bench.change(compaction=Compaction(enabled=False))
    bench.model = SmallModel()
    bench.say("hello")
    failed = bench.say("x" * 4_000)[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "context_limit_exceeded"
    asked = len(bench.model.asked)
    assert isinstance(bench.say("and now?")[-1], Answered)
    assert len(bench.model.asked) == asked + 1
    assert texts(bench.model.asked[-1].items) == ["hello", "ok", "and now?"]


# --- hosts that are stopped ----------------------------------------------------------------------


def test_where_processes_freeze_an_overrun_is_handed_over_at_once(bench: Bench) -> None:
    bench.limit(freezes=True)
    first = bench.accept("one")
    assert first.give_up()
    overran, handed_over = bench.log()[2:]
    assert isinstance(overran, InputsOverran)
    assert isinstance(handed_over, TurnHandedOver)
    assert bench.sent[-1] == WakeUp(SESSION, guards=4)
    bench.wake()
    assert isinstance(bench.log()[-1], Answered)
    assert bench.ports.log.tail(SESSION).head.state.tries == {}
    done = bench.log()
    first.run(lambda _: None)  # thawed
    assert bench.log() == done
    assert isinstance(bench.say("one")[-1], Answered)  # the client's repeat gets that answer
    assert bench.log() == done


def test_a_thawed_host_does_not_fail_its_turn_with_a_dead_connection(bench: Bench) -> None:
    waiting = bench.accept("one")
    bench.model.scripts = [[TextDelta("half an"), overloaded()]]
    pauses = iter([0, LEASE])
    bench.model.before = lambda: bench.clock.sleep(next(pauses))
    waiting.stopped.set()  # nobody is left to wait for who takes over
    waiting.run(lambda _: None)
    assert [type(e) for e in bench.log()] == [Input, TurnBegan]


def test_a_caller_whose_time_ends_with_the_turn_gets_the_answer(bench: Bench) -> None:
    waiting = bench.accept("one")
    answer = waiting.run(lambda _: None)
    assert waiting.give_up() is None
    assert isinstance(answer[-1].event, Answered)
    assert not waiting.stopped.is_set()


def test_a_reader_gets_no_event_twice_after_a_takeover(bench: Bench) -> None:
    waiting = bench.accept("one")
    bench.wake({turn_of(waiting): 0})
    said: list[Recorded] = []
    waiting.run(lambda what: said.append(what) if isinstance(what, Recorded) else None)
    assert len({r.offset for r in said}) == len(said)
    assert [type(r.event) for r in without_counts(said)] == [
        Input,
        TurnBegan,
        TurnAbandoned,
        TurnBegan,
        Answered,
    ]


def test_a_person_who_tries_a_failed_message_again_is_not_told_the_old_failure(
    bench: Bench,
) -> None:
    bench.model.scripts = [[refused()]]
    bench.say("one")
    again = bench.accept("one", retries=False).run(lambda _: None)
    assert isinstance(again[-1].event, Answered)


def test_a_model_that_cannot_be_made_is_a_visible_failure(bench: Bench) -> None:
    def unmade() -> Model:
        raise ModelError("model_unauthorized", "No secret.", retryable=False)

    bench.inline = Inline(bench.ports, unmade, bench.limits)
    failed = bench.say("one")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "model_unauthorized"


def test_a_key_that_the_provider_refuses_is_an_error_that_an_alarm_can_ring_for(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Its caller hears of the failure, and Lambda of none: the function did what it is for."""
    bench.model.scripts = [[overloaded()], [refused()]]
    bench.say("one")
    found = [(r.levelname, getattr(r, "code", "")) for r in caplog.records]
    assert found == [("WARNING", "model_rate_limited"), ("ERROR", "model_unauthorized")]


def test_a_session_that_is_made_anew_meanwhile_gets_nothing_of_the_old_one(bench: Bench) -> None:
    bench.say("old secret")
    session, _ = sessions.find(bench.ports, "a", "s")
    tail = bench.ports.log.tail(SESSION, bench.limits.window_bytes)
    sessions.delete(bench.ports, "a", "s", "trace")
    bench.clock.sleep(1)
    bench.make()
    with pytest.raises(SessionNotFound):
        bench.inline.accept(
            session, bench.ports.agents.get("a"), tail, Arrival(Input(texts=("new",))), "trace"
        )
    assert bench.ports.log.tail(SESSION).head.at == 0


def test_a_heartbeat_outlives_its_errors(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = bench.accept("one")
    reader = Reader(bench.ports.log, SESSION, waiting.accepted.head)
    turn = turn_of(waiting)
    host = Host(
        ports=bench.ports,
        model=lambda: bench.model,
        writer=waiting.writer,
        reader=reader,
        window=tuple,
        turn=turn,
        session=bench.session,
        limits=bench.limits,
        deadline=0,
    )
    monkeypatch.setattr(type(bench.ports.beats), "beat", lambda *_: 1 / 0)
    host._beat()
