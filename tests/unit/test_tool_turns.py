"""Turns that work with tools: run, refused, repeated, cut off, approved, rejected."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cueline.engine.accept import Arrival
from cueline.engine.agent import PythonTool
from cueline.engine.inline import Caller, Inline
from cueline.engine.model import Called, CallMade, End, Returned, Said
from cueline.engine.tooling import UNKNOWN_OUTCOME
from cueline.engine.tools import ToolResult
from cueline.engine.worker import Worker
from cueline.errors import CallNotWaiting, Unavailable
from cueline.log.conversation import WAITING
from cueline.log.events import (
    Answered,
    Decision,
    Event,
    Input,
    Recorded,
    Spoke,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnSuspended,
)
from tests.models import ScriptedModel
from tests.tooling import FakeToolbox, calls, says
from tests.unit.test_turns import SESSION, Bench, texts, turn_of


class Workshop(Bench):
    """A bench whose agent has tools."""

    def __init__(self) -> None:
        super().__init__()
        self.toolbox = FakeToolbox()
        self.ports = replace(self.ports, toolbox=self.toolbox)
        self.change(tools={"any": PythonTool(tool_id="tol_any", function="any")})
        self.limit()

    def restart(self) -> None:
        """Everything but the store is made anew."""
        self.model = ScriptedModel()
        self.inline = Inline(self.ports, lambda: self.model, self.limits)
        self.worker = Worker(self.ports, lambda: self.model, self.limits)

    def decide(self, call: str, verdict: str, **more: str) -> Caller:
        decision = Decision.model_validate({"verdict": verdict, **more})
        new = Input(policy="decision", call=call, decision=decision, digest=f"{call}{decision}")
        tail = self.ports.log.tail(SESSION, self.limits.window_bytes)
        agent, session = self.ports.agents.get("a"), self.session
        return self.inline.accept(session, agent, tail, Arrival(new, queues=True), "decision")

    def suspended(self) -> set[str]:
        return set(self.ports.log.tail(SESSION).head.state.suspended)


@pytest.fixture
def shop() -> Workshop:
    return Workshop()


def kinds(events: list[Event]) -> list[type]:
    return [type(e) for e in events]


def outputs(shop: Bench) -> list[str]:
    return [e.output for e in shop.log() if isinstance(e, ToolOutput)]


def test_the_model_calls_a_tool_and_answers_with_what_it_gave(shop: Workshop) -> None:
    shop.toolbox.add("weather", '{"sky": "blue"}')
    shop.model.scripts = [calls(("weather", {"city": "Rome"}), text="Let me look."), says("Blue.")]
    events = shop.say("How is it in Rome?")
    assert shop.toolbox.ran == [("weather", {"city": "Rome"})]
    assert kinds(shop.log()) == [Input, TurnBegan, Spoke, ToolInput, ToolOutput, Answered]
    assert isinstance(events[-1], Answered)
    assert shop.model.asked[0].tools[0].name == "weather"
    assert shop.model.asked[1].items == (
        Said("user", "How is it in Rome?"),
        Said("assistant", "Let me look."),
        Called("c0", "weather", '{"city": "Rome"}'),
        Returned("c0", '{"sky": "blue"}'),
    )


def test_parallel_calls_run_beside_each_other(shop: Workshop) -> None:
    both = threading.Barrier(2, timeout=5)

    def meet(_: Mapping[str, Any], __: float) -> ToolResult:
        both.wait()  # breaks unless the other one is there too
        return ToolResult("met")

    shop.toolbox.add("one", run=meet)
    shop.toolbox.add("two", run=meet)
    shop.model.scripts = [calls(("one", {}), ("two", {}))]
    assert isinstance(shop.say("go")[-1], Answered)
    assert outputs(shop) == ["met", "met"]
    inputs = [n for n, e in enumerate(shop.log()) if isinstance(e, ToolInput)]
    assert inputs == [2, 3]


def test_a_slow_tool_does_not_hold_back_the_output_of_a_fast_one(shop: Workshop) -> None:
    stored = threading.Event()

    def slow(_: Mapping[str, Any], __: float) -> ToolResult:
        assert stored.wait(5)
        return ToolResult("slow")

    shop.toolbox.add("slow", run=slow)
    shop.toolbox.add("fast", "fast")
    shop.model.scripts = [calls(("slow", {}), ("fast", {}))]

    def told(what: object) -> None:
        if isinstance(what, Recorded) and isinstance(what.event, ToolOutput):
            stored.set()

    shop.accept("go").run(told)
    assert outputs(shop) == ["fast", "slow"]


def test_a_tool_that_takes_too_long_is_left_behind(shop: Workshop) -> None:
    ended = threading.Event()
    shop.ports = replace(shop.ports, clock=_RealTime(shop.clock))
    shop.limit()

    def hang(_: Mapping[str, Any], __: float) -> ToolResult:
        ended.wait(10)
        return ToolResult("too late")

    shop.toolbox.add("hang", run=hang, timeout=0.2)
    shop.model.scripts = [calls(("hang", {}))]
    assert isinstance(shop.say("go")[-1], Answered)
    assert "did not answer within 0.2 seconds" in outputs(shop)[0]
    ended.set()


class _RealTime:
    """The bench's clock, on which time passes."""

    def __init__(self, clock: Any) -> None:
        self._clock, self._started = clock, time.monotonic()

    def monotonic(self) -> float:
        return float(self._clock.monotonic()) + time.monotonic() - self._started

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)


