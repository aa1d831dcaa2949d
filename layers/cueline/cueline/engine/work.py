"""What a turn has done so far, from the log alone: also what a process did that is dead now."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cueline.log.events import (
    AsideBegan,
    Compacted,
    CompactionAsked,
    Decision,
    Event,
    Input,
    ModelCalled,
    Recorded,
    SkillLoaded,
    StepChanged,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnHandedOver,
)
from cueline.log.state import State, covered
from cueline.log.triggers import Trigger


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A tool call that has no output yet.

    made       it is to be run, or was being run when its host died
    unstarted  its host has handed the turn over before it ran
    undecided  it waits for somebody's approval
    decided    somebody has decided, and the turn of that decision has not acted on it yet
    """

    input: ToolInput
    status: Literal["made", "unstarted", "undecided", "decided"]
    decision: Decision | None = None

    @property
    def call(self) -> str:
        return self.input.call


@dataclass(frozen=True, slots=True)
class Work:
    """Of a running turn and of those before it that died or were suspended with its inputs."""

    calls: tuple[OpenCall, ...] = ()
    outputs: tuple[ToolOutput, ...] = ()
    model_calls: int = 0
    tool_calls: int = 0
    tokens: int = 0
    cost: int = 0
    """Nanodollars."""
    ms: int = 0
    transitions: int = 0
    refused: int = 0
    """Answers of the model in a row whose every call was refused."""
    repeats: int = 0
    """How often the same call has had the same output."""
    skills: tuple[str, ...] = ()
    """Asked for by inputs and not loaded yet."""
    compact: CompactionAsked | None = None
    """Asked for by an input."""
    compacted: bool = False
    answers: bool = True
    """Somebody asks for more than a compaction, to decide on a call that waits no more, or to buy
    time for work that is done."""
    decides: bool = False
    """Somebody decides on a call."""
    triggers: tuple[Trigger, ...] = ()
    said: bool = False
    """Somebody has said something, and waits for an answer."""
    rounds: int = 0
    """Answers of the model that called tools."""
    payer: str = ""
    """The API key whose input asked first."""


@dataclass(slots=True)
class _Counts:
    open: dict[str, ToolInput] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    """Where an open call stands first."""
    places: dict[str, int] = field(default_factory=dict)
    """And where it stands last."""
    unstarted: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    """By a turn of other inputs."""
    outputs: list[ToolOutput] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    loaded: set[str] = field(default_factory=set)
    called: list[ModelCalled] = field(default_factory=list)
    together: set[str] = field(default_factory=set)
    """What the calls of the newest answer gave: equal ones of one answer are no loop."""
    made: int = 0
    rounds: int = 0
    fresh: bool = True
    """The model has made no call since it was last called."""
    ms: int = 0
    transitions: int = 0
    refused: int = 0
    answered: list[bool] = field(default_factory=list)
    """Whether each call of the model's newest answer was refused."""
    compacted: bool = False


def work(events: Sequence[Recorded], state: State, turn: str) -> Work:
    """`events` reach back to the first input that the turn answers; nothing for a closed turn."""
    mine = state.running(turn)
    if not mine:
        return Work()
    offsets = set(covered(state, mine))
    first = min(offsets)
    own = [r for r in events if r.offset >= first]
    during = {waiting.offset: waiting.during for waiting in mine.inputs}
    inputs = {
        r.offset: r.event.beside(during.get(r.offset, ""))
        for r in own
        if r.offset in offsets and isinstance(r.event, Input)
    }
    counts = _counted(own, _turns(own, offsets))
    # What was left to people asks for nothing any more, whatever its event says.
    silent = {waiting.offset for waiting in mine.inputs if not waiting.asks}
    asked = [i for o, i in inputs.items() if i.policy != "silent" and o not in silent]
    wanted = (skill for i in inputs.values() for skill in i.skills)
    return Work(
        calls=_open(counts, inputs),
        outputs=tuple(counts.outputs),
        model_calls=len(counts.called),
        tool_calls=counts.made,
        tokens=sum(c.input_tokens + c.output_tokens for c in counts.called),
        cost=sum(c.cost for c in counts.called),
        ms=counts.ms,
        transitions=counts.transitions,
        refused=counts.refused + (bool(counts.answered) and all(counts.answered)),
        repeats=max(counts.seen.values(), default=0),
        skills=tuple(s for s in dict.fromkeys(wanted) if s not in counts.loaded),
        compact=next((i.compact for i in asked if i.compact), None),
        compacted=counts.compacted,
        answers=any(_wants_answer(i, state) for i in asked),
        decides=any(i.decision for i in asked),
        triggers=tuple(i.trigger for i in inputs.values() if i.trigger),
        said=any(i.kind == "message" for i in asked),
        rounds=counts.rounds,
        payer=asked[0].caller if asked else "",
    )


