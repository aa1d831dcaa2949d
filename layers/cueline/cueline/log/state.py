"""The state that every segment carries, and what it says comes next; `fold` makes it of events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter

from cueline.log.events import (
    Event,
    InputsWithdrawn,
    ModelCalled,
    TurnInterrupted,
    TurnReady,
)
from cueline.log.repeats import Repeatable
from cueline.log.waiting import Turn, Waiting, trace_of

__all__ = [
    "MAX_PENDING",
    "MAX_REMOVED",
    "MAX_SCHEDULED",
    "MAX_TRIES",
    "MOST_TOLD",
    "Mode",
    "Quiet",
    "State",
    "Turn",
    "Used",
    "Waiting",
    "by_trace",
    "can_begin",
    "covered",
    "due",
    "given_up",
    "interruption",
    "next_batch",
    "not_for_people",
    "offsets",
    "overdue",
    "ready",
    "state_from_json",
    "state_to_json",
    "steering",
    "superseded",
    "trace_of",
    "unsaid_in",
    "waiting_asides",
    "waits",
    "withdrawal",
]

Mode = Literal["auto", "manual"]
MAX_TRIES = 3
"""Takeovers before an input is tried alone; one more and it ends with an error."""
MAX_PENDING = 100
"""Waiting inputs that a session may hold, of each kind: those that are ready, that are held back,
and that ask for nothing. The state that carries them stays small."""
MOST_TOLD = 4
"""Traces under which one turn's end is told: a segment holds so many events."""
MAX_SCHEDULED = 20
"""The same of triggers that wait for their time."""
MAX_REMOVED = 50
"""Stretches of the log that may have been removed, as far as they do not touch."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """The agent spoke last: at `offset`, and after so many seconds it is to be followed up."""

    offset: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Used:
    """What the session's model calls have taken, and how full the last one's context was."""

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    """Nanodollars."""
    context_input: int = 0
    context_output: int = 0
    context_reasoning: int = 0
    context_window: int = 0

    def __add__(self, call: ModelCalled) -> "Used":
        answer = call.purpose == "answer"
        return Used(
            self.input_tokens + call.input_tokens,
            self.output_tokens + call.output_tokens,
            self.reasoning_tokens + call.reasoning_tokens,
            self.cost + call.cost,
            call.input_tokens if answer else self.context_input,
            call.output_tokens if answer else self.context_output,
            call.reasoning_tokens if answer else self.context_reasoning,
            call.context_window or self.context_window,
        )


@dataclass(frozen=True, slots=True)
class State:
    pending: tuple[Waiting, ...] = ()
    open: Turn | None = None
    aside: Turn | None = None
    suspended: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Tool call -> the inputs that wait for its decision."""
    tries: Mapping[int, int] = field(default_factory=dict)
    """Unfinished input -> takeovers."""
    tools: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Tool call -> (the unfinished input that it serves, `running` or `done`)."""
    repeats: tuple[Repeatable, ...] = ()
    used: Used = Used()
    step: str = ""
    """Of the agent, in which the session is; empty is its first."""
    compacted: tuple[int, int] | None = None
    """Of the newest compaction: its own offset, and the first that is still needed."""
    mode: Mode = "auto"
    """Whether the agent answers, or people do."""
    quiet: Quiet | None = None
    """What is to be followed up if the customer says nothing."""
    followed: int = 0
    """Follow-ups since the customer last said something."""
    scheduled: Mapping[int, str] = field(default_factory=dict)
    """Trigger that waits for its time -> its digest."""
    removed: tuple[tuple[int, int], ...] = ()
    """Stretches of the log that are as if they had never been said, first and last offset."""
    payer: str = ""
    """The API key whose input came last: it pays for what the agent says by itself."""
    settings: int | None = None
    """Where what the application has set stands; None where it has set nothing."""
    heard_until: int = 0
    """Milliseconds since 1970, UTC, by when every connection that was made will have ended."""
    unsaid: int | None = None
    """Where the newest events begin with which nobody says anything: of settings, of who listens.
    None where the newest event is another one."""
    deleted: bool = False

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(t for t in (self.open, self.aside) if t)

    @property
    def unfinished(self) -> tuple[Waiting, ...]:
        """The inputs of running turns, then those that wait for one."""
        return (*(i for turn in self.turns for i in turn.inputs), *self.pending)

    @property
    def needed(self) -> int:
        """The first offset that the newest compaction has left needed."""
        return self.compacted[1] if self.compacted else 0

    def running(self, turn: str) -> Turn | None:
        return next((t for t in self.turns if t.id == turn), None)

    def is_removed(self, offset: int) -> bool:
        return any(first <= offset <= last for first, last in self.removed)

    def suspect(self, waiting: Waiting) -> bool:
        """It may be what kills its hosts."""
        return self.tries.get(waiting.offset, 0) >= MAX_TRIES


_STATE: TypeAdapter[State] = TypeAdapter(State)


def state_to_json(state: State) -> str:
    return _STATE.dump_json(state, exclude_defaults=True).decode()


def state_from_json(text: str) -> State:
    return _STATE.validate_json(text)


def unsaid_in(text: str) -> int | None:
    """`unsaid` of a state as JSON, which is not read for that where it has none."""
    return state_from_json(text).unsaid if '"unsaid":' in text else None


def offsets(inputs: Iterable[Waiting]) -> tuple[int, ...]:
    return tuple(i.offset for i in inputs)


def covered(state: State, turn: Turn) -> tuple[int, ...]:
    """What the turn's answer answers: its inputs, and those suspended on calls that they decide."""
    decided = (i for d in turn.inputs for i in state.suspended.get(d.call, ()))
    return tuple(sorted({*offsets(turn.inputs), *decided}))