def test_a_tool_with_a_bug_fails_as_its_output(shop: Workshop) -> None:
    shop.toolbox.add("broken", run=lambda *_: 1 / 0)
    shop.model.scripts = [calls(("broken", {}))]
    assert isinstance(shop.say("go")[-1], Answered)
    assert outputs(shop) == ["The tool failed."]


# --- refused -------------------------------------------------------------------------------------


def test_wrong_calls_go_back_to_the_model_and_do_not_run(shop: Workshop) -> None:
    shop.toolbox.add("pay", required=["amount"])
    shop.model.scripts = [
        [CallMade("c1", "no_such", "{}"), CallMade("c2", "pay", "{"), End("tool_calls")],
        calls(("pay", {}), at=3),
        calls(("pay", {"amount": 1}), at=4),
    ]
    assert isinstance(shop.say("pay")[-1], Answered)
    assert shop.toolbox.ran == [("pay", {"amount": 1})]
    told = outputs(shop)
    assert "no such tool" in told[0]
    assert "pay" in told[0]
    assert "no JSON object" in told[1]
    assert "'amount' is required" in told[2]
    refused = [e.refused for e in shop.log() if isinstance(e, ToolOutput)]
    assert refused == [True, True, True, False]


def test_a_model_that_only_calls_wrongly_is_stopped(shop: Workshop) -> None:
    shop.toolbox.add("pay")
    shop.model.scripts = [calls((f"no_such{n}", {}), at=n) for n in range(9)]
    failed = shop.say("pay")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "tool_calls_invalid"
    assert len(shop.model.asked) == 3


def test_ids_that_the_model_gives_twice_are_told_apart(shop: Workshop) -> None:
    shop.toolbox.add("look")
    shop.model.scripts = [calls(("look", {"n": 1})), calls(("look", {"n": 2}))]
    shop.say("look twice")
    made = [e.call for e in shop.log() if isinstance(e, ToolInput)]
    assert len(set(made)) == 2
    assert shop.toolbox.ran == [("look", {"n": 1}), ("look", {"n": 2})]


def test_more_calls_than_a_segment_holds_all_run(shop: Workshop) -> None:
    shop.toolbox.add("look")
    shop.model.scripts = [calls(*(("look", {"n": n}) for n in range(40)))]
    assert isinstance(shop.say("look")[-1], Answered)
    assert sorted(given["n"] for _, given in shop.toolbox.ran) == list(range(40))


# --- cut off -------------------------------------------------------------------------------------


