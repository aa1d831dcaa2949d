"""What an input does to a running turn, on memory: queue, steer, stop it, or speak beside it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from cueline.adapters.wake_ups import wake_up_from_json
from cueline.engine import sessions
from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.inline import Inline
from cueline.engine.interrupt import interrupt
from cueline.engine.model import End, Said, TextDelta
from cueline.engine.ports import WakeUp
from cueline.errors import IdempotencyKeyReused, ModelError, SessionNotFound, Unavailable
from cueline.log.events import (
    Answered,
    AsideBegan,
    Input,
    InputsOverran,
    InputsTaken,
    PartlyAnswered,
    Policy,
    Recorded,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
)
from tests.models import overloaded
from tests.unit.test_turns import LEASE, SESSION, Bench, texts, turn_of, without_counts


class Delayed(Bench):
    """Remembers how late each wake-up was to come, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[int] = []
        send = self.ports.wake_ups.send

        def noted(wake_up: WakeUp, delay: int = 0) -> None:
            self.delays.append(delay)
            send(wake_up, delay)

        self.ports.wake_ups.send = noted  # type: ignore[method-assign]


@pytest.fixture
def bench() -> Delayed:
    return Delayed()


def send(
    bench: Delayed, text: str, policy: Policy = "enqueue", key: IdempotencyKey | None = None
) -> Accepted | Repeated:
    """From a door whose callers do not host."""
    tail = bench.ports.log.tail(SESSION)
    writer = Writer(bench.ports.log, bench.clock, SESSION, "trace")
    arrival = Arrival(Input(texts=(text,), policy=policy), key=key)
    return accept(bench.ports, writer, tail, arrival, LEASE, hosts=False)


def stop(bench: Delayed, key: IdempotencyKey | None = None) -> list[Recorded]:
    writer = Writer(bench.ports.log, bench.clock, SESSION, "trace")
    return list(interrupt(bench.ports, writer, bench.ports.log.tail(SESSION).head, key))


def kinds(bench: Delayed) -> list[type]:
    return [type(event) for event in bench.log()]


# --- enqueue -------------------------------------------------------------------------------------


def test_an_input_from_a_door_that_does_not_host_is_begun_by_a_worker(bench: Delayed) -> None:
    assert send(bench, "one").offset == 0
    assert kinds(bench) == [Input]
    assert bench.delays == [0]
    bench.wake()
    assert kinds(bench) == [Input, TurnBegan, Answered]


def test_behind_a_running_turn_an_input_waits_and_its_wake_up_is_for_emergencies(
    bench: Delayed,
) -> None:
    running = bench.accept("one")
    before = len(bench.delays)
    send(bench, "two")
    assert bench.delays[before:] == [LEASE]
    before = len(bench.delays)
    running.run(lambda _: None)
    assert bench.delays[before:] == [0]  # who ends a turn with inputs pending sends one at once
    bench.wake()
    assert kinds(bench) == [Input, TurnBegan, Input, Answered, TurnBegan, Answered]


def test_a_waiting_caller_begins_its_own_turn_and_a_worker_leaves_it_a_moment(
    bench: Delayed,
) -> None:
    running = bench.accept("one")
    waiting = bench.accept("two", queues=True)
    queued = bench.log()[-1]
    assert isinstance(queued, Input)
    assert queued.attended
    before = len(bench.delays)
    running.run(lambda _: None)
    assert bench.delays[before:] == [1]
    deltas: list[object] = []
    answer = waiting.run(deltas.append)
    assert TextDelta("ok") in deltas
    assert isinstance(answer[-1].event, Answered)
    assert kinds(bench) == [Input, TurnBegan, Input, Answered, TurnBegan, Answered]


def test_where_the_caller_of_a_waiting_input_is_gone_a_worker_answers_it(bench: Delayed) -> None:
    running = bench.accept("one")
    waiting = bench.accept("two", queues=True)
    waiting.give_up()
    running.run(lambda _: None)
    bench.wake()
    assert kinds(bench)[-2:] == [TurnBegan, Answered]


