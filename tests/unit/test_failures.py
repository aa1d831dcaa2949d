"""What nobody could work off ends visibly, and never while somebody may be at it."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from cueline.adapters.memory import MemoryWakeUps, memory_ports
from cueline.adapters.wake_ups import wake_up_from_json
from cueline.engine import sessions
from cueline.engine.agent import Agent
from cueline.engine.append import Writer
from cueline.engine.failures import MESSAGE, Failures
from cueline.engine.ports import WakeUp
from cueline.engine.window import answer_to
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsFailed,
    InputsTaken,
    Recorded,
    TurnAbandoned,
    TurnBegan,
    TurnReady,
    TurnSuspended,
)
from cueline.log.fold import reduce
from cueline.log.segment import Session
from cueline.log.state import State
from tests.clock import FakeClock

LEASE = 30
SESSION = "a.s"
ONE, TWO = Input(texts=("one",)), Input(texts=("two",))
BEGUN = TurnBegan(turn="t1", inputs=(0,))


class Bench:
    """One session, and a queue that is worked off by nobody."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ports = memory_ports(self.clock)
        self.ports.agents.create(Agent(key="a", name="A", model="m", created_at=0, updated_at=0))
        self.incarnation = self.make()
        self.failures = Failures(self.ports, LEASE)

    def make(self, tti_minutes: int = 0) -> int:
        new = Session("a", "s", 0, "S", 0, tti_minutes=tti_minutes)
        return sessions.create(self.ports, new, "").incarnation

    def append(self, *events: Event) -> None:
        writer = Writer(self.ports.log, self.clock, SESSION, "")
        assert writer.append_once(self.ports.log.tail(SESSION).head, *events)

    def beat(self, turn: str = "t1") -> None:
        self.ports.beats.beat(SESSION, self.incarnation, turn)

    def fail(self, wake_up: WakeUp) -> None:
        """Five workers have failed at it."""
        self.clock.sleep(5 * 310)
        self.failures.handle(wake_up, "trace")

    def recorded(self) -> list[Recorded]:
        events = list(self.ports.log.read(SESSION, self.incarnation, -1, 1000))
        state = self.ports.log.tail(SESSION).head.state
        assert state == reduce(State(), 0, [r.event for r in events])
        return events

    def log(self) -> list[Event]:
        return [r.event for r in self.recorded()]

    def sent(self) -> list[WakeUp]:
        """What was sent since the last time."""
        queue = self.ports.wake_ups
        assert isinstance(queue, MemoryWakeUps)
        found = [wake_up_from_json(body) for _, body in queue.messages]
        queue.messages.clear()
        return found

    def delays(self) -> list[int]:
        assert isinstance(self.ports.wake_ups, MemoryWakeUps)
        return [round(at - self.clock.monotonic()) for at, _ in self.ports.wake_ups.messages]

    def fail_until_rest(self, wake_up: WakeUp) -> int:
        """How many wake-ups in a row had to fail until none was sent."""
        waiting, failed = [wake_up], 0
        while waiting:
            assert failed < 10, "a wake-up goes round for ever"
            self.fail(waiting.pop())
            failed += 1
            waiting += self.sent()
        return failed


@pytest.fixture
def bench() -> Bench:
    return Bench()


def failed(*inputs: int) -> InputsFailed:
    return InputsFailed(inputs=inputs, code="not_worked_off", message=MESSAGE)


def test_what_waits_gets_one_more_wake_up_and_then_fails_visibly(bench: Bench) -> None:
    bench.append(ONE)
    bench.append(TWO)
    bench.fail(WakeUp(SESSION))
    assert bench.log() == [ONE, TWO]  # the cause may be over by now
    [again] = bench.sent()
    assert again == WakeUp(SESSION, waited=(bench.incarnation, 2))
    bench.fail(again)
    assert bench.log() == [ONE, TWO, failed(0, 1)]
    assert bench.sent() == []


def test_who_waits_for_the_input_is_told(bench: Bench) -> None:
    bench.append(ONE)
    bench.fail_until_rest(WakeUp(SESSION))
    answer = answer_to(bench.recorded(), 0)
    assert answer
    assert [r.event for r in answer] == [ONE, failed(0)]
    assert "send it again" in MESSAGE


