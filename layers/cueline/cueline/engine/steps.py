"""`next_step`: what a turn does next, from the log alone."""

from dataclasses import dataclass

from cueline.engine.agent import Caps
from cueline.engine.work import OpenCall, Work
from cueline.log.events import CompactionAsked
from cueline.log.state import State, offsets, steering

MOST_REPEATS = 3
"""Equal outputs of equal calls in one turn; then it goes round in circles."""
MOST_REFUSED = 3
"""Answers in a row that call only what there is not, or not so."""
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TakeInputs:
    """Take these steering inputs before the model is called."""

    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TakeUpCalls:
    """Put these calls into the log again: decided on by now, or left over by another host."""

    calls: tuple[OpenCall, ...]


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run these calls, beside each other."""

    calls: tuple[OpenCall, ...]


@dataclass(frozen=True, slots=True)
class Suspend:
    """End the turn until somebody decides on these calls."""

    calls: tuple[OpenCall, ...]


@dataclass(frozen=True, slots=True)
class LoadSkills:
    """Put these skills' contents into the conversation."""

    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compact:
    """Sum up the oldest turns; `asked` where an input wants just that."""

    asked: CompactionAsked | None = None


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for an answer to the conversation."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to say."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the turn with a failure: a limit has been reached."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is closed, by its own answer or by somebody else."""


Step = (
    TakeInputs
    | TakeUpCalls
    | RunTools
    | Suspend
    | LoadSkills
    | Compact
    | CallModel
    | Finish
    | Stop
    | Done
)


def next_step(
    state: State,
    turn: str,
    work: Work | None = None,
    caps: Caps | None = None,
    *,
    seconds: float = 0.0,
    full: bool = False,
    compacts: bool = True,
    now: int,
) -> Step:
    """`work` is the turn's own; `seconds` it has taken; `full` says that its context nearly is.

    `compacts` is False once a compaction has failed; `now` is in ms.
    """
    work, caps = work or Work(), caps or Caps()
    if not state.running(turn):
        return Done()
    if work.calls:
        return _with_calls(work.calls)
    if inputs := offsets(steering(state, turn, now)):
        return TakeInputs(inputs)
    to_compact = None if work.compacted else work.compact
    if state.mode == "manual" and not (to_compact or any(t.guidelines for t in work.triggers)):
        return Finish()  # a call that was decided on has been run, and people say the rest
    if not (work.answers or to_compact):
        why = "The tool call does not wait any more: what it belonged to has ended."
        stale = work.decides and not work.compact
        return Stop("call_not_waiting", why) if stale else Finish()
    if stop := exceeded(state, work, caps, seconds):
        return stop
    if to_compact and (compacts or not work.answers):
        return Compact(to_compact)
    if work.skills:
        return LoadSkills(work.skills)
    return Compact() if full else CallModel()


def _with_calls(calls: tuple[OpenCall, ...]) -> Step:
    """Whatever can be done is done before the turn waits for anybody."""
    if waiting := tuple(call for call in calls if call.status in {"decided", "unstarted"}):
        return TakeUpCalls(waiting)
    if made := tuple(call for call in calls if call.status == "made"):
        return RunTools(made)
    return Suspend(calls)


def exceeded(state: State, work: Work, caps: Caps, seconds: float = 0.0) -> Stop | None:
    """The first limit that leaves no room for another model call."""
    used = state.used
    reached = (
        ("turn_model_calls", work.model_calls, caps.model_calls, "model calls in one turn"),
        ("turn_seconds", seconds, caps.seconds, "seconds in one turn"),
        ("turn_tokens", work.tokens, caps.tokens, "tokens in one turn"),
        ("turn_cost", work.cost / NANO, caps.cost, "US dollars in one turn"),
        (
            "session_tokens",
            used.input_tokens + used.output_tokens,
            caps.session_tokens,
            "tokens in one session",
        ),
        ("session_cost", used.cost / NANO, caps.session_cost, "US dollars in one session"),
    )
    for name, value, cap, of in reached:
        if cap is not None and value >= cap:
            return limit(name, f"{cap:g} {of}")
    if work.repeats >= MOST_REPEATS:
        return Stop(
            "tool_loop",
            f"The same tool call gave the same output {MOST_REPEATS} times; the turn was ended.",
        )
    if work.refused >= MOST_REFUSED:
        return Stop(
            "tool_calls_invalid",
            f"The model made {MOST_REFUSED} answers in a row that called no tool in the right way.",
        )
    return None


def limit(name: str, what: str) -> Stop:
    """`name` is that of the limit; the code of the event that ends the turn carries it."""
    return Stop(f"limit_{name}", f"The limit of {what} is reached; the turn was ended.")
