"""`state = reduce(events)`: what every segment carries, so that the last one alone tells it all.

The law, held by tests: the carried state equals the reduce of all events of the incarnation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    Event,
    EventMarked,
    Finished,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    ModelCalled,
    Policy,
    SessionDeleted,
    StepChanged,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnSuspended,
)
from cueline.log.repeats import MAX_REPEATABLE, Repeatable

MAX_TRIES = 3
"""Takeovers before an input is tried alone; one more and it ends with an error."""
MAX_PENDING = 100
"""Waiting inputs that a session may hold; the state that carries them stays small."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An input that has not ended, as the state remembers it."""

    offset: int
    policy: Policy
    digest: str = ""
    call: str = ""
    attended: bool = False

    @property
    def asks(self) -> bool:
        return self.policy != "silent"


@dataclass(frozen=True, slots=True)
class Turn:
    id: str
    inputs: tuple[Waiting, ...]


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
    deleted: bool = False

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(t for t in (self.open, self.aside) if t)

    @property
    def unfinished(self) -> tuple[Waiting, ...]:
        """The inputs of running turns, then those that wait for one."""
        return (*(i for turn in self.turns for i in turn.inputs), *self.pending)

    def running(self, turn: str) -> Turn | None:
        return next((t for t in self.turns if t.id == turn), None)

    def suspect(self, waiting: Waiting) -> bool:
        """It may be what kills its hosts."""
        return self.tries.get(waiting.offset, 0) >= MAX_TRIES


_STATE: TypeAdapter[State] = TypeAdapter(State)


def state_to_json(state: State) -> str:
    return _STATE.dump_json(state, exclude_defaults=True).decode()


def state_from_json(text: str) -> State:
    return _STATE.validate_json(text)


def offsets(inputs: Iterable[Waiting]) -> tuple[int, ...]:
    return tuple(i.offset for i in inputs)


def covered(state: State, turn: Turn) -> tuple[int, ...]:
    """What the turn's answer answers: its inputs, and those suspended on calls that they decide."""
    decided = (i for d in turn.inputs for i in state.suspended.get(d.call, ()))
    return tuple(sorted({*offsets(turn.inputs), *decided}))


def given_up(state: State, waiting: Waiting) -> tuple[int, ...]:
    """What ends with an input that is given up: what it decides may have been acted on."""
    return tuple(sorted({waiting.offset, *state.suspended.get(waiting.call, ())}))


def fold(state: State, offset: int, event: Event) -> State:
    """The state after `event`, which stands at `offset`."""
    match event:
        case Input():
            new = Waiting(offset, event.policy, event.digest, event.call, event.attended)
            recent = (r for r in state.repeats if not r.long_ago(offset))
            return replace(state, pending=(*state.pending, new), repeats=tuple(recent))
        case TurnBegan():
            taken, rest = _split(state, event.inputs)
            return replace(state, pending=rest, open=Turn(event.turn, taken))
        case AsideBegan():
            taken, rest = _split(state, event.inputs)
            return replace(state, pending=rest, aside=Turn(event.turn, taken))
        case InputsFailed() | InputsWithdrawn():
            taken, rest = _split(state, event.inputs)
            failed = taken if isinstance(event, InputsFailed) else ()
            left = {c: i for c, i in state.suspended.items() if not set(i) & set(event.inputs)}
            without = replace(state, pending=rest, suspended=left)
            ended = _ended(without, event.inputs, offset, failed)
            return _forget(ended, event.inputs)
        case InputsOverran():
            known = {r.offset for r in state.repeats}
            late = (i for i in state.unfinished if i.offset in event.inputs and i.digest)
            more = [Repeatable(i.offset, i.digest) for i in late if i.offset not in known]
            return replace(state, repeats=(*state.repeats, *more)[-MAX_REPEATABLE:])
        case ModelCalled():
            return replace(state, used=state.used + event)
        case SessionDeleted():
            return State(deleted=True)
        case EventMarked():
            return state
    turn = state.running(event.turn)
    return _fold_turn(state, turn, offset, event) if turn else state


