"""What calls of the model took is in the log, however they end; and what closes a turn is final."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cueline.engine.agent import AgentStep, Caps, Compaction, Instruction, NextStep, OutputSchema
from cueline.engine.append import Writer
from cueline.engine.compaction import INSTRUCTIONS
from cueline.engine.interrupt import interrupt
from cueline.engine.model import (
    Chunk,
    End,
    ModelRequest,
    Returned,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from cueline.engine.prices import Price, Prices
from cueline.engine.tools import ToolResult
from cueline.errors import ModelError
from cueline.log.conversation import DECIDED, UNDECIDED, WAITING
from cueline.log.events import (
    Answered,
    Input,
    PartlyAnswered,
    Spoke,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnSuspended,
)
from cueline.log.state import covered
from tests.models import overloaded
from tests.tooling import calls, says
from tests.unit.test_compaction import Summing, compact, compacted, use
from tests.unit.test_tool_turns import Workshop
from tests.unit.test_turns import SESSION, texts

PRICES = Prices({"*": Price(input=1.0, output=10.0, max_output=1_000)})
DAY = "2025-06-15"


@pytest.fixture
def shop() -> Workshop:
    return Workshop()


@pytest.fixture
def timers(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Runs at once what would run beside the turn."""
    running: list[Callable[[], None]] = []

    @contextmanager
    def every(_: float, do: Callable[[], None]) -> Iterator[None]:
        running.append(do)
        try:
            yield
        finally:
            running.remove(do)

    monkeypatch.setattr(shop.clock, "every", every)

    def run() -> None:
        for do in running:
            do()

    return run


def stop(shop: Workshop) -> None:
    writer = Writer(shop.ports.log, shop.clock, SESSION, "stop")
    interrupt(shop.ports, writer, shop.ports.log.tail(SESSION).head, None)


def used(shop: Workshop) -> int:
    found = shop.ports.log.tail(SESSION).head.state.used
    return found.input_tokens + found.output_tokens


class Played(Summing):
    """Plays one script for answers, another for summaries; a function in one is called."""

    def __init__(self, *, answer: Any = (), summary: Any = ()) -> None:
        super().__init__()
        self.answer, self.summary = answer, summary

    def stream(self, request: ModelRequest, deadline: float) -> Any:
        sums_up = request.instructions.startswith(INSTRUCTIONS)
        script = self.summary if sums_up else self.answer
        if not script:
            return super().stream(request, deadline)
        (self.summed if sums_up else self.asked).append(request)
        return self._play(script)

    def _play(self, script: Any) -> Iterator[Chunk]:
        for chunk in script:
            if callable(chunk):
                chunk()
            else:
                yield chunk


# --- the end of a turn ---------------------------------------------------------------------------


