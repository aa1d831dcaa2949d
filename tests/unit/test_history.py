"""Whatever happened, and wherever it is cut, providers take the conversation: over both APIs."""

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cueline.adapters.openai import chat, responses
from cueline.engine.model import ModelRequest
from cueline.engine.takeover import plan
from cueline.log import conversation as module
from cueline.log.conversation import Item, Said, conversation, size
from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    PartlyAnswered,
    Policy,
    Recorded,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnSuspended,
)
from cueline.log.state import State, Turn, covered, interruption, offsets, reduce, steering
from local.practice import chat_wire, responses_request
from tests.history import problems_of_chat, problems_of_responses, problems_of_templates

CODES = ("context_limit_exceeded", "model_refused", "model_timeout")


def log(happened: Sequence[Event]) -> list[Recorded]:
    return [Recorded(n, 0, "", event) for n, event in enumerate(happened)]


def messages(items: Sequence[Item]) -> list[dict[str, Any]]:
    """As they go to a server that speaks Chat Completions."""
    body = chat._body(ModelRequest("m", "Be kind.", tuple(items)))
    found: list[dict[str, Any]] = body["messages"]
    return found


def problems(items: Sequence[Item]) -> list[str]:
    """Where nothing was said nobody is asked, so only what was said is checked."""
    if not items:
        return []
    asked = ModelRequest("m", "Be kind.", tuple(items))
    return problems_of_chat(chat._body(asked)) + problems_of_responses(responses._body(asked))


# --- any events in any order ---------------------------------------------------------------------

turns = st.sampled_from(["t1", "t2"])
calls = st.sampled_from(["c1", "c2", "call_1", "", "functions.eval:1", "x" * 51])
tools = st.sampled_from(["t", "a tool", "", "t" * 65])
arguments = st.sampled_from(["{}", '{"a": 1}', "[1]", '{"a', "", "NaN", '{"a": NaN}', "[" * 9999])
inputs = st.lists(st.integers(0, 30), max_size=3, unique=True).map(lambda o: tuple(sorted(o)))
texts = st.sampled_from(["", "a", "b"])
of_turn: dict[str, Any] = {"turn": turns}
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Input, texts=st.tuples(texts), source=st.sampled_from(["user", "system"])),
    st.builds(TurnBegan, turn=turns, inputs=inputs),
    st.builds(AsideBegan, turn=turns, inputs=inputs),
    st.builds(InputsTaken, turn=turns, inputs=inputs),
    st.builds(Thinking, turn=turns, text=texts),
    st.builds(ToolInput, turn=turns, call=calls, tool=tools, arguments=arguments),
    st.builds(ToolOutput, turn=turns, call=calls, tool=tools, output=texts),
    st.builds(Answered, turn=turns, inputs=inputs, text=texts),
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
    st.builds(TurnSuspended, turn=turns, inputs=inputs, calls=st.tuples(calls)),
    st.builds(InputsOverran, inputs=st.just((0,))),
    st.builds(InputsFailed, inputs=inputs),
    st.builds(InputsWithdrawn, inputs=inputs),
)
busy: st.SearchStrategy[Event] = st.one_of(
    st.builds(ToolInput, turn=turns, call=calls, tool=tools, arguments=arguments),
    st.builds(ToolOutput, turn=turns, call=calls, tool=tools, output=texts),
    st.builds(Answered, turn=turns, inputs=inputs, text=texts),
)
began: st.SearchStrategy[list[Event]] = st.tuples(
    st.builds(Input, texts=st.tuples(texts)),
    st.just(TurnBegan(turn="t1", inputs=(0,))),
    st.just(TurnBegan(turn="t2", inputs=())),
).map(list)
logs = st.one_of(
    st.lists(events, max_size=30),
    st.builds(list[Event].__add__, began, st.lists(events, max_size=30)),
    st.builds(list[Event].__add__, began, st.lists(busy, max_size=30)),
)


def any_cut_is_taken(happened: Sequence[Event], start: int, stop: int) -> None:
    assert problems(conversation(log(happened)[start:stop])) == []