class Died(BaseException):
    pass


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_call_that_was_cut_off_is_run_again_only_if_it_may_be(
    shop: Workshop, repeatable: bool
) -> None:
    ran: list[str] = []

    def die_first(_: Mapping[str, Any], __: float) -> ToolResult:
        ran.append("ran")
        return ToolResult("done")

    shop.toolbox.add("pay", run=die_first, repeatable=repeatable)
    shop.model.scripts = [calls(("pay", {}))]
    waiting = shop.accept("pay")
    _die_before(shop, ToolOutput)
    with pytest.raises(Died):
        waiting.run(lambda _: None)
    assert ran == ["ran"]
    shop.restart()
    shop.wake({turn_of(waiting): 0})
    assert isinstance(shop.log()[-1], Answered)
    assert ran == (["ran", "ran"] if repeatable else ["ran"])
    assert outputs(shop) == (["done"] if repeatable else [UNKNOWN_OUTCOME])
    answered = shop.model.asked[-1].items[-1]
    assert isinstance(answered, Returned)
    assert answered.output == outputs(shop)[0]


def test_a_call_whose_output_is_stored_is_never_run_again(shop: Workshop) -> None:
    shop.toolbox.add("pay", repeatable=True)
    shop.model.scripts = [calls(("pay", {}))]
    waiting = shop.accept("pay")
    _die_before(shop, Answered)
    with pytest.raises(Died):
        waiting.run(lambda _: None)
    shop.restart()
    shop.wake({turn_of(waiting): 0})
    assert isinstance(shop.log()[-1], Answered)
    assert len(shop.toolbox.ran) == 1
    # The model is asked with the output at once: the call is not made anew.
    assert isinstance(shop.model.asked[0].items[-1], Returned)


def _die_before(shop: Workshop, kind: type) -> None:
    """The process ends just before it would append such an event."""
    put, log = shop.ports.log.append, shop.ports.log

    def append(session: str, incarnation: int, segment: Any, keyed: Any = None) -> Any:
        if any(isinstance(e, kind) for e in segment.events):
            log.append = put  # type: ignore[method-assign]
            raise Died
        return put(session, incarnation, segment, keyed)

    log.append = append  # type: ignore[method-assign]


def test_an_interrupt_ends_a_turn_whose_tool_runs(shop: Workshop) -> None:
    from cueline.engine.append import Writer
    from cueline.engine.interrupt import interrupt

    def stopped(_: Mapping[str, Any], __: float) -> ToolResult:
        writer = Writer(shop.ports.log, shop.clock, SESSION, "stop")
        interrupt(shop.ports, writer, shop.ports.log.tail(SESSION).head, None)
        return ToolResult("too late")

    shop.toolbox.add("slow", run=stopped)
    shop.model.scripts = [calls(("slow", {}), text="One moment.")]
    events = shop.accept("go").run(lambda _: None)
    assert isinstance(events[-1].event, TurnInterrupted)
    assert outputs(shop) == []
    assert len(shop.model.asked) == 1
    shop.say("and now?")
    items = shop.model.asked[-1].items
    assert texts(items) == ["go", "One moment.", "and now?"]
    assert any(isinstance(i, Returned) and "cut off" in i.output for i in items)


# --- approval ------------------------------------------------------------------------------------


def test_a_call_that_needs_approval_ends_the_turn_and_has_not_run(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"amount": 5}))]
    events = shop.say("refund me")
    assert isinstance(events[-1], TurnSuspended)
    assert events[-1].calls == ("c0",)
    assert shop.suspended() == {"c0"}
    assert shop.toolbox.ran == []


def test_an_approved_call_runs_and_its_turn_answers(shop: Workshop) -> None:
    shop.toolbox.add("refund", "paid", approval=True)
    shop.model.scripts = [calls(("refund", {"amount": 5}))]
    shop.say("refund me")
    shop.restart()  # days later, in another process
    shop.clock.sleep(5 * 86_400)
    shop.model.scripts = [says("Done.")]
    events = shop.decide("c0", "approve").run(lambda _: None)
    assert shop.toolbox.ran == [("refund", {"amount": 5})]
    answered = events[-1].event
    assert isinstance(answered, Answered)
    assert answered.inputs == (0, 5)  # the message, and the decision
    assert shop.suspended() == set()
    called, returned = shop.model.asked[-1].items[-2:]
    assert isinstance(called, Called)
    assert called.arguments == '{"amount": 5}'
    assert returned == Returned(called.call, "paid")


