"""Sessions whose every step the engine's own rules allow; a tape of numbers chooses among them.

Each text has a word in it that no other event says, so that it can be found again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from cueline.engine.compaction import Cut, cut
from cueline.engine.fork import closing
from cueline.engine.marks import in_use
from cueline.engine.steps import (
    Compact,
    Finish,
    LoadSkills,
    RunTools,
    Stop,
    Suspend,
    TakeInputs,
    TakeUpCalls,
    next_step,
)
from cueline.engine.takeover import plan
from cueline.engine.work import OpenCall, Work, work
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Decision,
    Event,
    Finished,
    Input,
    InputsTaken,
    Mark,
    PartlyAnswered,
    Policy,
    Recorded,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnSuspended,
    erased,
)
from cueline.log.fold import reduce
from cueline.log.state import State, Turn, covered, interruption, offsets, ready, steering

CODES = ("context_limit_exceeded", "model_refused", "model_timeout")
POLICIES: Sequence[Policy] = ("enqueue", "coalesce", "interrupt", "steer", "silent", "aside")


def words_in(text: str) -> list[str]:
    return re.findall(r"\[[a-z]+ \d+\]", text)


class Walk:
    def __init__(self, numbers: Sequence[int], *, strict: bool = False) -> None:
        self.strict = strict
        """Nothing happens that puts a system's message or a second user's where strict templates
        have none: no context from applications, no notes on decisions, no steps. And nothing is
        hidden that a turn still works with."""
        self.asked: Callable[[str], None] = lambda _: None
        """Called with the turn whenever a model is asked for an answer."""
        self.tape = iter(numbers)
        self.events: list[Event] = []
        self.marks: dict[int, Mark] = {}
        self.state = State()
        self.turns = 0
        self.speaking: set[str] = set()
        self.stopped: list[str] = []
        """Turns that were interrupted, whose hosts have not told how far they had come."""
        self.cuts: dict[str, Cut] = {}
        """Turn -> what its model is just summing up."""
        self.gave_up: set[str] = set()
        """Turns that found nothing to sum up."""
        self._numbers = count()

    def choose(self, options: Sequence[Any]) -> Any:
        return options[next(self.tape) % len(options)]

    def word(self, kind: str) -> str:
        return f"[{kind} {next(self._numbers)}]"

    def add(self, *events: Event) -> None:
        self.state = reduce(self.state, len(self.events), events)
        self.events += events

    def log(self) -> list[Recorded]:
        return [
            Recorded(n, 0, "", erased(e) if mark == "erased" else e, mark)
            for n, e in enumerate(self.events)
            for mark in [self.marks.get(n)]
        ]

    def steps(self) -> Iterator[None]:
        """Ends with the tape; yields after each step."""
        while True:
            try:
                self.choose(self.possible())()
            except StopIteration:
                return
            yield

    def possible(self) -> list[Callable[[], None]]:
        found: list[Callable[[], None]] = [self.say, self.say, self.begin, self.ask_to_sum_up]
        if self.state.turns:
            found += [*[self.go_on] * 8, self.hand_over, self.stop]
            found.append(lambda: self.begin([self.choose(self.state.turns).id]))
        if self.undecided():
            found += [self.decide, self.decide]
        if self.stopped:
            found.append(self.tell_rest)
        if not self.choose(range(40)):
            found += [self.fork] * 20
        if self.events:
            found.append(self.mark)
        return found

    # --- what people do --------------------------------------------------------------------------

    def say(self) -> None:
        policy = self.choose(POLICIES)
        ended = self.interrupted() if policy == "interrupt" else ()
        source = "user" if self.strict else self.choose(["user", "user", "system"])
        skills = self.choose([(), (), (), ("manners",)])
        said = Input(policy=policy, texts=(self.word("say"),), source=source, skills=skills)
        self.add(*ended, said)

    def ask_to_sum_up(self) -> None:
        self.add(Input(compact=CompactionAsked(up_to=self.choose([None, None, len(self.events)]))))

    def undecided(self) -> list[str]:
        decided = {waiting.call for waiting in self.state.unfinished}
        return sorted(set(self.state.suspended) - decided)

    def decide(self) -> None:
        verdict = self.choose(["approve", "edit", "reject"])
        note = "" if self.strict and verdict != "reject" else self.choose(["", self.word("note")])
        arguments = f'{{"a": "{self.word("edit")}"}}' if verdict == "edit" else ""
        decision = Decision(verdict=verdict, arguments=arguments, note=note)
        self.add(Input(policy="decision", call=self.choose(self.undecided()), decision=decision))

    def stop(self) -> None:
        self.add(*self.interrupted())

    def interrupted(self) -> tuple[Event, ...]:
        ended = interruption(self.state)
        turns = [event.turn for event in ended if isinstance(event, TurnInterrupted)]
        self.stopped += [turn for turn in turns if turn in self.speaking]
        return ended

    def fork(self) -> None:
        """The session goes on as a copy does, in which all that was open has been closed."""
        self.turns += 1
        self.add(*closing(self.state, len(self.events), f"t{self.turns}"))

    def mark(self) -> None:
        offset = self.choose(range(len(self.events)))
        wanted: Mark | None = self.choose(["hidden", "hidden", "erased", None])
        if self.marks.get(offset) == "erased":
            return
        if self.strict and in_use(self.state, self.log()[offset]):
            return
        self.marks.pop(offset, None)
        if wanted:
            self.marks[offset] = wanted

    # --- what hosts do ---------------------------------------------------------------------------

    def now(self) -> int:
        """A second goes by with each event."""
        return 1000 * len(self.events)

    def begin(self, dead: Sequence[str] = ()) -> None:
        self.turns += 1
        self.add(*plan(self.state, len(self.events), dead, f"t{self.turns}", self.now()))

    def hand_over(self) -> None:
        turn = self.choose(self.state.turns)
        made = [call.call for call in self.work(turn).calls if call.status == "made"]
        unstarted = tuple([call for call in made if self.choose([0, 1])])
        self.add(TurnHandedOver(turn=turn.id, unstarted=unstarted))

    def tell_rest(self) -> None:
        """The host of an interrupted turn says how far it had come."""
        self.add(PartlyAnswered(turn=self.stopped.pop(), text=self.word("part")))

    def work(self, turn: Turn) -> Work:
        return work(self.log(), self.state, turn.id)

    def go_on(self) -> None:
        turn = self.choose(self.state.turns)
        done = self.work(turn)
        compacts = turn.id not in self.gave_up
        match next_step(self.state, turn.id, done, compacts=compacts, now=self.now()):
            case TakeInputs():
                taken = offsets(steering(self.state, turn.id, self.now()))
                self.add(InputsTaken(turn=turn.id, inputs=taken))
            case TakeUpCalls(calls):
                self.take_up(turn, calls)
            case RunTools(calls):
                for call in calls[: self.choose([1, 2, 3])]:
                    self.put_out(turn, call)
            case Suspend(calls):
                self.end(turn, TurnSuspended, calls=tuple(call.call for call in calls))
            case LoadSkills(skills):
                for skill in skills:
                    content = self.word("skill")
                    self.add(SkillLoaded(turn=turn.id, skill=skill, content=content))
            case Compact(asked):
                if not self.sum_up(turn, asked.up_to if asked else None):
                    self.gave_up.add(turn.id)
                    if not done.answers:
                        self.fail(turn, "nothing_to_compact")
            case Finish():
                self.end(turn, Finished)
            case Stop(code):
                self.fail(turn, code)
            case _:
                self.speak(turn)

    def take_up(self, turn: Turn, calls: Sequence[OpenCall]) -> None:
        for call in calls:
            given = call.decision.arguments if call.decision else ""
            more = {"turn": turn.id, "arguments": given or call.input.arguments}
            self.add(call.input.model_copy(update=more))
            if call.decision and call.decision.verdict == "reject":
                self.put_out(turn, call, f"No. {call.decision.note}")

    def put_out(self, turn: Turn, call: OpenCall, output: str = "") -> None:
        output = output or self.choose(["", self.word("out")])
        tool = call.input.tool
        self.add(ToolOutput(turn=turn.id, call=call.call, tool=tool, output=output))

    def fail(self, turn: Turn, code: str, text: str = "") -> None:
        self.end(turn, TurnFailed, code=code, message="", retryable=False, text=text)

    def end(self, turn: Turn, how: Callable[..., Event], **more: Any) -> None:
        self.add(how(turn=turn.id, inputs=covered(self.state, turn), **more), *ready(turn))

    def sum_up(self, turn: Turn, up_to: int | None = None) -> bool:
        """Begins it, or stores what was begun: others may write in between."""
        begun = self.cuts.pop(turn.id, None)
        found = begun or cut(self.log(), self.choose([0, 1, 3]), up_to)
        if found and not begun and self.choose([0, 1]):
            self.cuts[turn.id] = found
        elif found:
            kept, summary = found.kept, self.word("sum")
            self.add(Compacted(turn=turn.id, up_to=found.up_to, kept=kept, summary=summary))
        return found is not None

    def speak(self, turn: Turn) -> None:
        """The model answers: an aside has no tools, and one step."""
        if turn.id in self.cuts:
            self.sum_up(turn)
            return
        self.asked(turn.id)
        self.speaking.add(turn.id)
        if self.choose([0, 0, 1]):
            self.add(Thinking(turn=turn.id, text=self.word("thought")))
        ways: list[Callable[[Turn], object]] = [
            self.answer,
            lambda turn: self.fail(turn, self.choose(CODES), self.choose(["", self.word("cut")])),
        ]
        if turn == self.state.open:
            ways += [self.call, self.call, self.call, self.sum_up]
            ways += [] if self.strict else [self.change_step]
        self.choose(ways)(turn)

    def answer(self, turn: Turn) -> None:
        self.end(turn, Answered, text=self.choose(["", self.word("answer")]))

    def change_step(self, turn: Turn) -> None:
        self.add(
            Spoke(turn=turn.id, text=self.word("spoke")),
            StepChanged(turn=turn.id, from_step="a", to_step="b"),
        )

    def call(self, turn: Turn) -> None:
        """Several at once: to be run, to be approved, refused, or for a skill."""
        if text := self.choose(["", self.word("spoke")]):
            self.add(Spoke(turn=turn.id, text=text))
        answers: list[Event] = []
        for place in range(self.choose([1, 1, 2, 3])):
            kind, call = self.choose(["find", "find", "pay", "wrong", "skill"]), f"call_{place}"
            if call in self.used(turn):
                call = f"c{next(self._numbers)}"
            made: dict[str, Any] = {"turn": turn.id, "call": call}
            arguments = f'{{"a": "{self.word("args")}"}}'
            self.add(ToolInput(**made, tool=kind, arguments=arguments, approval=kind == "pay"))
            if kind == "wrong":
                answers.append(ToolOutput(**made, tool=kind, output=self.word("out"), refused=True))
            if kind == "skill":
                answers.append(SkillLoaded(**made, skill=kind, content=self.word("skill")))
        self.add(*answers)

    def used(self, turn: Turn) -> set[str]:
        """Small servers number their calls anew in each answer, and hosts see only a window."""
        first = min(covered(self.state, turn))
        found = {getattr(event, "call", "") for event in self.events[first:]}
        return found | self.state.suspended.keys() | self.state.tools.keys()
