"""Limits of turns, sessions and keys: each ends the turn with an event that names it."""

import threading
from typing import Any

import pytest

from cueline.adapters.memory import memory_ports
from cueline.engine import sessions
from cueline.engine.accept import Arrival
from cueline.engine.agent import Agent, Caps
from cueline.engine.inline import Inline
from cueline.engine.model import CallMade, End, TextDelta, Usage
from cueline.engine.ports import Spend
from cueline.engine.prices import Price, Prices
from cueline.engine.tools import ToolResult
from cueline.engine.turn import Limits
from cueline.errors import ModelError, Unavailable
from cueline.log.events import Answered, Event, Input, ModelCalled, ToolInput, TurnFailed
from cueline.log.segment import Session
from tests.clock import FakeClock
from tests.models import ScriptedModel, overloaded
from tests.tooling import calls, says
from tests.unit.test_tool_turns import Workshop, outputs

PRICES = Prices({"*": Price(input=1.0, output=10.0, max_output=1_000)})
DAY = "2025-06-15"


class Greedy(ScriptedModel):
    """Calls a tool each time, never the same way."""

    def stream(self, request: Any, deadline: float) -> Any:
        self.scripts = [[CallMade("c", "look", f'{{"n": {len(self.asked)}}}'), Usage(90, 10)]]
        self.scripts[0] = [*self.scripts[0], End("tool_calls")]
        return super().stream(request, deadline)


@pytest.fixture
def shop() -> Workshop:
    shop = Workshop()
    shop.toolbox.add("look")
    shop.model = Greedy()
    return shop


@pytest.mark.parametrize(
    ("caps", "code", "asked"),
    [
        (Caps(model_calls=4), "limit_turn_model_calls", 4),
        (Caps(tool_calls=3), "limit_turn_tool_calls", 4),
        (Caps(tokens=250), "limit_turn_tokens", 3),
        (Caps(cost=0.0005), "limit_turn_cost", 3),
        (Caps(session_tokens=150), "limit_session_tokens", 2),
        (Caps(session_cost=0.0003), "limit_session_cost", 2),
        (Caps(key_day_tokens=50), "limit_key_day_tokens", 1),
        (Caps(key_day_cost=0.00001), "limit_key_day_cost", 1),
    ],
)
def test_a_model_that_always_calls_tools_is_stopped_by_each_limit(
    shop: Workshop, caps: Caps, code: str, asked: int
) -> None:
    shop.limit(caps=caps, prices=PRICES)
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == code
    assert not failed.retryable
    assert len(shop.model.asked) == asked
    # What it says names the limit's value.
    assert any(f"{cap:g}" in failed.message for cap in caps.model_dump().values() if cap)


def test_a_turn_that_takes_too_long_is_stopped_between_its_calls(shop: Workshop) -> None:
    shop.limit(caps=Caps(seconds=60))
    shop.model.before = lambda: shop.clock.sleep(12)
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "limit_turn_seconds"
    assert len(shop.model.asked) == 2


def test_a_call_that_outlasts_its_turns_time_is_that_limits_failure(shop: Workshop) -> None:
    shop.limit(caps=Caps(seconds=20))

    def hang() -> None:
        shop.clock.sleep(21)
        raise ModelError("model_timeout", "Silent.", retryable=True)

    shop.model.before = hang
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "limit_turn_seconds"


