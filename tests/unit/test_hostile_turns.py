"""What random schedules have found once: calls run twice or unasked, inputs lost or unanswered."""

from collections.abc import Mapping
from typing import Any

import pytest

from cueline.engine import sessions
from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.agent import Compaction
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.model import CallMade, End, Returned
from cueline.engine.ports import WakeUp
from cueline.engine.toolcalls import NO_TIME
from cueline.engine.tooling import UNKNOWN_OUTCOME
from cueline.engine.tools import ToolResult
from cueline.errors import CallNotWaiting, Unavailable
from cueline.log.events import (
    Answered,
    CompactionAsked,
    Decision,
    Event,
    Input,
    InputsFailed,
    ModelCalled,
    Policy,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnSuspended,
)
from cueline.log.state import MAX_TRIES
from tests.tooling import calls
from tests.unit.test_compaction import Summing, asked_last, compacted, use
from tests.unit.test_tool_turns import Died, Workshop, outputs
from tests.unit.test_turns import LEASE, SESSION, texts


@pytest.fixture
def shop() -> Workshop:
    return Workshop()


def leave(
    shop: Workshop, policy: Policy = "enqueue", key: IdempotencyKey | None = None, **more: Any
) -> Accepted | Repeated:
    """An input from a door at which nobody waits."""
    _, tail = sessions.find(shop.ports, "a", "s")
    writer = Writer(shop.ports.log, shop.clock, SESSION, "left")
    arrival = Arrival(Input(policy=policy, **more), key=key)
    return accept(shop.ports, writer, tail, arrival, LEASE, hosts=False)


def put(shop: Workshop, *events: Event) -> None:
    """As others have written them."""
    writer = Writer(shop.ports.log, shop.clock, SESSION, "put")
    writer.append(shop.ports.log.tail(SESSION).head, lambda *_: events)


def ended(shop: Workshop) -> list[tuple[int, ...]]:
    return [e.inputs for e in shop.log() if isinstance(e, Answered)]


# --- at most once, and not unasked ---------------------------------------------------------------


def test_a_tool_that_outlasts_its_process_runs_once(shop: Workshop) -> None:
    given: list[float] = []

    def hang(_: Mapping[str, Any], seconds: float) -> ToolResult:
        given.append(seconds)
        shop.clock.sleep(60)
        return ToolResult("in the end")

    shop.toolbox.add("pay", run=hang, timeout=240.0)
    shop.model.scripts = [calls(("pay", {}))]
    leave(shop, texts=("pay",))
    shop.worker.handle(WakeUp(SESSION), 20.0, "a short one")
    assert len(given) == len(outputs(shop)) == 1
    assert given[0] < 20.0


def test_a_call_for_which_no_time_is_left_does_not_run(shop: Workshop) -> None:
    shop.toolbox.add("pay")
    shop.model.before = lambda: shop.clock.sleep(8)
    shop.model.scripts = [calls(("pay", {}))]
    leave(shop, texts=("pay",))
    shop.worker.handle(WakeUp(SESSION), 20.0, "a short one")
    assert outputs(shop) == [NO_TIME]
    assert shop.toolbox.ran == []


def test_what_is_written_without_an_answer_is_written_once(shop: Workshop) -> None:
    shop.toolbox.add("pay")
    shop.model.scripts = [calls(("pay", {}), text="Let me pay.")]
    append, log = shop.ports.log.append, shop.ports.log

    def lose(session: str, incarnation: int, segment: Any, keyed: Any = None) -> Any:
        found = append(session, incarnation, segment, keyed)
        if not found and any(isinstance(e, ModelCalled | ToolOutput) for e in segment.events):
            raise Unavailable("The answer is lost.")
        return found

    log.append = lose  # type: ignore[method-assign]
    assert isinstance(shop.say("pay")[-1], Answered)
    told = [r.event for r in log.read(SESSION, shop.session.incarnation, -1, 100)]
    assert [type(e) for e in told].count(ModelCalled) == 2
    assert [type(e) for e in told].count(ToolInput) == 1
    assert outputs(shop) == ["done"]