def test_a_turn_that_is_closed_while_its_answer_is_made_does_not_commit(
    shop: Workshop, timers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer sees the interrupt between the answer's making and its write."""
    done = list[int]()

    def interrupted(*given: Any) -> Any:
        if not done:
            done.append(1)
            stop(shop)
            timers()
        return covered(*given)

    monkeypatch.setattr("cueline.engine.answering.covered", interrupted)
    shop.say("one")
    assert not [e for e in shop.log() if isinstance(e, Answered)]
    assert [e for e in shop.log() if isinstance(e, TurnInterrupted)]


def test_an_interrupted_summary_is_not_what_the_agent_said(
    shop: Workshop, timers: Callable[[], None]
) -> None:
    halfway = [TextDelta("so far"), lambda: stop(shop), timers, TextDelta(" more"), End("stop")]
    use(shop, Played(summary=halfway))
    for n in range(5):
        shop.say(f"message {n}")
    before = used(shop)
    compact(shop).run(lambda _: None)
    assert not [e for e in shop.log() if isinstance(e, PartlyAnswered)]
    assert used(shop) > before


def test_calls_that_did_not_fit_into_one_segment_are_told_once(
    shop: Workshop, timers: Callable[[], None]
) -> None:
    shop.toolbox.add("look")
    shop.model.scripts = [calls(*(("look", {"n": n}) for n in range(30)), text="Let me see.")]
    put, log = shop.ports.log.append, shop.ports.log

    def append(session: str, incarnation: int, segment: Any, keyed: Any = None) -> Any:
        written = put(session, incarnation, segment, keyed)
        if any(isinstance(e, Spoke) for e in segment.events):
            stop(shop)
            timers()
        return written

    log.append = append  # type: ignore[method-assign]
    shop.say("go")
    assert [e.text for e in shop.log() if isinstance(e, Spoke)] == ["Let me see."]
    assert not [e for e in shop.log() if isinstance(e, PartlyAnswered)]


# --- what was taken ------------------------------------------------------------------------------


def test_a_call_that_was_interrupted_while_it_thought_is_counted(
    shop: Workshop, timers: Callable[[], None]
) -> None:
    thinks = [ThinkingDelta("long thoughts " * 100), lambda: stop(shop), timers, TextDelta("x")]
    use(shop, Played(answer=thinks))
    shop.limit(caps=Caps(session_tokens=100))
    for n in range(3):
        shop.say(f"message {n}")
    assert used(shop) > 300
    assert len(shop.model.asked) == 1


def test_tries_that_failed_half_way_are_counted_each(shop: Workshop) -> None:
    cut = ModelError("model_cut", "Cut.", retryable=True)
    shop.model.scripts = [[TextDelta("word " * 400), cut]] * 2
    shop.limit(caps=Caps(key_day_tokens=10**9), prices=PRICES)
    assert isinstance(shop.say("go")[-1], Answered)
    assert used(shop) == shop.ports.spending.spent("anyone", DAY).tokens
    assert used(shop) > 1_000


def test_a_compaction_that_fails_is_counted(shop: Workshop) -> None:
    use(shop, Played(summary=[Usage(50_000, 10), End("stop")]))
    for n in range(5):
        shop.say(f"message {n}")
    failed = compact(shop).run(lambda _: None)[-1].event
    assert isinstance(failed, TurnFailed)
    assert used(shop) > 50_000


def test_what_a_provider_finds_too_long_costs_nothing(shop: Workshop) -> None:
    too_long = ModelError("context_limit_exceeded", "Too long.", retryable=False)
    shop.model.scripts = [[too_long]] * 5
    shop.limit(caps=Caps(key_day_tokens=10**9), prices=PRICES)
    shop.say("x" * 5_000)
    assert shop.ports.spending.spent("anyone", DAY).tokens == used(shop) == 0


@pytest.mark.parametrize("caps", [Caps(session_tokens=10), Caps(session_cost=0.00001)])
def test_a_session_beyond_its_caps_is_not_summed_up_either(shop: Workshop, caps: Caps) -> None:
    model, prices = Summing(), Prices({"*": Price(input=100.0)})
    use(shop, model)
    shop.limit(prices=prices)
    for n in range(5):
        shop.say(f"message {n}")
    shop.limit(caps=caps, prices=prices)
    failed = compact(shop).run(lambda _: None)[-1].event
    assert isinstance(failed, TurnFailed)
    assert failed.code.startswith("limit_session")
    assert model.summed == []


def test_the_model_that_is_called_is_the_one_that_is_paid(shop: Workshop) -> None:
    shop.model.scripts = [[TextDelta("x"), Usage(1_000_000, 0), End("stop")]]
    prices = Prices({"big": Price(input=100.0), "small": Price(input=0.001)})
    shop.limit(prices=prices, model_name="big", model_parameters={"temperature": 0.5})
    shop.change(model="small", parameters={"top_p": 1})
    shop.say("hello")
    assert shop.model.asked[0].model == "big"
    assert shop.model.asked[0].parameters == {"temperature": 0.5, "top_p": 1}
    assert shop.ports.log.tail(SESSION).head.state.used.cost == 100 * 10**9


# --- time ----------------------------------------------------------------------------------------


def test_a_tool_that_takes_longer_than_any_process_has_is_tried_and_not_handed_on(
    shop: Workshop,
) -> None:
    shop.toolbox.add("pay", timeout=240.0)
    shop.limit(turn=100.0)
    shop.model.scripts = [calls(("pay", {}))]
    waiting = shop.accept("go")
    waiting.stopped.set()
    waiting.run(lambda _: None)
    for _ in range(5):
        shop.wake()
    assert len([e for e in shop.log() if isinstance(e, TurnHandedOver)]) < 3
    assert len(shop.toolbox.ran) == 1


def test_the_time_of_tools_counts_across_hand_overs(shop: Workshop) -> None:
    counted = iter(range(100))

    def slow(*_: Any) -> ToolResult:
        shop.clock.sleep(24)
        return ToolResult(str(next(counted)))

    shop.toolbox.add("slow", run=slow, timeout=60.0)
    shop.limit(caps=Caps(seconds=200), turn=100.0)
    shop.model.scripts = [calls(("slow", {}), at=n) for n in range(40)]
    started = shop.clock.monotonic()
    waiting = shop.accept("go")
    waiting.stopped.set()
    waiting.run(lambda _: None)
    while shop.ports.log.tail(SESSION).head.state.unfinished:
        shop.wake()
    failed = shop.log()[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "limit_turn_seconds"
    assert shop.clock.monotonic() - started < 300


# --- repeats, decisions, forms -------------------------------------------------------------------


def test_a_repeat_of_what_was_suspended_meanwhile_is_no_new_input(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    first = shop.accept("refund me")
    assert first.give_up()
    first.run(lambda _: None)
    shop.clock.sleep(2)
    again = shop.say("refund me")
    assert isinstance(again[-1], TurnSuspended)
    assert len([e for e in shop.log() if isinstance(e, Input)]) == 1


def test_who_follows_a_turn_that_is_suspended_is_told_that(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    first, second = shop.accept("refund me"), shop.accept("refund me")
    first.run(lambda _: None)
    assert second.give_up() is None


def test_rejections_are_no_mistakes_of_the_model(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": n}), at=n) for n in range(5)]
    shop.say("refund me")
    for n in range(4):
        last = shop.decide(f"c{n}", "reject").run(lambda _: None)[-1].event
        assert isinstance(last, TurnSuspended)


def test_equal_calls_of_one_answer_are_no_loop(shop: Workshop) -> None:
    shop.toolbox.add("roll", "6")
    shop.model.scripts = [calls(("roll", {}), ("roll", {}), ("roll", {}))]
    assert isinstance(shop.say("roll three dice")[-1], Answered)


def test_the_model_is_told_what_became_of_calls_that_waited(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": 0}), ("refund", {"n": 1}))]
    shop.say("refund me twice")

    def told() -> list[str]:
        return [i.output for i in shop.model.asked[-1].items if isinstance(i, Returned)]

    shop.say("and?")
    assert told() == [WAITING, WAITING]
    shop.decide("c0", "approve").run(lambda _: None)
    shop.decide("c1", "approve")
    stop(shop)
    shop.say("what now?")
    assert told()[:3] == [DECIDED, UNDECIDED, "done"]


def test_tool_calls_of_a_turn_that_did_not_fit_are_not_forgotten(shop: Workshop) -> None:
    shop.toolbox.add("pay", "paid")
    shop.change(compaction=Compaction(enabled=False))
    too_long = ModelError("context_limit_exceeded", "Too long.", retryable=False)
    shop.model.scripts = [calls(("pay", {})), [too_long]]
    assert isinstance(shop.say("pay")[-1], TurnFailed)
    shop.say("did you?")
    assert Returned("c0", "paid") in shop.model.asked[-1].items


def test_what_did_not_fit_one_step_is_not_held_against_the_next(shop: Workshop) -> None:
    form = OutputSchema(name="order", json_schema={"type": "object", "required": ["size"]})
    asks = AgentStep(output=form, next_steps=(NextStep(step_name="tell"),))
    shop.change(first_step="ask", steps={"ask": asks, "tell": AgentStep()})
    shop.model.scripts = [says("no JSON"), says('{"size": 1}'), says("done")]
    assert isinstance(shop.say("go")[-1], Answered)
    assert "does not fit" in texts(shop.model.asked[1].items)[-1]
    assert "does not fit" not in "".join(texts(shop.model.asked[2].items))


# --- room that lasts -----------------------------------------------------------------------------


class Counting(Summing):
    """Counts four characters as a token, instructions too."""

    def stream(self, request: ModelRequest, deadline: float) -> Any:
        said = [request.instructions, *texts(request.items)]
        self.scripts = [[TextDelta("ok"), Usage(sum(map(len, said)) // 4, 1), End("stop")]]
        return super().stream(request, deadline)


@pytest.mark.parametrize(("instructions", "message"), [(3_400, 2), (0, 1_100), (0, 400)])
def test_a_summary_makes_room_for_more_than_one_turn(
    shop: Workshop, instructions: int, message: int
) -> None:
    use(shop, Counting())
    step = AgentStep(instructions=(Instruction(name="i", template="y" * instructions),))
    shop.change(steps={"main": step})
    shop.limit(prices=Prices({"*": Price(context_window=1_000)}))
    for n in range(20):
        assert isinstance(shop.say(f"{n} " + "x" * message)[-1], Answered)
    assert len(compacted(shop)) <= 10


def test_a_compaction_that_failed_is_not_tried_at_each_turn(shop: Workshop) -> None:
    model = Counting()
    use(shop, model)
    shop.limit(prices=Prices({"*": Price(context_window=1_000)}))
    for n in range(20):
        model.fails = [ModelError("model_cut", "Cut.", retryable=False)]
        assert isinstance(shop.say(f"{n} " + "x" * 400)[-1], Answered)
    assert len(model.summed) <= 3


def test_a_compaction_that_fails_leaves_the_answer_all_its_tries(shop: Workshop) -> None:
    model = Counting()
    use(shop, model)
    shop.limit(prices=Prices({"*": Price(context_window=1_000)}))
    for n in range(7):
        shop.say(f"{n} " + "x" * 400)
    model.fails = [overloaded() for _ in range(4)]
    assert isinstance(shop.say("x" * 400)[-1], Answered)