def test_with_since_all_is_told_in_order_and_once(bench: Delayed) -> None:
    bench.say("one")
    running = bench.accept("two")
    waiting = bench.accept("three", queues=True, since=-1)
    running.run(lambda _: None)
    told: list[Recorded] = []
    events = waiting.run(lambda what: told.append(what) if isinstance(what, Recorded) else None)
    assert [r.event for r in told] == [r.event for r in events]
    assert [r.event for r in without_counts(told)] == bench.log()
    assert [r.offset for r in told] == list(range(len(told)))


def test_a_repeat_of_a_waiting_input_attaches_to_it(bench: Delayed) -> None:
    running = bench.accept("one")
    first = bench.accept("two", queues=True)
    again = bench.accept("two", queues=True)
    assert isinstance(again.accepted, Repeated)
    running.run(lambda _: None)
    assert first.run(lambda _: None)[-1].event == again.run(lambda _: None)[-1].event
    assert [e.texts for e in bench.log() if isinstance(e, Input)] == [("one",), ("two",)]


@pytest.mark.parametrize("how", ["cancelled", "failed", "timed out", "dead"])
def test_however_a_turn_ends_the_queue_goes_on(bench: Delayed, how: str) -> None:
    running = bench.accept("one")
    send(bench, "two")
    if how == "cancelled":
        stop(bench)
    elif how == "dead":
        turn = turn_of(running)
        bench.wake({turn: 0})
    else:
        kind = "model_timeout" if how == "timed out" else "model_rejected"
        bench.model.scripts = [[ModelError(kind, "No.", retryable=False)]]
        running.run(lambda _: None)
    for _ in range(3):
        bench.wake()
    last = bench.log()[-1]
    assert isinstance(last, Answered)
    state = bench.ports.log.tail(SESSION).head.state
    assert not state.unfinished
    assert "two" in texts(bench.model.asked[-1].items)


# --- steer ---------------------------------------------------------------------------------------


def test_steering_is_taken_before_the_next_model_call(bench: Delayed) -> None:
    running = bench.accept("one")
    bench.model.scripts = [[overloaded()]]
    bench.model.before = lambda: send(bench, "two", "steer") if len(bench.log()) == 2 else None
    answer = running.run(lambda _: None)
    assert kinds(bench) == [Input, TurnBegan, Input, InputsTaken, Answered]
    assert texts(bench.model.asked[-1].items) == ["one", "two"]
    assert isinstance(answer[-1].event, Answered)
    assert answer[-1].event.inputs == (0, 2)


def test_with_little_time_left_a_turn_that_got_on_is_handed_to_a_fresh_process(
    bench: Delayed,
) -> None:
    bench.limit(turn=100.0)
    running = bench.accept("one")
    bench.model.scripts = [[overloaded(retry_after=15)]]

    def slowly() -> None:
        if len(bench.log()) == 2:
            send(bench, "two", "steer")
            for _ in range(7):
                bench.clock.sleep(10)

    bench.model.before = slowly
    running.stopped.set()
    with beating(bench):
        running.run(lambda _: None)
    assert kinds(bench) == [Input, TurnBegan, Input, InputsTaken, TurnHandedOver]
    assert bench.ports.log.tail(SESSION).head.state.tries == {}
    assert bench.delays[-1] == 0
    bench.wake()
    assert isinstance(bench.log()[-1], Answered)


@contextmanager
def beating(bench: Delayed) -> Iterator[None]:
    """The host's timers run whenever time passes, as they do on a machine."""
    clock = bench.clock
    timers: list[Callable[[], None]] = []
    sleep = clock.sleep

    @contextmanager
    def every(seconds: float, do: Callable[[], None]) -> Iterator[None]:
        timers.append(do)
        yield
        timers.remove(do)

    def slept(seconds: float) -> None:
        sleep(seconds)
        for do in [*timers]:
            do()

    clock.every, clock.sleep = every, slept  # type: ignore[method-assign]
    yield


# --- interrupt -----------------------------------------------------------------------------------


@dataclass
class Watched:
    """A model that is interrupted after its second delta, and watched between any two."""

    bench: Delayed
    asked: list[Any] = field(default_factory=list)
    policy: Policy | None = None

    def stream(self, request: Any, deadline: float) -> Generator[Any, None, None]:
        self.asked.append(request)
        if len(self.asked) > 1:
            yield TextDelta("next")
            yield End("stop")
            return
        for n, word in enumerate(["so ", "far ", "never"]):
            if n == 2:
                if self.policy:
                    send(self.bench, "stop", self.policy)
                else:
                    stop(self.bench)
                self.bench.clock.sleep(0.5)
            yield TextDelta(word)
        yield End("stop")


