"""`state = reduce(events)`: what every segment carries, so that the last one alone tells it all.

The law, held by tests: the carried state equals the reduce of all events of the incarnation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cueline.log.events import (
    Acknowledged,
    Answered,
    AsideBegan,
    Compacted,
    Event,
    EventMarked,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    Listening,
    ModeChanged,
    ModelCalled,
    Posted,
    SessionDeleted,
    SettingsChanged,
    StepChanged,
    ToolInput,
    ToolOutput,
    TriggerScheduled,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.repeats import MAX_REPEATABLE, Repeatable
from cueline.log.state import Quiet, State, Turn, Waiting, covered, offsets

_UNSAYING = (Listening, SettingsChanged)
"""Nobody says anything by them, nor are they answered, however many there are."""
Tools = Mapping[str, tuple[int, str]]


def fold(state: State, offset: int, event: Event) -> State:
    """The state after `event`, which stands at `offset`."""
    if not isinstance(event, _UNSAYING):
        state = replace(state, unsaid=None) if state.unsaid is not None else state
    elif state.unsaid is None:
        state = replace(state, unsaid=offset)
    match event:
        case Input():
            return _fold_input(state, offset, event)
        case TurnBegan():
            taken, rest = _split(state, event.inputs)
            rest = tuple(_beside(waiting, event.turn) for waiting in rest)
            return replace(state, pending=rest, open=Turn(event.turn, taken, state.settings))
        case AsideBegan():
            taken, rest = _split(state, event.inputs)
            return replace(state, pending=rest, aside=Turn(event.turn, taken, state.settings))
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
            return State(deleted=True, heard_until=state.heard_until)
        case Posted(kind="message"):
            followed = 0 if event.source == "user" else state.followed
            return replace(state, quiet=None, followed=followed)
        case ModeChanged():
            return _fold_mode(state, event)
        case TriggerScheduled():
            return replace(state, scheduled={**state.scheduled, offset: event.digest})
        case EventsRemoved():
            return _fold_removal(state, offset, event)
        case SettingsChanged():
            return replace(state, settings=offset)
        case Listening():
            return replace(state, heard_until=max(state.heard_until, event.until))
        case EventMarked() | Acknowledged() | Posted():
            return state
    turn = state.running(event.turn)
    return _fold_turn(state, turn, offset, event) if turn else state


def _fold_input(state: State, offset: int, event: Input) -> State:
    recent = tuple(r for r in state.repeats if not r.long_ago(offset))
    pending = (*state.pending, Waiting.of(offset, event))
    state = replace(state, pending=pending, repeats=recent, payer=event.caller or state.payer)
    if event.speaks:
        return replace(state, quiet=None, followed=0)
    if event.trigger and event.trigger.follows is not None:
        return replace(state, quiet=None, followed=state.followed + 1)
    if event.trigger and event.trigger.scheduled is not None:
        left = {o: digest for o, digest in state.scheduled.items() if o != event.trigger.scheduled}
        return replace(state, scheduled=left)
    return state


def _fold_mode(state: State, event: ModeChanged) -> State:
    """People answer the messages that wait; what else does is the agent's still."""
    if event.mode == "auto":
        return replace(state, mode="auto")
    pending = tuple(
        replace(i, policy="silent") if i.kind == "message" else i for i in state.pending
    )
    return replace(state, mode="manual", pending=pending, quiet=None)


def _fold_removal(state: State, offset: int, event: EventsRemoved) -> State:
    before = [(a, min(b, event.first - 1)) for a, b in state.removed if a < event.first]
    first = event.first
    if before and before[-1][1] + 1 >= first:
        first = before.pop()[0]
    return replace(
        state,
        removed=(*before, (first, offset)),
        quiet=None if state.quiet and state.quiet.offset >= event.first else state.quiet,
        scheduled={o: digest for o, digest in state.scheduled.items() if o < event.first},
        repeats=tuple(known for known in state.repeats if known.offset < event.first),
    )


def _fold_turn(state: State, turn: Turn, offset: int, event: Event) -> State:
    """Events of a turn that is running; those of a closed turn change nothing."""
    match event:
        case InputsTaken():
            taken, rest = _split(state, event.inputs)
            took = replace(turn, inputs=turn.inputs + taken)
            return replace(state, pending=rest, open=took)
        case ToolInput():
            return replace(state, tools={**state.tools, event.call: (_first(turn), "running")})
        case ToolOutput():
            return replace(state, tools={**state.tools, event.call: (_first(turn), "done")})
        case TurnHandedOver():
            return replace(_closed(state, turn), pending=_again(state, turn))
        case TurnPostponed():
            later = replace(turn, inputs=tuple(_postponed(i, event.until) for i in turn.inputs))
            tools = _kept(state.tools, later)
            return replace(_closed(state, turn), pending=_again(state, later), tools=tools)
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
            told = _ended(_closed(state, turn), mine, offset, _triggers(turn))
            return replace(told, suspended={**left, **waits})
        case Answered() | Finished() | TurnFailed() | TurnInterrupted():
            done = covered(state, turn)
            closed = replace(_closed(state, turn), suspended=_undecided(state, turn))
            if isinstance(event, Answered):
                closed = _spoken(closed, turn == state.open, offset, event)
            failed = turn.inputs if isinstance(event, TurnFailed) else _triggers(turn)
            return _forget(_ended(closed, done, offset, failed), done)
    return state


def _spoken(state: State, main: bool, offset: int, event: Answered) -> State:
    """After an answer; an aside leaves the step as it is, and waits for nobody."""
    if event.step:
        state = replace(state, step=event.step)
    if not main or not event.text:
        return state
    follow = Quiet(offset, event.follow_up) if event.follow_up else None
    return replace(state, quiet=follow)


def _triggers(turn: Turn) -> tuple[Waiting, ...]:
    """A trigger that comes again right away is its client's own retry: it speaks once."""
    return tuple(i for i in turn.inputs if i.triggers)


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
    """What is taken has been held back long enough."""
    taken = tuple(replace(i, not_before=0) for i in state.pending if i.offset in inputs)
    return taken, tuple(i for i in state.pending if i.offset not in inputs)


def _again(state: State, turn: Turn) -> tuple[Waiting, ...]:
    """What is waiting once the turn's inputs wait too, in their old places."""
    # Of a turn that is told only who has its trace has been told that it began.
    begun = (replace(i, begun=True, told=i.told or i.trace == turn.trace) for i in turn.inputs)
    return tuple(sorted((*state.pending, *begun), key=lambda i: i.offset))


def _beside(waiting: Waiting, turn: str) -> Waiting:
    aside = waiting.policy == "aside" and not waiting.during
    return replace(waiting, during=turn) if aside else waiting


def _postponed(waiting: Waiting, until: int) -> Waiting:
    return replace(waiting, failed=waiting.failed + 1, not_before=until)


def _first(turn: Turn) -> int:
    """Of its inputs that ask: what does not may end with another turn."""
    return next((i.offset for i in turn.inputs if i.asks), turn.inputs[0].offset)


def _kept(tools: Tools, turn: Turn) -> Tools:
    """The turn's calls serve who goes on with them the longest."""
    mine = offsets(turn.inputs)
    last = max(turn.inputs, key=lambda i: (i.asks, i.tries - i.failed)).offset
    return {c: (last if o in mine else o, status) for c, (o, status) in tools.items()}


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