def test_time_and_calls_are_counted_across_processes(shop: Workshop) -> None:
    shop.limit(caps=Caps(model_calls=5), turn=100.0)
    shop.model.before = lambda: shop.clock.sleep(15)
    waiting = shop.accept("go")
    waiting.stopped.set()
    waiting.run(lambda _: None)
    for _ in range(5):
        shop.wake()
    failed = shop.log()[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "limit_turn_model_calls"
    assert len(shop.model.asked) == 5


def test_the_agents_own_limits_count_where_they_are_tighter(shop: Workshop) -> None:
    shop.limit(caps=Caps(model_calls=4, tool_calls=50))
    shop.change(caps=Caps(model_calls=2, tool_calls=100))
    shop.say("go")
    assert len(shop.model.asked) == 2


def test_the_same_call_with_the_same_output_is_a_loop(shop: Workshop) -> None:
    shop.model = ScriptedModel([calls(("look", {"a": 1, "b": 2}), at=n) for n in range(9)])
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "tool_loop"
    assert len(shop.model.asked) == 3


def test_the_same_call_with_other_outputs_is_none(shop: Workshop) -> None:
    counted = iter(range(100))

    def count(*_: Any) -> ToolResult:
        return ToolResult(str(next(counted)))

    shop.toolbox.add("poll", run=count)
    shop.model = ScriptedModel([calls(("poll", {}), at=n) for n in range(6)])
    assert isinstance(shop.say("go")[-1], Answered)


def test_limits_of_one_turn_begin_anew_with_the_next(shop: Workshop) -> None:
    shop.limit(caps=Caps(model_calls=2))
    shop.say("go")
    shop.restart()
    shop.model.scripts = [calls(("look", {})), says("fine")]
    assert isinstance(shop.say("again")[-1], Answered)


def test_a_session_beyond_its_cap_asks_no_model_any_more(shop: Workshop) -> None:
    shop.limit(caps=Caps(session_tokens=150), prices=PRICES)
    shop.say("go")
    asked = len(shop.model.asked)
    failed = shop.say("again")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "limit_session_tokens"
    assert len(shop.model.asked) == asked


# --- what is counted -----------------------------------------------------------------------------


def called(shop: Workshop) -> list[ModelCalled]:
    events = shop.ports.log.read("a.s", shop.session.incarnation, -1, 1_000)
    return [r.event for r in events if isinstance(r.event, ModelCalled)]


def test_what_the_provider_counted_is_stored_with_its_price(shop: Workshop) -> None:
    shop.limit(prices=PRICES)
    shop.model = ScriptedModel([[TextDelta("hi"), Usage(1_000, 20, 5), End("stop")]])
    shop.limit()
    shop.say("hello")
    (told,) = called(shop)
    assert (told.input_tokens, told.output_tokens, told.reasoning_tokens) == (1_000, 20, 5)
    assert not told.estimated
    assert told.cost == 1_000_000 + 200_000  # nanodollars
    assert shop.ports.log.tail("a.s").head.state.used.cost == told.cost


def test_what_no_provider_counted_is_estimated_on_the_safe_side(shop: Workshop) -> None:
    shop.model = ScriptedModel([says("a few words that are said")])
    shop.limit()
    shop.say("hello, how are you today?")
    (told,) = called(shop)
    assert told.estimated
    assert told.input_tokens >= 8
    assert told.output_tokens >= 6


# --- keys and days -------------------------------------------------------------------------------


def spent(shop: Workshop) -> Spend:
    return shop.ports.spending.spent("anyone", DAY)


def test_a_reservation_is_settled_to_what_the_call_took(shop: Workshop) -> None:
    shop.model = ScriptedModel([[TextDelta("hi"), Usage(100, 20), End("stop")]])
    shop.limit(caps=Caps(key_day_tokens=1_000_000), prices=PRICES)
    reserved: list[Spend] = []
    shop.model.before = lambda: reserved.append(spent(shop))
    shop.say("hello")
    assert reserved[0].tokens > 1_000
    assert spent(shop) == Spend(120, 300_000)


def test_a_call_that_the_provider_refused_costs_nothing(shop: Workshop) -> None:
    shop.model = ScriptedModel([[overloaded()], [TextDelta("hi"), Usage(100, 20), End("stop")]])
    shop.limit(caps=Caps(key_day_tokens=1_000_000), prices=PRICES)
    assert isinstance(shop.say("hello")[-1], Answered)
    assert spent(shop).tokens == 120


def test_a_call_that_was_cut_off_counts_as_what_it_probably_took(shop: Workshop) -> None:
    cut = ModelError("model_cut", "Cut.", retryable=False)
    shop.model = ScriptedModel([[TextDelta("so far so good"), cut]])
    shop.limit(caps=Caps(key_day_tokens=1_000_000), prices=PRICES)
    shop.say("hello")
    assert 10 < spent(shop).tokens < 100


def test_a_process_that_dies_leaves_its_reservation(shop: Workshop) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    shop.model = ScriptedModel()
    shop.model.before = die
    shop.limit(caps=Caps(key_day_tokens=1_000_000), prices=PRICES)
    with pytest.raises(KeyboardInterrupt):
        shop.say("hello")
    assert spent(shop).tokens > 1_000


def test_where_spending_cannot_be_counted_nothing_is_spent(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> bool:
        raise Unavailable("Not now.")

    shop.limit(caps=Caps(key_day_tokens=1_000_000))
    monkeypatch.setattr(type(shop.ports.spending), "reserve", fail)
    failed = shop.say("hello")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "unavailable"
    assert shop.model.asked == []


def test_the_next_day_the_key_may_spend_again(shop: Workshop) -> None:
    shop.model = ScriptedModel([[Usage(100, 20), TextDelta("hi"), End("stop")]] * 3)
    shop.limit(caps=Caps(key_day_tokens=100))
    shop.say("one")
    assert isinstance(shop.say("two")[-1], TurnFailed)
    shop.clock.sleep(86_400)
    assert isinstance(shop.say("three")[-1], Answered)


def test_each_key_pays_for_itself(shop: Workshop) -> None:
    shop.model = ScriptedModel([[Usage(100, 20), TextDelta("hi"), End("stop")]] * 3)
    shop.limit(caps=Caps(key_day_tokens=100))

    def say(text: str, caller: str) -> Any:
        tail = shop.ports.log.tail("a.s", 10_000)
        arrival = Arrival(Input(texts=(text,), digest=text, caller=caller))
        agent = shop.ports.agents.get("a")
        waiting = shop.inline.accept(shop.session, agent, tail, arrival, "t")
        return waiting.run(lambda _: None)[-1].event

    assert isinstance(say("one", "alice"), Answered)
    assert isinstance(say("two", "alice"), TurnFailed)
    assert isinstance(say("three", "bob"), Answered)


def test_fifty_workers_pass_a_keys_cap_by_one_call_at_most() -> None:
    """Each in a session of its own, all at once, on one key's money."""
    clock = FakeClock()
    ports = memory_ports(clock)
    cap, each = 0.01, 0.001005
    prices = Prices({"*": Price(input=1.0, output=10.0, max_output=100)})
    ports.agents.create(Agent(key="a", name="A", model="m", created_at=0, updated_at=0))
    limits = Limits(caps=Caps(key_day_cost=cap), prices=prices)
    all_there = threading.Barrier(50, timeout=30)

    class Together(ScriptedModel):
        def stream(self, request: Any, deadline: float) -> Any:
            self.scripts = [[TextDelta("x"), Usage(5, 100), End("stop")]]
            return super().stream(request, deadline)

    model = Together()
    ended: list[Event] = []

    def work(n: int) -> None:
        key = f"s{n}"
        session = sessions.create(ports, Session("a", key, 0, key, 0), "t")
        inline = Inline(ports, lambda: model, limits)
        tail = ports.log.tail(session.id, 10_000)
        arrival = Arrival(Input(texts=("go",), digest=key, caller="one"))
        waiting = inline.accept(session, ports.agents.get("a"), tail, arrival, "t")
        all_there.wait()
        ended.append(waiting.run(lambda _: None)[-1].event)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 50
    assert all(isinstance(e, Answered | TurnFailed) for e in ended)
    assert any(isinstance(e, TurnFailed) for e in ended)
    spent = ports.spending.spent("one", DAY).cost / 1e9
    assert spent <= cap + each
    assert spent == pytest.approx(each * sum(isinstance(e, Answered) for e in ended))


def test_outputs_of_a_stopped_turn_stay_in_the_log(shop: Workshop) -> None:
    shop.limit(caps=Caps(model_calls=2))
    shop.say("go")
    assert len([e for e in shop.log() if isinstance(e, ToolInput)]) == 2
    assert outputs(shop) == ["done", "done"]


def test_where_costs_are_limited_a_model_without_a_price_is_not_called(shop: Workshop) -> None:
    shop.limit(caps=Caps(session_cost=5.0), prices=Prices({"other": Price(input=1.0)}))
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "limit_cost_without_price"
    assert shop.model.asked == []