@pytest.mark.parametrize("policy", [None, "interrupt"])
def test_an_interrupted_turn_stops_and_its_words_are_kept(
    bench: Delayed, policy: Policy | None
) -> None:
    model = Watched(bench, policy=policy)
    bench.inline = Inline(bench.ports, lambda: model, bench.limits)
    said: list[object] = []
    with beating(bench):
        answer = bench.accept("one").run(said.append)
    turn = next(e.turn for e in bench.log() if isinstance(e, TurnBegan))
    assert TurnInterrupted(turn=turn, inputs=(0,)) in bench.log()
    assert bench.log()[-1] == PartlyAnswered(turn=turn, text="so far ")
    seen = [type(r.event) for r in without_counts(answer)]
    assert seen == [Input, TurnBegan, TurnInterrupted, PartlyAnswered]
    assert TextDelta("never") not in said
    if policy:
        # The words are there before a worker comes for what interrupted.
        assert bench.delays[-2:] == [1, 0]


def test_the_next_turn_knows_what_was_said_before_the_interrupt(bench: Delayed) -> None:
    model = Watched(bench)
    bench.inline = Inline(bench.ports, lambda: model, bench.limits)
    with beating(bench):
        bench.accept("one").run(lambda _: None)
        bench.say("two")
    expected = (Said("user", "one"), Said("assistant", "so far "), Said("user", "two"))
    assert model.asked[-1].items == expected


def test_an_interrupting_input_is_answered_with_what_waited(bench: Delayed) -> None:
    bench.accept("one")
    send(bench, "two")
    send(bench, "three", "silent")
    send(bench, "four", "interrupt")
    bench.wake()
    began = bench.log()[-2]
    assert isinstance(began, TurnBegan)
    assert began.inputs == (2, 3, 5)
    assert texts(bench.model.asked[-1].items) == ["one", "two", "three", "four"]


def test_what_runs_nowhere_cannot_be_interrupted(bench: Delayed) -> None:
    bench.say("one")
    assert stop(bench) == []
    assert kinds(bench) == [Input, TurnBegan, Answered]
    sessions.delete(bench.ports, "a", "s", "trace")
    with pytest.raises(SessionNotFound):
        stop(bench)


# --- silent and aside ----------------------------------------------------------------------------


def test_what_is_silent_wakes_nobody_and_is_absorbed_by_the_next_turn(bench: Delayed) -> None:
    send(bench, "by the way", "silent")
    assert bench.delays == []
    bench.say("hello")
    assert texts(bench.model.asked[-1].items) == ["by the way", "hello"]


def test_an_aside_is_spoken_beside_the_running_turn(bench: Delayed) -> None:
    running = bench.accept("one")
    send(bench, "one moment", "aside")
    assert bench.delays[-1] == 0
    bench.model.scripts = [[TextDelta("bear with me"), End("stop")]]
    bench.wake()
    assert kinds(bench) == [Input, TurnBegan, Input, AsideBegan, Answered]
    assert isinstance(running.run(lambda _: None)[-1].event, Answered)
    assert [e.text for e in bench.log() if isinstance(e, Answered)] == ["bear with me", "ok"]


def test_an_aside_with_nothing_to_be_beside_is_a_plain_input(bench: Delayed) -> None:
    send(bench, "one moment", "aside")
    stored = bench.log()[0]
    assert isinstance(stored, Input)
    assert stored.policy == "enqueue"


# --- keys ----------------------------------------------------------------------------------------

KEY = IdempotencyKey("key", "body")


def test_a_key_stands_for_its_input_also_where_the_answer_was_lost(bench: Delayed) -> None:
    first = send(bench, "one", key=KEY)
    bench.wake()
    again = send(bench, "one", key=KEY)
    assert isinstance(again, Repeated)
    assert again.offset == first.offset
    assert len(bench.log()) == 3
    with pytest.raises(IdempotencyKeyReused):
        send(bench, "other", key=IdempotencyKey("key", "other"))