def given_up(state: State, waiting: Waiting) -> tuple[int, ...]:
    """What ends with an input that is given up: what it decides may have been acted on."""
    return tuple(sorted({waiting.offset, *state.suspended.get(waiting.call, ())}))


def by_trace(state: State, inputs: Sequence[Waiting]) -> Mapping[str, tuple[int, ...]]:
    """What ends where these are given up, trace by trace; what is told under none is one more."""
    told = _told_under(inputs)
    found: dict[int, str] = {}
    for waiting in inputs:
        for offset in given_up(state, waiting):
            found.setdefault(offset, waiting.trace if waiting.trace in told else "")
    return {
        trace: tuple(sorted(o for o, under in found.items() if under == trace))
        for trace in dict.fromkeys(found.values())
    }


def _told_under(inputs: Iterable[Waiting]) -> Sequence[str]:
    """The traces of the newest."""
    return [*dict.fromkeys(i.trace for i in inputs if i.trace)][-MOST_TOLD:]


def due(state: State, now: int) -> tuple[Waiting, ...]:
    """What is ready at `now` (ms), in the order of acceptance; what is held back stands aside.

    With the first of a run of coalescing inputs those behind it are ready.
    """
    found: list[Waiting] = []
    gathers = False
    for waiting in state.pending:
        if not waiting.held(now):
            joins = waiting.policy in ("steer", "silent")
            gathers = waiting.policy == "coalesce" or (gathers and joins)
            found.append(waiting)
        elif gathers and waiting.policy == "coalesce":
            found.append(waiting)
    return tuple(found)


def next_batch(state: State, now: int) -> tuple[Waiting, ...]:
    """The inputs that the next turn takes, or nothing where nobody asks who is ready at `now`.

    Of those that are: everything up to the last interrupting input, else up to the first asking
    one, with the neighbours that coalesce.
    """
    waiting = due(state, now)
    asking = [n for n, i in enumerate(waiting) if i.asks]
    if not asking:
        return ()
    interrupting = [n for n in asking if waiting[n].policy == "interrupt"]
    end = (interrupting or asking[:1])[-1] + 1
    joins = waiting[end - 1].policy in ("interrupt", "coalesce", "steer")
    neighbours = ("coalesce", "steer", "silent") if joins else ("silent",)
    while end < len(waiting) and waiting[end].policy in neighbours:
        end += 1
    batch = waiting[:end]
    if any(state.suspect(i) for i in batch):
        return _alone(state, batch)
    return batch


def _alone(state: State, batch: tuple[Waiting, ...]) -> tuple[Waiting, ...]:
    """One input of the batch kills its hosts: one at a time, so that it ends without the others.

    A silent suspect is tried beside an asking input, since alone it would ask for nothing.
    """
    first = next(i for i in batch if i.asks)
    quiet = [i for i in batch if state.suspect(i) and not i.asks]
    if state.suspect(first) or not quiet:
        return (first,)
    return tuple(sorted((quiet[0], first), key=lambda i: i.offset))


def steering(state: State, turn: str, now: int) -> tuple[Waiting, ...]:
    """The inputs that the turn takes before its next model call, which it makes at `now`.

    None where one of either is tried alone.
    """
    mine = state.open
    if not mine or mine.id != turn or any(state.suspect(i) for i in mine.inputs):
        return ()
    steers = (i for i in due(state, now) if i.policy == "steer")
    return tuple(i for i in steers if not state.suspect(i))


def interruption(state: State) -> tuple[Event, ...]:
    """What closes every running turn."""
    events: list[Event] = []
    for turn in state.turns:
        inputs = covered(state, turn)
        events.append(TurnInterrupted(turn=turn.id, inputs=inputs, trace=turn.trace))
        events += ready(turn)
    return tuple(events)


def ready(turn: Turn, matched: tuple[str, ...] = ()) -> tuple[TurnReady, ...]:
    """What is told last of the turn, to each who asks for that: they may be several."""
    return tuple(
        TurnReady(turn=turn.id, trace=trace, matched=matched if trace == turn.trace else ())
        for trace in _told_under(turn.inputs)
    )


def superseded(state: State) -> tuple[Waiting, ...]:
    """What a new message makes needless: nobody has to be told to wait any more."""
    return tuple(i for i in state.pending if i.policy == "aside")


def not_for_people(state: State) -> tuple[Waiting, ...]:
    """What nobody but the agent could do, and it must not once people answer."""
    return tuple(i for i in state.pending if i.kind in ("plain", "own"))


def withdrawal(inputs: Sequence[Waiting]) -> tuple[Event, ...]:
    """What ends these, which no turn has taken."""
    if not inputs:
        return ()
    return (InputsWithdrawn(inputs=offsets(inputs)), *ready(Turn("", tuple(inputs))))


def overdue(state: State, now: int) -> tuple[Waiting, ...]:
    """What no turn has begun with by its time; `now` is in ms."""
    return tuple(i for i in state.pending if 0 < i.not_after <= now and not i.begun)


def waiting_asides(state: State) -> tuple[Waiting, ...]:
    return tuple(i for i in state.pending if i.policy == "aside" and not state.aside)


def can_begin(state: State, now: int) -> bool:
    return bool(waiting_asides(state) if state.open else next_batch(state, now))


def waits(state: State) -> bool:
    """Something can begin, or will once it is held back no more."""
    return bool(waiting_asides(state)) if state.open else any(i.asks for i in state.pending)