def test_a_refused_call_of_many_is_not_run_by_who_takes_the_turn_over(shop: Workshop) -> None:
    shop.toolbox.add("book", approval=True, repeatable=True, required=["room"])
    made = [CallMade(f"c{n}", "book", "{}") for n in range(20)]
    shop.model.scripts = [[*made, End("tool_calls")]]
    waiting = shop.accept("book")
    put_once, log, left = shop.ports.log.append, shop.ports.log, [1]

    def append(session: str, incarnation: int, segment: Any, keyed: Any = None) -> Any:
        if (
            any(isinstance(e, ToolInput) for e in segment.events)
            and (left.pop() if left else 0) == 0
        ):
            raise Died
        return put_once(session, incarnation, segment, keyed)

    log.append = append  # type: ignore[method-assign]
    with pytest.raises(Died):
        waiting.run(lambda _: None)
    log.append = put_once  # type: ignore[method-assign]
    assert isinstance(waiting.accepted, Accepted)
    shop.restart()
    shop.wake({waiting.accepted.turn or "": 0})
    assert isinstance(shop.log()[-1], Answered)
    assert shop.toolbox.ran == []


def test_a_decision_on_an_old_call_approves_no_new_one_of_the_same_id(shop: Workshop) -> None:
    shop.limit(window_bytes=300)
    shop.change(compaction=Compaction(enabled=False))
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": 0}), ("refund", {"n": 1}))]
    shop.say("refund me")
    leave(shop, "decision", call="c0", decision=Decision(verdict="approve"))
    leave(shop, "decision", call="c1", decision=Decision(verdict="approve"))
    state = shop.ports.log.tail(SESSION).head.state
    put(shop, TurnBegan(turn="t", inputs=(state.pending[0].offset,)))
    failed: dict[str, Any] = {"code": "c", "message": "", "retryable": True}
    put(shop, TurnFailed(turn="t", inputs=(0, state.pending[0].offset), **failed))
    leave(shop, "interrupt", texts=("and now?",))  # is taken together with what was decided
    shop.restart()
    shop.model.scripts = [[CallMade("c1", "refund", '{"n": 2}'), End("tool_calls")]]
    shop.wake()
    assert isinstance(shop.log()[-1], TurnSuspended)
    assert shop.toolbox.ran == []


def test_who_decides_on_what_has_ended_meanwhile_is_told_so(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"n": 0}), ("refund", {"n": 1}))]
    shop.say("refund me")
    leave(shop, "decision", call="c0", decision=Decision(verdict="approve"))
    leave(shop, "decision", call="c1", decision=Decision(verdict="approve"))
    state = shop.ports.log.tail(SESSION).head.state
    put(shop, TurnBegan(turn="t", inputs=(state.pending[0].offset,)))
    failed: dict[str, Any] = {"code": "c", "message": "", "retryable": True}
    put(shop, TurnFailed(turn="t", inputs=(0, state.pending[0].offset), **failed))
    asked = len(shop.model.asked)
    shop.wake()
    told = shop.log()[-1]
    assert isinstance(told, TurnFailed)
    assert told.code == "call_not_waiting"
    assert len(shop.model.asked) == asked


def test_a_decision_that_kills_its_hosts_is_not_made_again(shop: Workshop) -> None:
    """Its call may have run."""
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    decided = leave(shop, "decision", call="c0", decision=Decision(verdict="approve"))

    def die() -> None:
        raise Died

    for _ in range(MAX_TRIES + 1):
        shop.restart()
        shop.model.before = die
        with pytest.raises(Died):
            shop.wake({turn.id: 0 for turn in shop.ports.log.tail(SESSION).head.state.turns})
    shop.wake({turn.id: 0 for turn in shop.ports.log.tail(SESSION).head.state.turns})
    failed = [e for e in shop.log() if isinstance(e, InputsFailed)]
    assert [e.inputs for e in failed] == [(0, decided.offset)]
    assert shop.suspended() == set()
    assert len(shop.toolbox.ran) == 1
    with pytest.raises(CallNotWaiting):
        shop.decide("c0", "approve")


# --- inputs that shared a turn, and then do not --------------------------------------------------


def together(shop: Workshop, *more: Event) -> None:
    """Two inputs in one turn that does `more`; whoever takes it dies, until each is tried alone."""
    leave(shop, "coalesce", texts=("one",))
    leave(shop, "coalesce", texts=("two",))
    for n in range(MAX_TRIES):
        put(shop, TurnBegan(turn=f"t{n}", inputs=(0, 1)))
        if n == 0:
            put(shop, *more)
        put(shop, TurnAbandoned(turn=f"t{n}"))


def made(turn: str, tool: str, *, approval: bool = False) -> ToolInput:
    return ToolInput(
        turn=turn,
        call="c0",
        tool=tool,
        arguments="{}",
        configuration=tool,
        own_name=tool,
        approval=approval,
    )