def test_an_edited_call_runs_with_the_persons_arguments(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True, required=["amount"])
    shop.model.scripts = [calls(("refund", {"amount": 500}))]
    shop.say("refund me")
    shop.decide("c0", "edit", arguments='{"amount": 5}', note="Five is fair.").run(lambda _: None)
    assert shop.toolbox.ran == [("refund", {"amount": 5})]
    assert "Five is fair." in texts(shop.model.asked[-1].items)


def test_an_edit_that_does_not_fit_does_not_run(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True, required=["amount"])
    shop.model.scripts = [calls(("refund", {"amount": 500}))]
    shop.say("refund me")
    shop.decide("c0", "edit", arguments="{}").run(lambda _: None)
    assert shop.toolbox.ran == []
    assert "'amount' is required" in outputs(shop)[0]


def test_a_rejected_call_does_not_run_and_the_model_is_told_why(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    events = shop.decide("c0", "reject", note="Not without a receipt.").run(lambda _: None)
    assert isinstance(events[-1].event, Answered)
    assert shop.toolbox.ran == []
    told = shop.model.asked[-1].items[-1]
    assert isinstance(told, Returned)
    assert "rejected" in told.output
    assert "receipt" in told.output


def test_new_messages_are_answered_while_a_call_waits(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {})), says("Still waiting.")]
    shop.say("refund me")
    assert isinstance(shop.say("and?")[-1], Answered)
    assert any(isinstance(i, Returned) and i.output == WAITING for i in shop.model.asked[-1].items)
    assert shop.suspended() == {"c0"}
    assert isinstance(shop.decide("c0", "approve").run(lambda _: None)[-1].event, Answered)
    assert len(shop.toolbox.ran) == 1


def test_other_calls_of_the_same_answer_run_before_the_turn_waits(shop: Workshop) -> None:
    shop.toolbox.add("look")
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}), ("look", {}))]
    assert isinstance(shop.say("go")[-1], TurnSuspended)
    assert shop.toolbox.ran == [("look", {})]


@pytest.mark.parametrize("order", [("c0", "c1"), ("c1", "c0")])
def test_two_calls_wait_for_a_decision_each(shop: Workshop, order: tuple[str, str]) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": 0}), ("refund", {"n": 1}))]
    shop.say("refund me twice")
    assert shop.suspended() == {"c0", "c1"}
    first = shop.decide(order[0], "approve").run(lambda _: None)
    assert isinstance(first[-1].event, TurnSuspended)
    assert shop.suspended() == {order[1]}
    assert len(shop.toolbox.ran) == 1
    last = shop.decide(order[1], "reject").run(lambda _: None)[-1].event
    assert isinstance(last, Answered)
    assert last.inputs[0] == 0
    assert shop.suspended() == set()
    assert len(shop.toolbox.ran) == 1


