"""Compaction: what a summary stands for, when it is made, and what is left when it fails."""

from typing import Any

import pytest

from cueline.engine.accept import Arrival
from cueline.engine.agent import Compaction, Skill
from cueline.engine.call import CompactionStarted
from cueline.engine.compaction import INSTRUCTIONS, cut
from cueline.engine.inline import Caller
from cueline.engine.model import Called, End, ModelRequest, Returned, TextDelta, Usage
from cueline.engine.prices import Price, Prices
from cueline.errors import ModelError
from cueline.log.conversation import SUMMARY
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Finished,
    Input,
    TurnFailed,
    TurnSuspended,
)
from tests.models import ScriptedModel, refused
from tests.tooling import calls
from tests.unit.test_tool_turns import Workshop
from tests.unit.test_turns import SESSION, texts


class Summing(ScriptedModel):
    """Says `summary n` when it is asked to sum up; of other calls it plays the scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.summed: list[ModelRequest] = []
        self.fails: list[Exception] = []

    def stream(self, request: ModelRequest, deadline: float) -> Any:
        if request.instructions.startswith(INSTRUCTIONS):
            self.summed.append(request)
            if self.fails:
                raise self.fails.pop(0)
            return _chunks(TextDelta(f"summary {len(self.summed)}"), End("stop"))
        return super().stream(request, deadline)


def _chunks(*chunks: Any) -> Any:
    yield from chunks


@pytest.fixture
def shop() -> Workshop:
    shop = Workshop()
    shop.toolbox.add("look", "tool output")
    use(shop, Summing())
    return shop


def use(shop: Workshop, model: ScriptedModel) -> None:
    shop.restart()
    shop.model = model
    shop.limit()


def compact(shop: Workshop, **asked: Any) -> Caller:
    new = Input(compact=CompactionAsked(**asked), digest=f"compact {asked}")
    tail = shop.ports.log.tail(SESSION, shop.limits.window_bytes)
    return shop.inline.accept(
        shop.session, shop.ports.agents.get("a"), tail, Arrival(new), "compact"
    )


def compacted(shop: Workshop) -> list[Compacted]:
    return [e for e in shop.log() if isinstance(e, Compacted)]


def asked_last(shop: Workshop) -> list[str]:
    return texts(shop.model.asked[-1].items)


# --- asked for -----------------------------------------------------------------------------------


def test_a_summary_stands_for_all_but_the_newest_inputs(shop: Workshop) -> None:
    for n in range(5):
        shop.say(f"message {n}")
    said: list[object] = []
    events = compact(shop).run(said.append)
    assert [type(r.event) for r in events][-1] is Finished
    (made,) = compacted(shop)
    assert (made.summary, made.turns, made.kept) == ("summary 1", 2, ())
    assert CompactionStarted() in said
    assert not [what for what in said if isinstance(what, TextDelta)]
    shop.say("next")
    assert asked_last(shop)[0] == SUMMARY + "summary 1"
    assert [t for t in asked_last(shop)[1:] if t != "ok"] == [
        "message 2",
        "message 3",
        "message 4",
        "next",
    ]


def test_a_summary_sums_up_the_one_before(shop: Workshop) -> None:
    for n in range(8):
        shop.say(f"message {n}")
        if n in (4, 7):
            compact(shop).run(lambda _: None)
    transcript = texts(shop.model.summed[1].items)[0]  # type: ignore[attr-defined]
    assert "summary 1" in transcript
    assert "message 0" not in transcript
    assert "message 2" in transcript
    shop.say("next")
    assert asked_last(shop)[0] == SUMMARY + "summary 2"
    assert len([t for t in asked_last(shop) if t.startswith("message")]) == 3


def test_it_may_name_the_newest_event_to_sum_up(shop: Workshop) -> None:
    for n in range(4):
        shop.say(f"message {n}")
    events = shop.ports.log.read(SESSION, shop.session.incarnation, -1, 100)
    answers = [r.offset for r in events if isinstance(r.event, Answered)]
    compact(shop, up_to=answers[3], message="In Latin.").run(lambda _: None)
    (made,) = compacted(shop)
    assert made.turns == 4
    assert "In Latin." in shop.model.summed[0].instructions  # type: ignore[attr-defined]
    shop.say("next")
    assert asked_last(shop) == [SUMMARY + "summary 1", "next"]


def test_a_turn_is_summed_up_whole_or_not_at_all(shop: Workshop) -> None:
    shop.say("message 0")
    shop.say("message 1")
    # The offset of the second message: its turn ends behind that.
    compact(shop, up_to=4).run(lambda _: None)
    (made,) = compacted(shop)
    assert made.turns == 1
    shop.say("next")
    assert asked_last(shop)[1:] == ["message 1", "ok", "next"]


def test_where_nothing_can_be_summed_up_it_fails_and_says_so(shop: Workshop) -> None:
    shop.say("message 0")
    failed = compact(shop).run(lambda _: None)[-1].event
    assert isinstance(failed, TurnFailed)
    assert failed.code == "nothing_to_compact"
    assert isinstance(shop.say("next")[-1], Answered)


def test_a_compaction_that_fails_leaves_everything_as_it_was(shop: Workshop) -> None:
    for n in range(5):
        shop.say(f"message {n}")
    shop.model.fails = [refused()]  # type: ignore[attr-defined]
    failed = compact(shop).run(lambda _: None)[-1].event
    assert isinstance(failed, TurnFailed)
    assert failed.code == "compaction_failed"
    assert compacted(shop) == []
    shop.say("next")
    assert asked_last(shop)[0] == "message 0"


def test_a_compaction_queues_while_a_turn_runs(shop: Workshop) -> None:
    for n in range(5):
        shop.say(f"message {n}")
    running = shop.accept("message 5")
    waiting = compact(shop)
    running.run(lambda _: None)
    assert isinstance(waiting.run(lambda _: None)[-1].event, Finished)
    assert len(compacted(shop)) == 1


@pytest.mark.parametrize(
    ("policy", "seen", "unseen"),
    [
        ("exclude", [], ["Tool call", "tool output"]),
        ("include_outputs", ["tool output"], ["Tool call"]),
        ("include_all", ["Tool call: look", "tool output"], []),
    ],
)
def test_the_agent_says_which_tool_events_are_summed_up(
    shop: Workshop, policy: Any, seen: list[str], unseen: list[str]
) -> None:
    shop.change(compaction=Compaction(tool_events=policy, keep_recent_inputs=1, message="Short!"))
    shop.model.scripts = [calls(("look", {"x": 1}))]
    shop.say("message 0")
    shop.say("message 1")
    compact(shop).run(lambda _: None)
    (asked,) = shop.model.summed  # type: ignore[attr-defined]
    (transcript,) = texts(asked.items)
    assert all(text in transcript for text in ("User: message 0", *seen))
    assert not any(text in transcript for text in unseen)
    assert "Short!" in asked.instructions


# --- what must not be cut through ----------------------------------------------------------------


def test_what_is_suspended_is_kept_whole(shop: Workshop) -> None:
    shop.toolbox.add("refund", approval=True)
    shop.model.scripts = [calls(("refund", {"amount": 5}))]
    assert isinstance(shop.say("refund me")[-1], TurnSuspended)
    for n in range(6):
        shop.say(f"message {n}")
    compact(shop).run(lambda _: None)
    (made,) = compacted(shop)
    assert made.kept
    assert made.turns == 3
    assert shop.suspended() == {"c0"}
    shop.say("next")
    items = shop.model.asked[-1].items
    assert "refund me" in texts(items)
    assert any(isinstance(i, Called) and i.tool == "refund" for i in items)
    shop.decide("c0", "approve").run(lambda _: None)
    assert shop.toolbox.ran[-1] == ("refund", {"amount": 5})
    assert any(isinstance(i, Returned) and i.output == "done" for i in shop.model.asked[-1].items)


def test_an_input_that_waits_is_kept(shop: Workshop) -> None:
    for n in range(4):
        shop.say(f"message {n}")
    running = shop.accept("running")
    shop.accept("waiting", queues=True)
    running.run(lambda _: None)
    events = shop.ports.log.read(SESSION, shop.session.incarnation, -1, 100)
    found = cut(events, 0)
    assert found
    waits = next(r.offset for r in events if getattr(r.event, "texts", ()) == ("waiting",))
    assert waits in found.kept
    assert waits < found.up_to


# --- by itself -----------------------------------------------------------------------------------

SMALL = Prices({"*": Price(context_window=1_000)})


class Counting(Summing):
    """Counts four characters as a token, as a provider would."""

    def stream(self, request: ModelRequest, deadline: float) -> Any:
        self.size = sum(len(t) for t in texts(request.items)) // 4
        self.scripts = [[TextDelta("ok"), Usage(self.size, 1), End("stop")]]
        return super().stream(request, deadline)


def test_a_context_that_fills_up_is_summed_up_by_itself(shop: Workshop) -> None:
    use(shop, Counting())
    shop.limit(prices=SMALL)
    sizes = []
    for n in range(30):
        assert isinstance(shop.say(f"message {n} " + 400 * "x")[-1], Answered)
        sizes.append(shop.model.size)  # type: ignore[attr-defined]
    assert max(sizes) < 1_000
    assert 2 < len(compacted(shop)) < 15
    assert asked_last(shop)[0].startswith(SUMMARY)
    assert asked_last(shop)[-1].startswith("message 29")


def test_all_that_is_no_longer_read_is_in_what_was_summed_up(shop: Workshop) -> None:
    use(shop, model := Summing())
    shop.limit(window_bytes=12_000)
    shop.change(compaction=Compaction(keep_recent_inputs=1))
    for n in range(60):
        shop.say(f"message {n}.")
        told = "\n".join([*(texts(r.items)[0] for r in model.summed), *asked_last(shop)])
        assert [m for m in range(n + 1) if f"message {m}." not in told] == []
    assert 1 < len(compacted(shop)) < 10


def test_what_is_too_much_for_one_summary_is_summed_up_part_by_part(shop: Workshop) -> None:
    use(shop, model := Summing())
    shop.limit(window_bytes=6_000)
    shop.change(compaction=Compaction(enabled=False))
    for n in range(30):
        shop.say(f"message {n}. {400 * 'x'}")
    shop.change(compaction=Compaction(keep_recent_inputs=1))
    shop.say("and now?")
    summed = [texts(request.items)[0] for request in model.summed]
    assert len(summed) > 2
    assert max(len(transcript) for transcript in summed) <= 6_000
    told = "\n".join([*summed, *asked_last(shop)])
    assert [n for n in range(30) if told.count(f"message {n}.") != 1] == []


def test_what_was_read_no_longer_is_summed_up_where_that_is_asked_for(shop: Workshop) -> None:
    use(shop, model := Summing())
    shop.limit(window_bytes=6_000)
    shop.change(compaction=Compaction(enabled=False))
    for n in range(20):
        shop.say(f"message {n}.")
    assert "message 0." not in asked_last(shop)
    compact(shop).run(lambda _: None)
    (transcript,) = texts(model.summed[0].items)
    assert "message 0." in transcript


def test_with_compaction_off_the_oldest_turns_are_dropped_instead(shop: Workshop) -> None:
    use(shop, Counting())
    shop.limit(prices=SMALL, window_bytes=3_000)
    shop.change(compaction=Compaction(enabled=False))
    for n in range(30):
        shop.say(f"message {n} " + 400 * "x")
    assert compacted(shop) == []
    assert len(asked_last(shop)) < 15


def test_a_threshold_decides_how_full_it_may_be(shop: Workshop) -> None:
    counts = []
    for percent in (50, 95):
        fresh = Workshop()
        use(fresh, Counting())
        fresh.limit(prices=SMALL)
        fresh.change(compaction=Compaction(threshold_percent=percent))
        for n in range(20):
            fresh.say(f"message {n} " + 200 * "x")
        counts.append(len(compacted(fresh)))
    assert counts[0] > counts[1]


class Full(Summing):
    """Takes so many characters, whatever the price table says."""

    def stream(self, request: ModelRequest, deadline: float) -> Any:
        if sum(len(text) for text in texts(request.items)) > 3_000:
            raise ModelError("context_limit_exceeded", "Too long.", retryable=False)
        return super().stream(request, deadline)


def test_a_model_that_says_it_is_full_gets_a_summary(shop: Workshop) -> None:
    use(shop, Full())
    for n in range(30):
        assert isinstance(shop.say(f"message {n} " + 200 * "x")[-1], Answered)
    assert compacted(shop)
    assert asked_last(shop)[0].startswith(SUMMARY)


def test_where_that_fails_too_the_oldest_turns_are_dropped(shop: Workshop) -> None:
    model = Full()
    use(shop, model)
    for n in range(30):
        model.fails = [refused()]
        assert isinstance(shop.say(f"message {n} " + 200 * "x")[-1], Answered)
    assert compacted(shop) == []


def test_what_cannot_fit_fails_and_says_so(shop: Workshop) -> None:
    use(shop, Full())
    shop.say("hello")
    failed = shop.say("x" * 4_000)[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "context_limit_exceeded"
    assert isinstance(shop.say("and now?")[-1], Answered)


def test_the_summary_itself_is_counted_and_paid(shop: Workshop) -> None:
    for n in range(5):
        shop.say(f"message {n}")
    before = shop.ports.log.tail(SESSION).head.state.used
    compact(shop).run(lambda _: None)
    after = shop.ports.log.tail(SESSION).head.state.used
    assert after.input_tokens > before.input_tokens
    assert after.context_input == before.context_input  # of answers only


def test_after_a_compaction_only_what_it_left_is_read(shop: Workshop) -> None:
    for n in range(40):
        shop.say(f"message {n}")
    compact(shop).run(lambda _: None)
    tail = shop.ports.log.tail(SESSION, 400_000)
    assert tail.head.state.compacted
    assert tail.events[0].offset >= tail.head.state.compacted[1] - 16
    assert len(tail.events) < 40


def test_messages_that_only_bring_skills_are_summed_up_too(shop: Workshop) -> None:
    shop.change(
        compaction=Compaction(keep_recent_inputs=1),
        skills={"tax": Skill(description="How to tax.", content="Take 19 %.")},
    )
    for n in range(3):
        new = Input(skills=("tax",), digest=str(n))
        tail = shop.ports.log.tail(SESSION, shop.limits.window_bytes)
        agent = shop.ports.agents.get("a")
        waiting = shop.inline.accept(shop.session, agent, tail, Arrival(new), "t")
        waiting.run(lambda _: None)
    compact(shop).run(lambda _: None)
    (made,) = compacted(shop)
    assert (made.turns, made.events) == (2, 6)


def test_a_call_for_a_skill_is_no_event_of_its_own(shop: Workshop) -> None:
    shop.change(
        compaction=Compaction(keep_recent_inputs=1),
        skills={"tax": Skill(description="How to tax.", content="Take 19 %.")},
    )
    shop.model.scripts = [calls(("invoke_skill", {"skill_name": "tax"}))]
    shop.say("tax me")
    shop.say("thanks")
    compact(shop).run(lambda _: None)
    assert [made.events for made in compacted(shop)] == [3]  # message, skill, answer