def _fold_turn(state: State, turn: Turn, offset: int, event: Event) -> State:
    """Events of a turn that is running; those of a closed turn change nothing."""
    match event:
        case InputsTaken():
            taken, rest = _split(state, event.inputs)
            return replace(state, pending=rest, open=Turn(turn.id, turn.inputs + taken))
        case ToolInput():
            return replace(
                state, tools={**state.tools, event.call: (turn.inputs[0].offset, "running")}
            )
        case ToolOutput():
            return replace(
                state, tools={**state.tools, event.call: (turn.inputs[0].offset, "done")}
            )
        case TurnHandedOver():
            return replace(_closed(state, turn), pending=_again(state, turn))
        case TurnAbandoned():
            tries = {o: state.tries.get(o, 0) + 1 for o in offsets(turn.inputs)}
            waiting = _again(state, turn)
            return replace(_closed(state, turn), pending=waiting, tries={**state.tries, **tries})
        case StepChanged():
            return replace(state, step=event.to_step)
        case Compacted():
            return replace(state, compacted=(offset, event.first))
        case TurnSuspended():
            left = _undecided(state, turn)
            # Inputs that were taken together, and then apart, may wait for the same call.
            mine = covered(state, turn)
            waits = {c: tuple(sorted({*mine, *left.get(c, ())})) for c in event.calls}
            # For who posted them they have ended: a repeat is told what that one should have been.
            told = _ended(_closed(state, turn), mine, offset, ())
            return replace(told, suspended={**left, **waits})
        case Answered() | Finished() | TurnFailed() | TurnInterrupted():
            done = covered(state, turn)
            closed = replace(_closed(state, turn), suspended=_undecided(state, turn))
            if isinstance(event, Answered) and event.step:
                closed = replace(closed, step=event.step)
            failed = turn.inputs if isinstance(event, TurnFailed) else ()
            return _forget(_ended(closed, done, offset, failed), done)
    return state


def _ended(state: State, done: Sequence[int], offset: int, failed: Sequence[Waiting]) -> State:
    """Remembers of what ended at `offset` what may be sent again."""
    known = {r.offset for r in state.repeats}
    repeats = [replace(r, ended=offset) if r.offset in done else r for r in state.repeats]
    new = (i for i in failed if i.digest and i.offset not in known)
    repeats += [Repeatable(i.offset, i.digest, offset, failed=True) for i in new]
    return replace(state, repeats=tuple(repeats[-MAX_REPEATABLE:]))


def _split(
    state: State, inputs: tuple[int, ...]
) -> tuple[tuple[Waiting, ...], tuple[Waiting, ...]]:
    taken = tuple(i for i in state.pending if i.offset in inputs)
    return taken, tuple(i for i in state.pending if i.offset not in inputs)


def _again(state: State, turn: Turn) -> tuple[Waiting, ...]:
    """What is waiting once the turn's inputs wait too, in their old places."""
    return tuple(sorted(state.pending + turn.inputs, key=lambda i: i.offset))


def _closed(state: State, turn: Turn) -> State:
    return replace(
        state,
        open=state.open if turn != state.open else None,
        aside=state.aside if turn != state.aside else None,
    )


def _undecided(state: State, turn: Turn) -> dict[str, tuple[int, ...]]:
    """What waits for other decisions: no call whose inputs are the turn's own by now."""
    mine = set(covered(state, turn))
    return {c: inputs for c, inputs in state.suspended.items() if not mine.intersection(inputs)}


def _forget(state: State, done: Sequence[int]) -> State:
    """Keeps the carried state small: nothing is remembered of finished inputs."""
    return replace(
        state,
        tries={o: n for o, n in state.tries.items() if o not in done},
        tools={c: t for c, t in state.tools.items() if t[0] not in done},
    )


def reduce(state: State, at: int, events: Sequence[Event]) -> State:
    """The state after `events`, the first of which stands at offset `at`."""
    for n, event in enumerate(events):
        state = fold(state, at + n, event)
    return state


def next_batch(state: State) -> tuple[Waiting, ...]:
    """The inputs that the next turn takes, or nothing where nobody asks.

    Everything up to the last interrupting input, else up to the first asking one, with the
    neighbours that coalesce.
    """
    waiting = state.pending
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


def steering(state: State, turn: str) -> tuple[Waiting, ...]:
    """The inputs that the turn takes before its next model call.

    None where one of either is tried alone.
    """
    mine = state.open
    if not mine or mine.id != turn or any(state.suspect(i) for i in mine.inputs):
        return ()
    return tuple(i for i in state.pending if i.policy == "steer" and not state.suspect(i))


def interruption(state: State) -> tuple[TurnInterrupted, ...]:
    """What closes every running turn."""
    return tuple(TurnInterrupted(turn=t.id, inputs=covered(state, t)) for t in state.turns)


def waiting_asides(state: State) -> tuple[Waiting, ...]:
    return tuple(i for i in state.pending if i.policy == "aside" and not state.aside)


def can_begin(state: State) -> bool:
    return bool(waiting_asides(state) if state.open else next_batch(state))