def test_a_dead_turn_that_nobody_takes_over_ends_with_its_inputs(bench: Bench) -> None:
    bench.append(ONE, BEGUN)
    bench.append(TWO)
    bench.beat()
    bench.fail(WakeUp(SESSION))
    assert bench.delays() == [LEASE]  # a worker takes its look for one that is a lease old
    [again] = bench.sent()
    assert again.look == {"t1": 1}
    bench.fail(again)
    assert bench.log()[-2:] == [TurnAbandoned(turn="t1"), failed(0, 2)]
    assert bench.ports.log.tail(SESSION).head.state == State()


def test_a_main_turn_and_its_aside_end_together(bench: Bench) -> None:
    bench.append(ONE, BEGUN)
    bench.append(Input(policy="aside", texts=("hm",)), AsideBegan(turn="t2", inputs=(2,)))
    assert bench.fail_until_rest(WakeUp(SESSION)) == 2
    assert bench.log()[-1] == failed(0, 2)


@pytest.mark.parametrize("look", [{}, {"t1": 0}, {"t0": 0}, {"t1": 0, "t0": 0}])
def test_a_look_of_somebody_else_ends_nothing(bench: Bench, look: dict[str, int]) -> None:
    """Only a mark of our own tells that the inputs were there for five deliveries."""
    bench.append(ONE, BEGUN)
    bench.fail(WakeUp(SESSION, look))
    assert bench.log() == [ONE, BEGUN]
    assert [w.look for w in bench.sent()] == [{"t1": 0}]


def test_a_turn_that_beats_is_left_alone(bench: Bench) -> None:
    bench.append(ONE, BEGUN)
    bench.fail(WakeUp(SESSION))
    [again] = bench.sent()
    bench.beat()
    bench.fail(again)
    assert bench.log() == [ONE, BEGUN]
    assert [w.look for w in bench.sent()] == [{"t1": 1}]


def test_what_waits_behind_a_living_turn_waits_on(bench: Bench) -> None:
    bench.append(ONE, BEGUN)
    bench.append(TWO)
    bench.fail(WakeUp(SESSION))
    [again] = bench.sent()
    bench.append(Answered(turn="t1", inputs=(0,), text="done"))
    bench.fail(again)  # somebody has worked since the look
    assert not [e for e in bench.log() if isinstance(e, InputsFailed)]
    [third] = bench.sent()
    bench.fail(third)
    assert bench.log()[-1] == failed(2)


def test_a_newer_input_has_not_waited_and_gets_a_wake_up_of_its_own_round(bench: Bench) -> None:
    bench.append(ONE)
    bench.fail(WakeUp(SESSION))
    [again] = bench.sent()
    bench.append(TWO)
    bench.fail(again)
    assert bench.log() == [ONE, TWO, failed(0)]
    [third] = bench.sent()
    assert third.waited == (bench.incarnation, 3)


def test_what_a_turn_took_after_the_mark_waits_again(bench: Bench) -> None:
    bench.append(ONE, BEGUN)
    bench.fail(WakeUp(SESSION))
    [again] = bench.sent()
    steer = Input(policy="steer", texts=("no, blue",))
    bench.append(steer)
    bench.append(InputsTaken(turn="t1", inputs=(2,)))
    bench.fail(again)
    assert bench.log()[-2:] == [TurnAbandoned(turn="t1"), failed(0)]
    assert [w.waited for w in bench.sent()] == [(bench.incarnation, 6)]


def traced(trace: str, **more: Any) -> Input:
    return Input(texts=(trace,), trace=trace, **more)


def test_each_who_waits_is_told_why_under_a_trace_of_its_own(bench: Bench) -> None:
    bench.append(traced("t1"), ONE, traced("t2"), traced("t1"))
    bench.fail_until_rest(WakeUp(SESSION))
    first, nobody, second = (failed(0, 3), failed(1), failed(2))
    assert bench.log()[4:] == [
        first.model_copy(update={"trace": "t1"}),
        nobody,
        second.model_copy(update={"trace": "t2"}),
        TurnReady(trace="t1"),
        TurnReady(trace="t2"),
    ]


def test_however_many_wait_one_segment_tells_the_newest(bench: Bench) -> None:
    for n in range(20):
        bench.append(traced(f"t{n}"))
    bench.fail_until_rest(WakeUp(SESSION))
    told = [e for e in bench.log() if isinstance(e, InputsFailed)]
    assert [(e.trace, len(e.inputs)) for e in told] == [
        ("", 16),
        *((f"t{n}", 1) for n in range(16, 20)),
    ]


