"""Whatever happened, and wherever it is cut, providers take the conversation: over both APIs."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cueline.adapters.openai import chat, responses
from cueline.engine.model import ModelRequest
from cueline.log import conversation as module
from cueline.log.conversation import Item, Said, conversation
from cueline.log.events import (
    Acknowledged,
    Answered,
    AsideBegan,
    Compacted,
    Decision,
    Event,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    Mark,
    ModeChanged,
    PartlyAnswered,
    Posted,
    Recorded,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TriggerScheduled,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnReady,
    TurnSuspended,
    TurnTyping,
    erased,
)
from cueline.log.triggers import Guideline, Trigger
from local.practice import chat_wire, responses_request
from tests.history import problems_of

CODES = ("context_limit_exceeded", "model_refused", "model_timeout")


def log(happened: Sequence[Event], marks: Mapping[int, Mark]) -> list[Recorded]:
    return [
        Recorded(n, 0, "", erased(event) if marks.get(n) == "erased" else event, marks.get(n))
        for n, event in enumerate(happened)
    ]


# --- any events in any order ---------------------------------------------------------------------

turns = st.sampled_from(["t1", "t2"])
calls = st.sampled_from(["c1", "c2", "call_1", "", "functions.eval:1", "x" * 51])
tools = st.sampled_from(["t", "a tool", "", "t" * 65])
arguments = st.sampled_from(["{}", '{"a": 1}', "[1]", '{"a', "", "NaN", '{"a": NaN}', "[" * 9999])
inputs = st.lists(st.integers(0, 30), max_size=3, unique=True).map(lambda o: tuple(sorted(o)))
texts = st.sampled_from(["", "a", "b"])
of_turn: dict[str, Any] = {"turn": turns}
decisions = st.builds(
    Decision,
    verdict=st.sampled_from(["approve", "edit", "reject"]),
    note=texts,
    arguments=arguments,
)
triggers = st.sampled_from([Trigger(), Trigger(guidelines=(Guideline(action="x"),), during="t1")])
said: dict[str, Any] = {"texts": st.tuples(texts), "source": st.sampled_from(["user", "system"])}
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Input, **said),
    st.builds(Input, trigger=triggers, source=st.just("system")),
    st.builds(
        Posted,
        kind=st.sampled_from(["message", "message", "message", "status", "custom"]),
        source=st.sampled_from(["user", "person", "on_behalf"]),
        text=texts,
    ),
    st.builds(EventsRemoved, first=st.integers(0, 30)),
    st.sampled_from(
        [
            Acknowledged(input=0),
            ModeChanged(mode="manual"),
            ModeChanged(mode="auto"),
            TriggerScheduled(due=0, trigger=Trigger()),
            TurnTyping(turn="t1"),
            TurnReady(turn="t1", trace="x"),
        ]
    ),
    st.builds(Input, policy=st.just("decision"), call=calls, decision=decisions),
    st.builds(TurnBegan, turn=turns, inputs=inputs),
    st.builds(AsideBegan, turn=turns, inputs=inputs),
    st.builds(InputsTaken, turn=turns, inputs=inputs),
    st.builds(Thinking, turn=turns, text=texts),
    st.builds(ToolInput, turn=turns, call=calls, tool=tools, arguments=arguments),
    st.builds(ToolOutput, turn=turns, call=calls, tool=tools, output=texts),
    st.builds(Spoke, turn=turns, text=texts),
    st.builds(SkillLoaded, turn=turns, call=calls, skill=st.just("s"), content=texts),
    st.builds(StepChanged, turn=turns, from_step=st.just("a"), to_step=st.just("b")),
    st.builds(Compacted, turn=turns, up_to=st.integers(0, 30), kept=inputs, summary=texts),
    st.builds(Answered, turn=turns, inputs=inputs, text=texts),
    st.builds(Finished, turn=turns, inputs=inputs),
    st.builds(
        TurnFailed,
        turn=turns,
        inputs=inputs,
        text=texts,
        code=st.sampled_from(CODES),
        message=st.just(""),
        retryable=st.booleans(),
    ),
    st.builds(TurnInterrupted, turn=turns, inputs=inputs),
    st.builds(PartlyAnswered, turn=turns, text=texts),
    st.builds(TurnAbandoned, turn=turns),
    st.builds(TurnHandedOver, turn=turns),
    st.builds(TurnSuspended, turn=turns, inputs=inputs, calls=st.lists(calls).map(tuple)),
    st.builds(InputsOverran, inputs=st.just((0,))),
    st.builds(InputsFailed, inputs=inputs),
    st.builds(InputsWithdrawn, inputs=inputs),
)
busy: st.SearchStrategy[Event] = st.one_of(
    st.builds(ToolInput, turn=turns, call=calls, tool=tools, arguments=arguments),
    st.builds(ToolOutput, turn=turns, call=calls, tool=tools, output=texts),
    st.builds(SkillLoaded, turn=turns, call=calls, skill=st.just("s"), content=texts),
    st.builds(Spoke, turn=turns, text=texts),
    st.builds(TurnSuspended, turn=turns, inputs=inputs, calls=st.just(())),
    st.builds(Answered, turn=turns, inputs=inputs, text=texts),
)
began: st.SearchStrategy[list[Event]] = st.tuples(
    st.builds(Input, texts=st.tuples(texts)),
    st.just(TurnBegan(turn="t1", inputs=(0,))),
    st.just(TurnBegan(turn="t2", inputs=())),
).map(list)
happenings = st.one_of(
    st.lists(events, max_size=30),
    st.builds(list[Event].__add__, began, st.lists(events, max_size=30)),
    st.builds(list[Event].__add__, began, st.lists(busy, max_size=30)),
)
marks: st.SearchStrategy[dict[int, Mark]] = st.dictionaries(
    st.integers(0, 33), st.sampled_from(["hidden", "erased"]), max_size=6
)
logs = st.builds(log, happenings, marks)


def any_cut_is_taken(happened: Sequence[Recorded], start: int, stop: int) -> None:
    cut = happened[start:stop]
    assert problems_of(conversation(cut)) == []
    assert problems_of(conversation(cut, asked="t1")) == []


test_any_cut_of_any_log_is_taken_by_both_apis = given(logs, st.integers(0, 3), st.integers(0, 33))(
    any_cut_is_taken
)


@given(logs)
def test_the_practice_model_takes_them_too(happened: Sequence[Recorded]) -> None:
    if items := conversation(happened):
        asked = ModelRequest("m", "Be kind.", items)
        chat_wire.read({"model": "m", "stream": True, **chat._body(asked)})
        responses_request.read({"model": "m", "stream": True, **responses._body(asked)})


@given(logs, st.integers(0, 400))
def test_a_byte_limit_keeps_whole_turns_and_always_the_newest(
    happened: Sequence[Recorded], limit: int
) -> None:
    whole, cut = conversation(happened), conversation(happened, limit)
    assert problems_of(cut) == []
    summary = whole[:1] if any(compacted(r) for r in happened) else ()
    newest = cut[len(summary) :]
    assert cut == (*summary, *whole[len(whole) - len(newest) :]), "a summary stays in any case"
    assert conversation(happened, 10**6) == whole


def compacted(recorded: Recorded) -> bool:
    return isinstance(recorded.event, Compacted) and not recorded.mark


# --- the properties can fail ---------------------------------------------------------------------

once = settings(
    max_examples=1000,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


def dangling(block: Any, output: str) -> None:
    block.open_calls.clear()


def with_empty_texts(event: Input | None) -> list[Item]:
    return [Said(event.source, text) for text in event.texts] if event else []


WRONG: list[tuple[object, str, object]] = [
    (module._Block, "close", dangling),
    (module._Calls, "_unique", lambda _, call: call),
    (module, "_object", lambda text: text),
    (module, "_messages", with_empty_texts),
    (module, "re", SimpleNamespace(sub=lambda pattern, by, text: text)),
    (module, "LONGEST_CALL", 99),
]


@pytest.mark.parametrize(("place", "name", "mutant"), WRONG, ids=[name for _, name, _ in WRONG])
def test_a_wrong_conversation_is_caught(
    place: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mutant, raising=False)
    with pytest.raises(AssertionError):
        once(given(logs, st.just(0), st.just(33))(any_cut_is_taken))()