def _wants_answer(given: Input, state: State) -> bool:
    if given.trigger and (given.trigger.during or given.policy == "aside"):
        # Time is bought beside the work that takes it, or not at all.
        return bool(state.open and state.open.id == given.trigger.during)
    waits = given.policy != "decision" or given.call in state.suspended
    return waits and not given.compact


def _turns(events: Sequence[Recorded], offsets: set[int]) -> set[str]:
    """Every turn that took one of these inputs at its begin."""
    return {
        r.event.turn
        for r in events
        if isinstance(r.event, TurnBegan | AsideBegan) and offsets.intersection(r.event.inputs)
    }


def _counted(events: Sequence[Recorded], turns: set[str]) -> _Counts:
    counts = _Counts()
    for recorded in events:
        event = recorded.event
        if getattr(event, "turn", None) not in turns:
            _leave_to_others(counts, event)
            continue
        counts.ms += getattr(event, "ms", 0)
        match event:
            case ModelCalled():
                every = counts.answered and all(counts.answered)
                counts.refused = counts.refused + 1 if every else 0
                counts.answered = []
                counts.together = set()
                counts.fresh = True
                counts.called.append(event)
            case ToolInput():
                if event.call not in counts.open:
                    counts.rounds += counts.fresh
                    counts.fresh = False
                    counts.made += 1
                    counts.first[event.call] = recorded.offset
                counts.open[event.call] = event
                counts.places[event.call] = recorded.offset
                counts.unstarted.discard(event.call)
            case TurnHandedOver():
                counts.unstarted |= set(event.unstarted)
            case ToolOutput() if event.call in counts.open:
                called = counts.open.pop(event.call)
                counts.outputs.append(event)
                counts.answered.append(event.refused)
                digest = _digest(called, event)
                counts.seen[digest] += digest not in counts.together
                counts.together.add(digest)
            case SkillLoaded():
                counts.loaded.add(event.skill)
                if counts.open.pop(event.call, None):
                    counts.answered.append(False)
            case StepChanged():
                counts.transitions += 1
            case Compacted():
                counts.compacted = True
    return counts


def _leave_to_others(counts: _Counts, event: Event) -> None:
    """Inputs that shared a turn may be taken apart: who goes on with a call does it for all."""
    if isinstance(event, ToolInput) and event.call in counts.open:
        counts.unstarted.discard(event.call)
        counts.begun.add(event.call)
    if isinstance(event, ToolOutput | SkillLoaded):
        counts.open.pop(event.call, None)


def _open(counts: _Counts, inputs: Mapping[int, Input]) -> tuple[OpenCall, ...]:
    decisions = {i.call: (at, i.decision) for at, i in inputs.items() if i.decision}
    found = []
    for call, made in counts.open.items():
        decided_at, decision = decisions.get(call, (-1, None))
        # What stands again behind its decision has been acted on: it is a call like all others.
        acted_on = counts.first[call] < decided_at < counts.places[call]
        if not made.approval or acted_on or call in counts.begun:
            found.append(OpenCall(made, "unstarted" if call in counts.unstarted else "made"))
        elif decision and decided_at > counts.first[call]:
            found.append(OpenCall(made, "decided", decision))
        else:
            found.append(OpenCall(made, "undecided"))
    return tuple(found)


def _digest(called: ToolInput, output: ToolOutput) -> str:
    try:
        arguments = json.dumps(json.loads(called.arguments), sort_keys=True)
    except (ValueError, RecursionError):
        arguments = called.arguments
    told = json.dumps([called.tool, arguments, output.output])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