def test_what_two_decide_together_fails_once(bench: Bench) -> None:
    suspended = TurnSuspended(turn="t1", inputs=(0,), calls=("c", "d"))
    bench.append(ONE, BEGUN, suspended)
    bench.append(*(traced(call, policy="decision", call=call) for call in "cd"))
    bench.fail_until_rest(WakeUp(SESSION))
    told = [e for e in bench.log() if isinstance(e, InputsFailed)]
    assert [(e.trace, e.inputs) for e in told] == [("c", (0, 3)), ("d", (4,))]


def test_silent_input_beside_what_failed_goes_with_it(bench: Bench) -> None:
    """It may be what no worker could take; kept, it would fail the next message too."""
    bench.append(Input(policy="silent", texts=("huge",)))
    bench.append(ONE)
    bench.fail_until_rest(WakeUp(SESSION))
    assert bench.log()[-1] == failed(0, 1)


def test_silent_input_alone_waits_for_nobody(bench: Bench) -> None:
    bench.append(Input(policy="silent", texts=("cart: 2",)))
    bench.failures.handle(WakeUp(SESSION, waited=(bench.incarnation, 1)), "trace")
    assert len(bench.log()) == 1
    assert bench.sent() == []


@pytest.mark.parametrize("events", [[], [ONE, BEGUN, Answered(turn="t1", inputs=(0,), text="x")]])
def test_an_idle_session_needs_nothing(bench: Bench, events: Sequence[Event]) -> None:
    if events:
        bench.append(*events)
    bench.fail(WakeUp(SESSION, {"t1": 0}))
    bench.fail(WakeUp(SESSION, waited=(bench.incarnation, 9)))
    assert bench.log() == list(events)
    assert bench.sent() == []


def test_a_session_that_is_gone_needs_nothing(bench: Bench) -> None:
    bench.fail(WakeUp("a.other"))
    bench.append(ONE)
    sessions.delete(bench.ports, "a", "s", "")
    bench.sent()
    bench.fail(WakeUp(SESSION, waited=(bench.incarnation, 9)))
    assert bench.sent() == []


def test_a_mark_says_nothing_about_the_session_made_anew(bench: Bench) -> None:
    before = bench.incarnation
    sessions.delete(bench.ports, "a", "s", "")
    bench.incarnation = bench.make()
    bench.append(ONE)
    bench.sent()
    bench.fail(WakeUp(SESSION, waited=(before, 9)))
    assert bench.log() == [ONE]
    assert [w.waited for w in bench.sent()] == [(bench.incarnation, 1)]


def test_the_same_failed_wake_up_twice_gives_up_once(bench: Bench) -> None:
    bench.append(ONE, BEGUN)
    bench.fail(WakeUp(SESSION))
    [again] = bench.sent()
    bench.fail(again)
    bench.fail(again)
    assert [type(e) for e in bench.log()] == [Input, TurnBegan, TurnAbandoned, InputsFailed]
    assert bench.sent() == []


def test_whoever_begins_at_the_last_moment_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.append(ONE)
    bench.fail(WakeUp(SESSION))
    [again] = bench.sent()
    append = bench.ports.log.append

    def begins_first(*args: object) -> object:
        monkeypatch.setattr(bench.ports.log, "append", append)
        bench.append(BEGUN)
        return append(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.ports.log, "append", begins_first)
    bench.fail(again)
    assert bench.log() == [ONE, BEGUN]
    assert [w.look for w in bench.sent()] == [{"t1": 0}]


def test_a_sweep_is_sent_again_as_it_was(bench: Bench) -> None:
    sweep = WakeUp(SESSION, sweep=(bench.incarnation, 1))
    bench.fail(sweep)
    assert bench.delays() == [900]
    assert bench.sent() == [sweep]


def test_the_log_says_whose_inputs_were_given_up(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.append(ONE)
    with caplog.at_level(logging.WARNING, "cueline"):
        bench.fail_until_rest(WakeUp(SESSION))
    told = [(r.getMessage(), r.__dict__["session"]) for r in caplog.records]
    assert told == [
        ("A session gets one more wake-up", SESSION),
        ("Inputs were given up", SESSION),
    ]