test_any_cut_of_any_log_is_taken_by_both_apis = given(logs, st.integers(0, 3), st.integers(0, 33))(
    any_cut_is_taken
)


@given(logs)
def test_the_practice_model_takes_them_too(happened: Sequence[Event]) -> None:
    if items := conversation(log(happened)):
        asked = ModelRequest("m", "Be kind.", items)
        chat_wire.read({"model": "m", "stream": True, **chat._body(asked)})
        responses_request.read({"model": "m", "stream": True, **responses._body(asked)})


@given(logs, st.integers(0, 400))
def test_a_byte_limit_keeps_whole_turns_and_always_the_newest(
    happened: Sequence[Event], limit: int
) -> None:
    whole, cut = conversation(log(happened)), conversation(log(happened), limit)
    assert problems(cut) == []
    assert whole[len(whole) - len(cut) :] == cut
    if sum(map(size, whole)) <= limit:
        assert cut == whole


# --- what the engine can write -------------------------------------------------------------------

POLICIES = tuple(p for p in get_args(Policy) if p != "decision")


class Walk:
    """A session whose every step the engine's own rules allow; a tape of numbers chooses.

    Tools, which no host runs yet, go as the design says: calls before outputs, a suspended call
    made again by the turn that decides it.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.tape = iter(numbers)
        self.events: list[Event] = []
        self.state = State()
        self.turns = 0
        self.running: dict[str, list[str]] = {}
        """Turn -> its calls without output."""
        self.stopped: list[str] = []

    def choose(self, options: Sequence[Any]) -> Any:
        return options[next(self.tape) % len(options)]

    def add(self, *events: Event) -> None:
        self.state = reduce(self.state, len(self.events), events)
        self.events += events

    def steps(self) -> Iterator[None]:
        """Ends with the tape; yields after each step."""
        while True:
            try:
                self.choose(self.possible())()
            except StopIteration:
                return
            self.running = {t.id: self.running.get(t.id, []) for t in self.state.turns}
            yield

    def possible(self) -> list[Callable[[], None]]:
        found: list[Callable[[], None]] = [self.say, self.begin]
        if self.state.turns:
            found += [self.call, self.call, self.put_out, self.end, self.end, self.take_over]
            found += [self.suspend, self.steer]
        if self.undecided():
            found.append(self.decide)
        if self.stopped:
            found.append(self.tell_rest)
        return found

    def say(self) -> None:
        policy = self.choose(POLICIES)
        ended = interruption(self.state) if policy == "interrupt" else ()
        self.stopped += [event.turn for event in ended]
        self.add(*ended, Input(policy=policy, texts=(f"say {len(self.events) + len(ended)}",)))

    def begin(self, dead: Sequence[str] = ()) -> None:
        self.turns += 1
        turn = f"t{self.turns}"
        self.add(*plan(self.state, len(self.events), dead, turn))
        found = self.state.running(turn)
        for waiting in found.inputs if found else ():
            if waiting.policy == "decision":
                call: dict[str, Any] = {"turn": turn, "call": waiting.call, "tool": "pay"}
                self.add(ToolInput(**call, arguments="{}"), ToolOutput(**call, output="paid"))

    def take_over(self) -> None:
        self.begin([self.turn().id])

    def turn(self) -> Turn:
        found: Turn = self.choose(self.state.turns)
        return found

    def call(self) -> None:
        """Small servers number their calls anew in each answer."""
        turn = self.turn().id
        waiting = self.running.setdefault(turn, [])
        if not waiting:  # a model writes nothing until all its calls have returned
            for n in range(self.choose([1, 2])):
                waiting.append(f"call_{n}")
                self.add(ToolInput(turn=turn, call=f"call_{n}", tool="find", arguments="{}"))

    def put_out(self) -> None:
        turn = self.turn().id
        if waiting := self.running.get(turn):
            call = waiting.pop(self.choose(range(len(waiting))))
            self.add(ToolOutput(turn=turn, call=call, tool="find", output=self.choose(["", "x"])))

    def steer(self) -> None:
        if self.state.open and (taken := steering(self.state, self.state.open.id)):
            self.add(InputsTaken(turn=self.state.open.id, inputs=offsets(taken)))

    def suspend(self) -> None:
        turn = self.turn()
        if waiting := self.running.get(turn.id):
            inputs = covered(self.state, turn)
            self.add(TurnSuspended(turn=turn.id, inputs=inputs, calls=(waiting[0],)))

    def undecided(self) -> list[str]:
        decided = {waiting.call for waiting in self.state.unfinished}
        return sorted(set(self.state.suspended) - decided)

    def decide(self) -> None:
        self.add(Input(policy="decision", call=self.choose(self.undecided())))

    def end(self) -> None:
        found = self.turn()
        turn, done = found.id, covered(self.state, found)
        text = self.choose(["", "well"])
        ways: list[Event] = [
            Answered(turn=turn, inputs=done, text=text),
            TurnHandedOver(turn=turn),
            *(
                TurnFailed(
                    turn=turn, inputs=done, code=code, message="", retryable=False, text=text
                )
                for code in CODES
            ),
        ]
        self.add(self.choose(ways))

    def tell_rest(self) -> None:
        """The host of an interrupted turn says how far it had come."""
        self.add(PartlyAnswered(turn=self.stopped.pop(), text="so far"))


tape = st.integers(0, 1000)
tapes = st.one_of(st.lists(tape, max_size=20), st.lists(tape, min_size=40, max_size=120))


def every_step_is_taken(numbers: Sequence[int], window: int, limit: int) -> None:
    """At each step a host may be asked for an answer, from the whole log or from a window of it."""
    walk = Walk(numbers)
    for _ in walk.steps():
        answered = [o for turn in walk.state.turns for o in covered(walk.state, turn)]
        first = min(answered, default=window)
        for cut in (log(walk.events), log(walk.events)[min(first, window) :]):
            for items in (conversation(cut), conversation(cut, limit)):
                assert problems(items) == []
                if walk.state.turns:
                    assert problems_of_templates(messages(items)) == []


test_every_step_of_the_engine_is_taken_by_the_strictest_servers = settings(deadline=None)(
    given(tapes, st.integers(0, 40), st.integers(0, 200))(every_step_is_taken)
)


@settings(deadline=None)
@given(tapes)
def test_an_input_is_shown_once_to_whoever_answers_it(numbers: Sequence[int]) -> None:
    walk = Walk(numbers)
    for _ in walk.steps():
        said = [i.text for i in conversation(log(walk.events)) if isinstance(i, Said)]
        for waiting in (i for turn in walk.state.turns for i in turn.inputs):
            if waiting.policy != "decision":
                assert said.count(f"say {waiting.offset}") == 1


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


def as_begun(them: Any, key: object = None) -> list[Any]:
    return list(them)


def one_by_one(found: list[dict[str, Any]], said: Said) -> None:
    found.append({"role": said.role, "content": said.text})


WRONG: list[tuple[object, str, object]] = [
    (module._Block, "close", dangling),
    (module._Calls, "_unique", lambda _, call: call),
    (module, "_object", lambda text: text),
    (module, "_messages", with_empty_texts),
    (module, "re", SimpleNamespace(sub=lambda pattern, by, text: text)),
    (module, "LONGEST_CALL", 99),
]
WRONG_FOR_TEMPLATES: list[tuple[object, str, object]] = [
    (module, "sorted", as_begun),
    (module, "_is_input", lambda _: True),
    (chat, "_say", one_by_one),
]


@pytest.mark.parametrize(("place", "name", "mutant"), WRONG, ids=[name for _, name, _ in WRONG])
def test_a_wrong_conversation_is_caught(
    place: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mutant, raising=False)
    with pytest.raises(AssertionError):
        once(given(logs, st.just(0), st.just(33))(any_cut_is_taken))()


@pytest.mark.parametrize(
    ("place", "name", "mutant"),
    WRONG_FOR_TEMPLATES,
    ids=[name for _, name, _ in WRONG_FOR_TEMPLATES],
)
def test_a_wrong_order_is_caught(
    place: object, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mutant, raising=False)
    with pytest.raises(AssertionError):
        once(given(tapes, st.integers(0, 40), st.just(10**6))(every_step_is_taken))()