def test_a_keyed_interrupt_ends_one_turn_however_often_it_comes(bench: Delayed) -> None:
    bench.accept("one")
    first = stop(bench, KEY)
    bench.accept("two")
    assert stop(bench, KEY) == first
    assert bench.ports.log.tail(SESSION).head.state.open
    with pytest.raises(IdempotencyKeyReused):
        stop(bench, IdempotencyKey("key", "other"))


def test_a_failed_turn_under_a_key_stays_what_it_is(bench: Delayed) -> None:
    bench.model.scripts = [[ModelError("model_rejected", "No.", retryable=False)]]
    waiting = bench.accept("one", key=KEY)
    assert isinstance(waiting.run(lambda _: None)[-1].event, TurnFailed)
    bench.clock.sleep(3600)
    again = bench.accept("one", key=KEY)
    assert isinstance(again.run(lambda _: None)[-1].event, TurnFailed)
    assert len(bench.model.asked) == 1


# --- callers who are told nothing, or the wrong thing, and repeat --------------------------------


def inputs(bench: Delayed) -> list[tuple[str, ...]]:
    return [e.texts for e in bench.log() if isinstance(e, Input)]


def test_a_caller_who_gave_up_while_its_input_waited_is_known_when_it_repeats(
    bench: Delayed,
) -> None:
    running = bench.accept("one")
    assert bench.accept("two", queues=True).give_up()
    running.run(lambda _: None)
    bench.wake()
    bench.clock.sleep(1)
    assert isinstance(bench.accept("two", queues=True).run(lambda _: None)[-1].event, Answered)
    assert inputs(bench) == [("one",), ("two",)]


def test_each_of_many_late_callers_is_known(bench: Delayed) -> None:
    callers = [bench.accept(f"{n}", queues=True) for n in range(10)]
    for caller in callers:
        assert caller.give_up()
    callers[0].run(lambda _: None)
    for _ in range(10):
        bench.wake()
    for n in range(10):
        bench.accept(f"{n}", queues=True).run(lambda _: None)
    assert len(inputs(bench)) == 10


def test_a_failure_is_known_also_after_an_older_overrun(bench: Delayed) -> None:
    first = bench.accept("one")
    waiting = bench.accept("two", queues=True)
    first.give_up()
    first.run(lambda _: None)
    bench.model.scripts = [[ModelError("model_rejected", "No.", retryable=False)]]
    assert isinstance(waiting.run(lambda _: None)[-1].event, TurnFailed)
    bench.clock.sleep(1)
    bench.accept("two", queues=True).run(lambda _: None)
    assert inputs(bench) == [("one",), ("two",)]


def test_what_is_remembered_of_late_callers_is_bounded_and_goes(bench: Delayed) -> None:
    for n in range(30):
        bench.accept(f"{n}").give_up()
        stop(bench)
    assert len(bench.ports.log.tail(SESSION).head.state.repeats) == 16
    for n in range(40):
        bench.say(f"more {n}")
    assert bench.ports.log.tail(SESSION).head.state.repeats == ()


def test_a_follower_outlives_a_lost_look(bench: Delayed) -> None:
    running = bench.accept("one")
    waiting = bench.accept("one")
    running.run(lambda _: None)
    segment, lost = bench.ports.log.segment, iter([True, True])

    def sometimes(*place: Any, **more: Any) -> Any:
        if next(lost, False):
            raise Unavailable("Busy.")
        return segment(*place, **more)

    bench.ports.log.segment = sometimes  # type: ignore[method-assign]
    assert isinstance(waiting.run(lambda _: None)[-1].event, Answered)


def test_an_answer_that_is_stored_is_told_though_nobody_can_be_woken(bench: Delayed) -> None:
    running = bench.accept("one")
    send(bench, "two")

    def down(*_: Any, **__: Any) -> None:
        raise Unavailable("No queue.")

    bench.ports.wake_ups.send = down  # type: ignore[method-assign]
    assert isinstance(running.run(lambda _: None)[-1].event, Answered)


def test_a_repeat_of_a_waiting_input_wakes_somebody_as_its_first_sender_may_have_died(
    bench: Delayed,
) -> None:
    send(bench, "one", key=KEY)
    before = len(bench.delays)
    send(bench, "one", key=KEY)
    assert bench.delays[before:] == [0]