def test_two_decisions_at_once_are_both_carried_out(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": 0}), ("refund", {"n": 1}))]
    shop.say("refund me twice")
    first, second = shop.decide("c0", "approve"), shop.decide("c1", "approve")
    first.run(lambda _: None)
    assert isinstance(second.run(lambda _: None)[-1].event, Answered)
    assert sorted(given["n"] for _, given in shop.toolbox.ran) == [0, 1]
    assert shop.suspended() == set()


def test_a_call_is_decided_on_once(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    with pytest.raises(CallNotWaiting):
        shop.decide("c9", "approve")
    waiting = shop.decide("c0", "approve")
    with pytest.raises(CallNotWaiting):
        shop.decide("c0", "reject")
    waiting.run(lambda _: None)
    with pytest.raises(CallNotWaiting):
        shop.decide("c0", "approve", note="again")
    assert len(shop.toolbox.ran) == 1


def test_an_approved_call_that_was_cut_off_is_not_run_again(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    waiting = shop.decide("c0", "approve")
    _die_before(shop, ToolOutput)
    with pytest.raises(Died):
        waiting.run(lambda _: None)
    shop.restart()
    shop.wake({turn_of(waiting): 0})
    assert isinstance(shop.log()[-1], Answered)
    assert len(shop.toolbox.ran) == 1
    assert outputs(shop) == [UNKNOWN_OUTCOME]


def test_a_host_that_dies_before_it_acts_on_a_decision_loses_nothing(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    waiting = shop.decide("c0", "approve")
    _die_before(shop, ToolInput)
    with pytest.raises(Died):
        waiting.run(lambda _: None)
    assert shop.toolbox.ran == []
    shop.restart()
    shop.wake({turn_of(waiting): 0})
    assert isinstance(shop.log()[-1], Answered)
    assert len(shop.toolbox.ran) == 1


def test_an_interrupted_decision_ends_all_that_waited_with_it(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": 0}), ("refund", {"n": 1}))]
    shop.say("refund me twice")
    waiting = shop.decide("c0", "approve")
    interrupting = Input(policy="interrupt", texts=("stop",), digest="stop")
    tail = shop.ports.log.tail(SESSION, shop.limits.window_bytes)
    agent = shop.ports.agents.get("a")
    shop.inline.accept(shop.session, agent, tail, Arrival(interrupting), "t").run(lambda _: None)
    waiting.run(lambda _: None)
    assert shop.suspended() == set()
    assert shop.toolbox.ran == []
    with pytest.raises(CallNotWaiting):
        shop.decide("c1", "approve")


def test_a_store_that_fails_for_a_moment_loses_no_output(shop: Workshop) -> None:
    shop.toolbox.add("pay")
    shop.model.scripts = [calls(("pay", {}))]
    put, log, left = shop.ports.log.append, shop.ports.log, [2]

    def append(session: str, incarnation: int, segment: Any, keyed: Any = None) -> Any:
        if left[0] and any(isinstance(e, ToolOutput) for e in segment.events):
            left[0] -= 1
            raise Unavailable("Not now.")
        return put(session, incarnation, segment, keyed)

    log.append = append  # type: ignore[method-assign]
    assert isinstance(shop.say("pay")[-1], Answered)
    assert len(shop.toolbox.ran) == 1


def test_no_more_calls_wait_for_a_person_than_a_session_can_hold(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cueline.engine.toolcalls.MOST_SUSPENDED", 1)
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {})), calls(("refund", {}), at=1)]
    shop.say("refund me")
    assert isinstance(shop.say("and again")[-1], Answered)
    assert shop.suspended() == {"c0"}
    assert "Too many calls wait" in outputs(shop)[0]


def hand_over_before_it_runs(shop: Workshop) -> None:
    """The model took so long that the tool's own time would not fit any more."""
    shop.limit(turn=100.0)
    shop.toolbox.add("pay", timeout=60.0)
    shop.model.before = lambda: shop.clock.sleep(12)
    shop.model.scripts = [calls(("pay", {}), text="Let me pay.")]
    waiting = shop.accept("pay")
    waiting.stopped.set()
    waiting.run(lambda _: None)
    handed = shop.log()[-1]
    assert isinstance(handed, TurnHandedOver)
    assert handed.unstarted == ("c0",)
    assert shop.toolbox.ran == []
    shop.restart()


def test_a_call_that_was_handed_over_before_it_ran_is_run_elsewhere(shop: Workshop) -> None:
    hand_over_before_it_runs(shop)
    shop.wake()
    assert isinstance(shop.log()[-1], Answered)
    assert len(shop.toolbox.ran) == 1
    assert outputs(shop) == ["done"]


def test_a_call_that_was_taken_up_and_cut_off_is_not_run_again(shop: Workshop) -> None:
    hand_over_before_it_runs(shop)
    _die_before(shop, ToolOutput)
    with pytest.raises(Died):
        shop.wake()
    shop.restart()
    running = shop.ports.log.tail(SESSION).head.state.open
    assert running
    shop.wake({running.id: 0})
    assert isinstance(shop.log()[-1], Answered)
    assert len(shop.toolbox.ran) == 1
    assert outputs(shop) == [UNKNOWN_OUTCOME]
