"""Tool calls within a turn: taken into the log, decided on, run, and their outputs stored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cueline.engine.agent import AgentStep
from cueline.engine.buying_time import BuyingTime
from cueline.engine.host import SHORTEST_RUN, Host
from cueline.engine.model import CallMade
from cueline.engine.prompt import INVOKE_SKILL, allowed_skills, allowed_specs
from cueline.engine.tooling import UNKNOWN_OUTCOME, ToRun, run_beside
from cueline.engine.tools import LARGEST_ARGUMENTS, ToolResult, ToolSpec
from cueline.engine.work import OpenCall
from cueline.errors import TooLarge
from cueline.log.events import (
    Event,
    Input,
    SkillLoaded,
    ToolInput,
    ToolOutput,
    TurnSuspended,
    size_of,
)
from cueline.log.segment import LARGEST_PACK, MAX_EVENTS
from cueline.log.state import State, covered, ready
from cueline.log.strict_json import object_of

LONGEST_NAME = 100
MOST_SUSPENDED = 50
"""Calls that may wait for a person in one session; its state carries them all."""
GONE = "The tool is not there any more; it was not run."
NO_TIME = "It was not run: too little time was left. Call it again if it is still wanted."
Answer = ToolOutput | SkillLoaded


# --- from the model to the log -------------------------------------------------------------------


def store_calls(
    host: Host, step: AgentStep, said: Sequence[Event], calls: Sequence[CallMade]
) -> bool:
    """Appends the calls, and what refuses those that cannot be run.

    A call is in the log before it runs, so that nobody runs it again.
    """
    specs = {spec.name: spec for spec in allowed_specs(step, host.specs)}
    used = {r.event.call for r in host.events if isinstance(r.event, ToolInput | Input)}
    # Those from before the window too, which unfinished inputs know.
    used |= host.state.suspended.keys() | host.state.tools.keys()
    inputs: list[ToolInput] = []
    answers: list[Answer] = []
    waiting = len(host.state.suspended)
    for made in calls:
        call = made.call if made.call not in used else f"call_{host.ports.clock.id()}"
        used.add(call)
        spec = specs.get(made.tool)
        taken, answer = _taken(host, step, replace(made, call=call), spec, waiting)
        waiting += taken.approval
        inputs.append(taken)
        answers += [answer] if answer else []
    answered = {answer.call: answer for answer in answers}
    for pack in _packs(said, inputs, answered):
        if not host.append_mine(*pack):
            return True
        host.mine |= {e.call for e in pack if isinstance(e, ToolInput)} - answered.keys()
        host.call = None  # what it said is stored
    host.misfits.clear()
    return True


def _packs(
    said: Sequence[Event], inputs: Sequence[ToolInput], answered: Mapping[str, Answer]
) -> list[list[Event]]:
    """What fits into a segment each. No call that is refused stands in the log without its output:
    whoever took the turn over then would hold it for one to be run."""
    whole: list[Event] = [*said, *inputs, *answered.values()]
    if len(whole) <= MAX_EVENTS and size_of(whole) <= LARGEST_PACK:
        return [whole]
    packs: list[list[Event]] = [[*said]]
    refused = [(taken, answered[taken.call]) for taken in inputs if taken.call in answered]
    for group in (*refused, *((taken,) for taken in inputs if taken.call not in answered)):
        pack = [*packs[-1], *group]
        if packs[-1] and (len(pack) > MAX_EVENTS or size_of(pack) > LARGEST_PACK):
            packs.append([])
        packs[-1] += group
    return packs


def _taken(
    host: Host, step: AgentStep, made: CallMade, spec: ToolSpec | None, waiting: int
) -> tuple[ToolInput, Answer | None]:
    """The call as it is stored, and its output where it need not be run for that.

    `waiting` is how many calls wait for a person already.
    """
    arguments = made.arguments[:LARGEST_ARGUMENTS]
    taken = ToolInput(
        turn=host.turn,
        call=made.call,
        tool=made.tool[:LONGEST_NAME],
        arguments=arguments,
        configuration=spec.configuration if spec else "",
        own_name=spec.tool if spec else "",
        approval=bool(spec and spec.approval),
    )
    skills = allowed_skills(host.agent, step) if host.agent else []
    if made.tool == INVOKE_SKILL and skills and host.agent:
        given = object_of(arguments) or {}
        name = given.get("skill_name")
        if name not in skills:
            return taken, _refused(taken, f"There is no skill {name!r}; there is {skills}.")
        content = host.agent.skills[str(name)].content
        return taken, SkillLoaded(turn=host.turn, skill=str(name), content=content, call=made.call)
    why = _why_not(host, spec, arguments)
    if taken.approval and waiting >= MOST_SUSPENDED:
        why = "Too many calls wait for a person's approval already. Go on without this one."
    # Whoever approves a call must be able to rely on it: a refused one asks nobody.
    return (
        (taken.model_copy(update={"approval": False}), _refused(taken, why))
        if why
        else (taken, None)
    )


def _why_not(host: Host, spec: ToolSpec | None, arguments: str) -> str | None:
    if spec is None:
        names = ", ".join(spec.name for spec in host.specs) or "none"
        return f"There is no such tool here; there is: {names}."
    given = object_of(arguments)
    if given is None:
        return "The arguments are no JSON object. Call again with one."
    if problem := host.ports.toolbox.problem(spec.parameters, given):
        return f"The arguments do not fit: {problem} Call again with others."
    return None


def _refused(taken: ToolInput, why: str) -> ToolOutput:
    return _output(taken, ToolResult(why[:2_000], error=True), refused=True)


def _output(taken: ToolInput, result: ToolResult, *, refused: bool = False) -> ToolOutput:
    return ToolOutput(
        turn=taken.turn,
        call=taken.call,
        tool=taken.tool,
        output=result.output,
        error=result.error,
        refused=refused,
        configuration=taken.configuration,
        own_name=taken.own_name,
    )


# --- approval ------------------------------------------------------------------------------------


def suspend(host: Host, calls: Sequence[OpenCall]) -> bool:
    """Ends the turn; its inputs wait until somebody decides on these calls."""
    ms = host.lap()

    def build(state: State) -> tuple[Event, ...]:
        if not (mine := state.running(host.turn)):
            return ()
        waits = TurnSuspended(
            turn=host.turn,
            inputs=covered(state, mine),
            calls=tuple(call.call for call in calls),
            tools=tuple(call.input.configuration or call.input.tool for call in calls),
            ms=ms,
        )
        return (waits, *ready(mine))

    host.append(build)
    return True


def take_up(host: Host, calls: Sequence[OpenCall]) -> bool:
    """The call stands in the log again, in this turn: to be run, or with the reason why not."""
    progress = host.progress  # this is none: whoever takes a call up runs it
    for call in calls:
        decision = call.decision
        edited = decision is not None and decision.verdict == "edit"
        again = call.input.model_copy(
            update={
                "turn": host.turn,
                "arguments": decision.arguments if decision and edited else call.input.arguments,
            }
        )
        output = None
        if decision and decision.verdict == "reject":
            why = f"A person has rejected this call; it was not run. {decision.note}".strip()
            output = _output(again, ToolResult(why, error=True))
        elif edited and (wrong := _why_not(host, _spec(host, again), again.arguments)):
            output = _refused(again, wrong)
        if not host.append_mine(again, *((output,) if output else ())):
            return True
        if not output:
            host.mine.add(again.call)
    host.progress = progress
    return True


# --- running -------------------------------------------------------------------------------------


def run_tools(host: Host, calls: Sequence[OpenCall]) -> bool:
    """Runs what this host may run, and says of the rest that its outcome is unknown."""
    clock, to_run = host.ports.clock, list[ToRun]()
    for call in calls:
        spec, mine = _spec(host, call.input), call.call in host.mine
        if not (mine or (spec and spec.repeatable)):
            _store(host, [(call.input, ToolResult(UNKNOWN_OUTCOME, error=True))])
        elif spec is None:
            _store(host, [(call.input, ToolResult(GONE, error=True))])
        elif mine and clock.monotonic() + SHORTEST_RUN > host.deadline:
            _store(host, [(call.input, ToolResult(NO_TIME, error=True))])
        else:
            to_run.append(ToRun(call.input, spec))
    host.mine -= {call.call for call in calls}
    if to_run:
        patience = BuyingTime(host)

        def wanted() -> bool:
            patience.look()
            return host.runs()

        for results in run_beside(to_run, clock, host.deadline, wanted):
            _store(host, results)
    host.note_time()
    return True


def _spec(host: Host, taken: ToolInput) -> ToolSpec | None:
    """The very tool that was called: its name for the model may be another's by now."""
    called = (taken.configuration, taken.own_name)
    return next((spec for spec in host.specs if (spec.configuration, spec.tool) == called), None)


def _store(host: Host, results: Sequence[tuple[ToolInput, ToolResult]]) -> None:
    outputs = [
        _output(taken.model_copy(update={"turn": host.turn}), result) for taken, result in results
    ]
    for start in range(0, len(outputs), MAX_EVENTS):
        try:
            host.append_mine(*outputs[start : start + MAX_EVENTS])
        except TooLarge:  # together; one by one they fit, as the toolbox cuts them
            for output in outputs[start : start + MAX_EVENTS]:
                host.append_mine(output)
