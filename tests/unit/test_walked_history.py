"""Whatever the engine has written, models see all that was said and is to be seen, and no more."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cueline.adapters.openai import chat
from cueline.engine.model import ModelRequest
from cueline.log import conversation as module
from cueline.log.conversation import UNSAYABLE, Called, Item, Returned, Said, conversation
from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    Event,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsTaken,
    PartlyAnswered,
    Posted,
    Recorded,
    SkillLoaded,
    Spoke,
    StepChanged,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
    events_from_json,
    events_to_json,
)
from cueline.log.fold import reduce
from cueline.log.state import State, covered, state_from_json, state_to_json
from tests.history import problems_of, problems_of_templates
from tests.speaking_walks import SpeakingWalk
from tests.walks import words_in

CLOSING = (
    *(InputsTaken, StepChanged, Answered, Spoke, TurnFailed),
    *(PartlyAnswered, TurnInterrupted, TurnSuspended),
)
WORDS = (Input, Posted, ToolInput, ToolOutput, SkillLoaded, Spoke, StepChanged, PartlyAnswered)
"""Events that are nothing but their words: of what is removed only the others count."""
tape = st.integers(0, 1000)
tapes = st.one_of(st.lists(tape, max_size=30), st.lists(tape, min_size=60, max_size=200))


def words_of(items: Sequence[Item]) -> Counter[str]:
    found: Counter[str] = Counter()
    for item in items:
        match item:
            case Said():
                found.update(words_in(item.text))
            case Called():
                found.update(words_in(item.arguments))
            case Returned():
                found.update(words_in(item.output))
    return found


# --- a provider takes it -------------------------------------------------------------------------


def every_step_is_taken(numbers: Sequence[int], window: int, limit: int) -> None:
    """At each step a host may look at the log, or at a window of it that has its own inputs."""
    walk = SpeakingWalk(numbers)
    for _ in walk.steps():
        for cut in seen_by_hosts(walk, window):
            assert problems_of(conversation(cut)) == []
            assert problems_of(conversation(cut, limit)) == []


def seen_by_hosts(walk: SpeakingWalk, window: int) -> list[Sequence[Recorded]]:
    answered = [o for turn in walk.state.turns for o in covered(walk.state, turn)]
    log = walk.log()
    return [log, log[min([window, *answered]) :]]


def every_question_is_taken(numbers: Sequence[int], window: int, limit: int) -> None:
    walk = SpeakingWalk(numbers, strict=True)

    def asked(turn: str) -> None:
        if walk.state.tries:
            return  # a decision may be tried apart from who tells its output, with nothing to say
        for cut in seen_by_hosts(walk, window):
            for items in (conversation(cut, None, turn), conversation(cut, limit, turn)):
                body = chat._body(ModelRequest("m", "Be kind.", items))
                assert problems_of_templates(body["messages"]) == []
                assert not words_of(items) & words_beside(walk, turn)

    walk.asked = asked
    for _ in walk.steps():
        pass


def words_beside(walk: SpeakingWalk, turn: str) -> Counter[str]:
    """What has an aside say something beside this turn."""
    others = (t for t in (walk.state.aside,) if t and t.id != turn)
    inputs = [walk.events[waiting.offset] for other in others for waiting in other.inputs]
    return Counter(w for event in inputs if isinstance(event, Input) for w in said_by(event))


test_every_step_of_the_engine_is_taken_by_both_apis = given(
    tapes, st.integers(0, 40), st.integers(0, 400)
)(every_step_is_taken)
test_every_question_of_the_engine_is_taken_by_the_strictest_servers = given(
    tapes, st.integers(0, 40), st.integers(0, 400)
)(every_question_is_taken)


# --- what is in it -------------------------------------------------------------------------------


@dataclass
class Shown:
    """What a turn has said that is to be seen, told from the log anew: words under their call."""

    inputs: tuple[int, ...]
    asked: int
    """How many of them it began with."""
    unsaid: set[int] = field(default_factory=set)
    """Those to which nothing was said, and that are not told again."""
    words: list[tuple[str, list[str]]] = field(default_factory=list)
    open_calls: set[str] = field(default_factory=set)
    hidden_calls: set[str] = field(default_factory=set)
    called: bool = False

    def say(self, text: str, call: str = "") -> None:
        self.words.append((call, words_in(text)))

    def seen(self) -> list[str]:
        return [w for call, words in self.words if call not in self.hidden_calls for w in words]


def expected(log: Sequence[Recorded]) -> tuple[Counter[str], Counter[str]]:
    """The words that a model has to see, by the rules alone; and those that it may see.

    What answers nobody that is to be seen is left out where it would stand in front.
    """
    summaries = [r.event for r in log if isinstance(r.event, Compacted) and not r.mark]
    newest = summaries[-1] if summaries else None
    must = Counter(words_in(newest.summary)) if newest else Counter[str]()
    may: Counter[str] = Counter()
    turns: dict[str, Shown] = {}
    dead: dict[int, Shown] = {}
    removed = [(r.event.first, r.offset) for r in log if isinstance(r.event, EventsRemoved)]
    inputs = {r.offset: r.event for r in log if isinstance(r.event, Input) and not r.mark}
    texts = {offset: said_by(event) for offset, event in inputs.items()}
    for recorded in log:
        event = recorded.event
        gone = any(first <= recorded.offset <= last for first, last in removed)
        summed_up = (
            newest and recorded.offset <= newest.up_to and recorded.offset not in newest.kept
        )
        if gone or summed_up:
            texts.pop(recorded.offset, None)
        if summed_up or (gone and isinstance(event, WORDS)):
            continue
        if isinstance(event, Posted) and event.kind == "message" and not recorded.mark:
            must.update(words_in(event.text))
        if isinstance(event, TurnBegan | AsideBegan):
            turns[event.turn] = begun(event.inputs, dead)
            continue
        if isinstance(event, InputsFailed) and event.retryable:  # a turn had heard them
            turns[f"failed at {recorded.offset}"] = Shown(event.inputs, len(event.inputs))
            continue
        if not (turn := turns.get(getattr(event, "turn", ""))):
            continue
        note(turn, recorded, gone=gone)
        match event:
            case TurnAbandoned() | TurnHandedOver() | TurnPostponed():
                asking = [o for o in turn.inputs if o not in inputs or inputs[o].policy != "silent"]
                over = turns.pop(event.turn)
                dead.update(dict.fromkeys(asking or turn.inputs, over))
            case TurnFailed(code=code) if code in UNSAYABLE and not turn.called:
                if gone or not event.text:
                    del turns[event.turn]
            case Finished() | Answered() if gone or isinstance(event, Finished):
                triggers = (o for o in event.inputs if o in inputs and inputs[o].trigger)
                turn.unsaid.update(triggers)
    for turn in turns.values():
        asked = turn.inputs[: turn.asked]
        heard = any(texts.get(offset) for offset in asked if offset not in turn.unsaid)
        told = (offset for offset in turn.inputs if offset not in turn.unsaid)
        said = [word for offset in told for word in texts.get(offset, [])]
        (must if heard else may).update(turn.seen())
        must.update(said)
    return must, may


def said_by(event: Input) -> list[str]:
    note = event.decision.note if event.decision and event.decision.verdict != "reject" else ""
    told = [guideline.action for guideline in event.trigger.guidelines] if event.trigger else []
    return words_in(" ".join([*event.texts, note, *told]))


def begun(inputs: tuple[int, ...], dead: dict[int, Shown]) -> Shown:
    new = Shown(inputs, len(inputs))
    found = {id(dead[offset]): dead[offset] for offset in inputs if offset in dead}
    for old in found.values():
        for offset in [o for o, one in dead.items() if one is old]:
            del dead[offset]
        new.words += old.words
        new.open_calls |= old.open_calls
        new.hidden_calls |= old.hidden_calls
        new.called |= old.called
    return new


def note(turn: Shown, recorded: Recorded, *, gone: bool) -> None:
    event, hidden = recorded.event, recorded.mark is not None or gone
    if hidden and isinstance(event, ToolInput | ToolOutput | SkillLoaded) and event.call:
        turn.hidden_calls.add(event.call)
    if isinstance(event, CLOSING):
        turn.open_calls.clear()
    match event:
        case InputsTaken():
            turn.inputs += event.inputs
        case ToolInput() if event.call not in turn.open_calls:
            turn.open_calls.add(event.call)
            turn.called = True
            turn.say(event.arguments, event.call)
        case ToolOutput() | SkillLoaded() if event.call in turn.open_calls:
            turn.open_calls.remove(event.call)
            text = event.output if isinstance(event, ToolOutput) else event.content
            turn.say(text, event.call)
        case SkillLoaded(call="") if not hidden:
            turn.say(event.content)
        case Answered() | Spoke() | TurnFailed() | PartlyAnswered() if not hidden:
            turn.say(event.text)


def nothing_is_missing_or_too_much(numbers: Sequence[int]) -> None:
    walk = SpeakingWalk(numbers)
    for _ in walk.steps():
        log = walk.log()
        seen = words_of(conversation(log))
        must, may = expected(log)
        assert must <= seen, "no less"
        assert seen <= must + may, "and no more"


test_models_see_what_is_to_be_seen_and_no_more = given(tapes)(nothing_is_missing_or_too_much)


def dumped(event: Event) -> str:
    return "" if isinstance(event, Compacted) else event.model_dump_json()


@given(tapes)
def test_nothing_hidden_or_removed_is_ever_seen(numbers: Sequence[int]) -> None:
    walk = SpeakingWalk(numbers)
    for _ in walk.steps():
        log = walk.log()
        gone = {o for o in range(len(log)) if o in walk.marks or walk.state.is_removed(o)}
        shown = {w for r in log if r.offset not in gone for w in words_in(dumped(r.event))}
        hidden = {w for o in gone for w in words_in(dumped(walk.events[o]))}
        assert not (hidden - shown) & words_of(conversation(log)).keys()


@given(tapes)
def test_an_input_is_shown_once_to_whoever_answers_it(numbers: Sequence[int]) -> None:
    walk = SpeakingWalk(numbers)
    for _ in walk.steps():
        seen = words_of(conversation(walk.log()))
        for waiting in (i for turn in walk.state.turns for i in turn.inputs):
            event = walk.events[waiting.offset]
            if isinstance(event, Input) and waiting.offset not in walk.marks:
                assert all(seen[word] == 1 for word in said_by(event))


@given(tapes)
def test_what_is_erased_says_nothing_and_changes_no_state(numbers: Sequence[int]) -> None:
    walk = SpeakingWalk(numbers)
    for _ in walk.steps():
        pass
    log = walk.log()
    assert reduce(State(), 0, [r.event for r in log]) == walk.state
    for recorded in log:
        if recorded.mark == "erased":
            assert words_in(recorded.event.model_dump_json()) == []


@given(tapes)
def test_what_is_stored_of_a_session_comes_back_the_same(numbers: Sequence[int]) -> None:
    walk = SpeakingWalk(numbers)
    for _ in walk.steps():
        pass
    assert list(events_from_json(events_to_json(walk.events))) == walk.events
    assert state_from_json(state_to_json(walk.state)) == walk.state


# --- the properties can fail ---------------------------------------------------------------------

once = settings(
    max_examples=20_000,  # ends with the first that fails
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


def as_begun(them: Any, key: object = None) -> list[Any]:
    return list(them)


def one_by_one(found: list[dict[str, Any]], said: Said) -> None:
    found.append({"role": said.role, "content": said.text})


def nothing_inherited(inputs: Sequence[int], inherited: object) -> Any:
    return module._Block(list(inputs))


WRONG_ORDERS: list[tuple[object, str, object]] = [
    (module, "sorted", as_begun),
    (module, "_is_input", lambda _: True),
    (chat, "_say", one_by_one),
]
WRONG_CONTENTS: list[tuple[object, str, object]] = [
    (module, "_begun", nothing_inherited),
    (module._Block, "shown", lambda block: block.did),
    (module, "since_compaction", lambda events: ((), tuple(events))),
    (module, "remaining", tuple),
    (Compacted, "covers", lambda compacted, offset: offset <= compacted.up_to),
]


@pytest.mark.parametrize(
    ("place", "name", "mutant"), WRONG_ORDERS, ids=[name for _, name, _ in WRONG_ORDERS]
)
def test_a_wrong_order_is_caught(
    place: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mutant, raising=False)
    with pytest.raises(AssertionError):
        once(given(tapes, st.integers(0, 40), st.just(10**6))(every_question_is_taken))()


@pytest.mark.parametrize(
    ("place", "name", "mutant"), WRONG_CONTENTS, ids=[name for _, name, _ in WRONG_CONTENTS]
)
def test_wrong_contents_are_caught(
    place: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mutant)
    with pytest.raises(AssertionError):
        once(given(tapes)(nothing_is_missing_or_too_much))()