def test_an_interrupt_ends_a_pause_before_the_next_try(bench: Delayed) -> None:
    bench.model.scripts = [[overloaded(retry_after=19)]]
    waiting = bench.accept("one")
    began, sleep = bench.clock.monotonic(), bench.clock.sleep

    def slept(seconds: float) -> None:
        sleep(seconds)
        if bench.clock.monotonic() - began == 2:
            stop(bench)

    bench.clock.sleep = slept  # type: ignore[method-assign]
    with beating(bench):
        waiting.run(lambda _: None)
    assert bench.clock.monotonic() - began < 4


def test_a_thawed_host_leaves_its_turn_though_its_timers_run_again(bench: Delayed) -> None:
    waiting = bench.accept("one")
    bench.model.scripts = [[TextDelta("half an"), overloaded()]]
    pauses = iter([0, 10 * LEASE])
    bench.model.before = lambda: bench.clock.sleep(next(pauses))
    waiting.stopped.set()
    with beating(bench):
        waiting.run(lambda _: None, heard=True)
    assert kinds(bench) == [Input, TurnBegan]


def test_who_hands_its_turn_over_does_not_begin_it_again(bench: Delayed) -> None:
    bench.limit(freezes=True)
    waiting = bench.accept("one")
    append = bench.ports.log.append

    def while_it_commits(*given: Any) -> Any:
        bench.ports.log.append = append  # type: ignore[method-assign]
        assert waiting.give_up()
        return append(*given)

    bench.ports.log.append = while_it_commits  # type: ignore[method-assign,assignment]
    waiting.run(lambda _: None)
    assert kinds(bench) == [Input, TurnBegan, InputsOverran, TurnHandedOver]


def test_a_turn_whose_window_cannot_be_read_is_begun_again(bench: Delayed) -> None:
    running = bench.accept("one")
    waiting = bench.accept("two", queues=True)
    running.run(lambda _: None)
    read, lost = bench.ports.log.read, iter([True])

    def sometimes(*place: Any) -> Any:
        if next(lost, False):
            raise Unavailable("Busy.")
        return read(*place)

    bench.ports.log.read = sometimes  # type: ignore[method-assign,assignment]
    assert isinstance(waiting.run(lambda _: None)[-1].event, Answered)
    assert bench.ports.log.tail(SESSION).head.state.tries == {}


def test_a_caller_of_an_older_incarnation_touches_nothing_of_the_next(bench: Delayed) -> None:
    waiting = bench.accept("one")
    sessions.delete(bench.ports, "a", "s", "trace")
    bench.clock.sleep(1)
    bench.session = bench.make()
    bench.accept("one")
    assert waiting.give_up() is None
    assert kinds(bench) == [Input, TurnBegan]


def test_a_waiting_caller_lets_the_interrupted_turn_tell_its_words_first(bench: Delayed) -> None:
    running = bench.accept("one")
    waiting = bench.accept("two", queues=True)
    stop(bench)
    turn, sleep = turn_of(running), bench.clock.sleep

    def slept(seconds: float) -> None:
        sleep(seconds)
        if PartlyAnswered not in kinds(bench):
            writer = Writer(bench.ports.log, bench.clock, SESSION, "host")
            head = bench.ports.log.tail(SESSION).head
            writer.append(head, lambda *_: (PartlyAnswered(turn=turn, text="so far"),))

    bench.clock.sleep = slept  # type: ignore[method-assign]
    waiting.run(lambda _: None)
    assert texts(bench.model.asked[-1].items) == ["one", "so far", "two"]


def test_wake_ups_of_what_has_ended_do_not_go_round_in_a_busy_session(bench: Delayed) -> None:
    for n in range(20):
        bench.say(f"{n}")
    running = bench.accept("and now?")
    bench.clock.sleep(LEASE)
    old = [wake_up_from_json(body) for _, body in bench.ports.wake_ups.messages]  # type: ignore[attr-defined]
    assert len(old) == 21
    before = len(bench.delays)
    for wake_up in old:
        bench.worker.handle(wake_up, 100.0, "worker")
    assert bench.delays[before:] == [LEASE]  # that of the running turn
    assert bench.sent[-1].look == {turn_of(running): 0}