def test_a_call_that_was_cut_off_has_one_output_for_all_of_them(shop: Workshop) -> None:
    shop.toolbox.add("pay")
    together(shop, made("t0", "pay"))
    shop.wake()
    shop.wake()
    assert ended(shop) == [(0,), (1,)]
    assert outputs(shop) == [UNKNOWN_OUTCOME]
    assert shop.toolbox.ran == []


def test_a_call_that_was_handed_over_is_run_for_all_of_them(shop: Workshop) -> None:
    shop.toolbox.add("pay")
    leave(shop, "coalesce", texts=("one",))
    leave(shop, "coalesce", texts=("two",))
    put(shop, TurnBegan(turn="t", inputs=(0, 1)), made("t", "pay"))
    put(shop, TurnHandedOver(turn="t", unstarted=("c0",)))
    for n in range(MAX_TRIES):
        put(shop, TurnBegan(turn=f"t{n}", inputs=(0, 1)), TurnAbandoned(turn=f"t{n}"))
    shop.wake()
    shop.wake()
    assert ended(shop) == [(0,), (1,)]
    assert len(shop.toolbox.ran) == 1


def test_all_of_them_wait_for_the_same_decision(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    together(shop, made("t0", "refund", approval=True))
    shop.wake()
    shop.wake()
    assert shop.ports.log.tail(SESSION).head.state.suspended == {"c0": (0, 1)}
    shop.decide("c0", "approve").run(lambda _: None)
    assert [inputs[:2] for inputs in ended(shop)] == [(0, 1)]
    assert len(shop.toolbox.ran) == 1


# --- lost, or not answered -----------------------------------------------------------------------


def test_a_repeat_wakes_a_worker_where_the_first_try_has_died(shop: Workshop) -> None:
    key = IdempotencyKey("key", "body")
    _, seen = sessions.find(shop.ports, "a", "s")  # before the first try has written
    leave(shop, texts=("hello",), key=key)
    shop.ports.wake_ups.messages.clear()  # type: ignore[attr-defined]
    writer = Writer(shop.ports.log, shop.clock, SESSION, "again")
    arrival = Arrival(Input(texts=("hello",)), key=key)
    again = accept(shop.ports, writer, seen, arrival, LEASE, hosts=False)
    assert isinstance(again, Repeated)
    assert shop.sent


def test_whoever_steers_or_interrupts_a_compaction_is_answered(shop: Workshop) -> None:
    policies: list[Policy] = ["steer", "interrupt"]
    for policy in policies:
        fresh = Workshop()
        use(fresh, Summing())
        for n in range(5):
            fresh.say(f"message {n}")
        leave(fresh, compact=CompactionAsked())
        leave(fresh, policy, texts=("and now?",))
        fresh.wake()
        fresh.wake()
        assert isinstance(fresh.log()[-1], Answered)
        assert len(compacted(fresh)) == 1
        assert "and now?" in asked_last(fresh)


def test_what_is_suspended_is_kept_even_where_no_window_reaches_it(shop: Workshop) -> None:
    use(shop, Summing())
    shop.limit(window_bytes=2_500)
    shop.toolbox.add("refund", "paid", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    for n in range(20):
        shop.say(f"message {n} {50 * 'x'}")
    assert compacted(shop)
    assert all(not made.covers(0) for made in compacted(shop))
    shop.decide("c0", "approve").run(lambda _: None)
    items = shop.model.asked[-1].items
    assert "refund me" in texts(items)
    assert any(isinstance(i, Returned) and i.output == "paid" for i in items)


def test_one_that_waits_before_the_window_has_no_turn_sum_up_again(shop: Workshop) -> None:
    use(shop, Summing())
    shop.limit(window_bytes=12_000)
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {}))]
    shop.say("refund me")
    for n in range(30):
        shop.say(f"message {n} {50 * 'x'}")
    assert 0 < len(compacted(shop)) < 4


def test_what_nobody_is_shown_is_not_summed_up(shop: Workshop) -> None:
    """A provider refuses to be asked nothing."""
    use(shop, Summing())
    leave(shop, texts=("hello",))
    put(shop, InputsFailed(inputs=(0,)))
    leave(shop, compact=CompactionAsked(up_to=1))
    shop.wake()
    failed = shop.log()[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "nothing_to_compact"
    assert isinstance(shop.model, Summing)
    assert shop.model.summed == []
