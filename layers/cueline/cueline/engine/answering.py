"""What comes of a model's answer: the turn's end, another step of the agent, or tool calls."""

from datetime import UTC, datetime
from typing import Any

from cueline.engine.agent import Agent, AgentStep
from cueline.engine.asking import ask, called
from cueline.engine.call import Call, Spoken
from cueline.engine.host import Host
from cueline.engine.model import ModelRequest, Said
from cueline.engine.postponing import again_at, postponed
from cueline.engine.prompt import allowed_specs, request
from cueline.engine.timers import silence_after_answer
from cueline.engine.toolcalls import store_calls
from cueline.engine.work import Work
from cueline.errors import CuelineError, ModelError, TooLarge, TurnStopped
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    Spoke,
    StepChanged,
    Thinking,
    ToolOutput,
    TurnFailed,
)
from cueline.log.remaining import remaining
from cueline.log.state import State, covered, ready
from cueline.log.strict_json import loads, object_of, value_of
from cueline.log.triggers import SILENCE

MOST_TRANSITIONS = 500
UNHEARD = "The user has said something, and waits for an answer. Answer it."
MOST_MISFITS = 2
"""Answers that do not fit their schema and are given back to the model."""


def call_model(host: Host) -> bool:
    """Asks for an answer, and appends what came of it.

    False where the turn is left to its wake-up.
    """
    agent = host.agent
    if agent is None:
        return fail(host, ModelError("agent_not_found", "The agent was deleted.", retryable=False))
    step, compacts = _step(host, agent), host.room is not None
    asked = ask(
        host,
        lambda window: _request(host, agent, step, window),
        shrink=host.shrinks or not compacts,
        plain=step.output is None,
    )
    if asked.failure:
        if getattr(asked.failure, "kind", "") == "context_limit_exceeded" and compacts:
            # Once with a summary, and where none can be made, once without the oldest turns.
            again, host.overfull = not host.shrinks, True
            host.shrinks = not (again and host.room and host.room.cut())
            host.overfull = not host.shrinks
            if again:
                return True
        return fail(host, asked.failure)
    if asked.outcome != "answered":
        return asked.outcome != "left"
    if host.call and host.call.spoken.calls:
        return _calls(host, step)
    if host.call and _silent(host.call):
        if host.work().said:
            return _give_back(host, UNHEARD)
        return _answer(host, agent, step)
    if problem := _misfit(host, step):
        return _give_back(host, f"Your answer does not fit its schema: {problem} Try again.")
    return _answer(host, agent, step)


def fail(host: Host, failure: CuelineError) -> bool:
    """Closes the turn with a failure; writes nothing where it is closed."""
    said = _said(host)
    text = _text(host) if host.call and host.call.purpose == "answer" else ""
    part, clock = host.part, host.ports.clock

    def ending(state: State, *, told: bool = True) -> tuple[Event, ...]:
        if not (mine := state.running(host.turn)):
            return ()
        code, why = getattr(failure, "kind", failure.code), failure.message
        if failure.retryable and (until := again_at(mine, clock.now(), clock.random())):
            return (*(said if told else ()), *postponed(state, mine, until, code, why))
        ended = TurnFailed(
            turn=host.turn,
            inputs=covered(state, mine),
            code=code,
            message=why,
            retryable=failure.retryable,
            text=text if told else "",
            part=part,
        )
        return (*(said if told else ()), ended, *ready(mine))

    try:
        host.append(ending)
    except TooLarge:
        host.append(lambda state: ending(state, told=False))
    return True


def _step(host: Host, agent: Agent) -> AgentStep:
    step = agent.step(host.state.step)
    if not host.aside:
        rounds = agent.max_iterations
        if rounds is None or host.work().rounds < rounds:
            return step
        # It has worked long enough, and has to answer.
        return step.model_copy(update={"allowed_skills": (), "allowed_tools": ()})
    # An aside only speaks, and changes nothing.
    nothing = {"output": None, "allowed_skills": (), "allowed_tools": (), "next_steps": ()}
    return step.model_copy(update={**nothing, "reentry_step": None})


def _request(host: Host, agent: Agent, step: AgentStep, window: int) -> ModelRequest:
    specs = allowed_specs(step, host.specs)
    asked = request(agent, step, host.events, specs, window, host.turn)
    return asked.saying(*host.misfits)


def _give_back(host: Host, problem: str) -> bool:
    """Has the model answer again, a number of times."""
    if len(host.misfits) >= MOST_MISFITS:
        why = f"The model did not answer as it was asked to: {problem}"
        return fail(host, TurnStopped("output_invalid", why[:500]))
    host.misfits.append(Said("user", problem))
    host.append_mine(*called(host, host.call))
    host.call = None
    return True


def _calls(host: Host, step: AgentStep) -> bool:
    calls = host.call.spoken.calls if host.call else []
    cap, made = host.caps.tool_calls, host.work().tool_calls
    if cap is not None and made + len(calls) > cap:
        why = f"The limit of {cap} tool calls in one turn is reached; the turn was ended."
        return fail(host, TurnStopped("limit_turn_tool_calls", why))
    text = _text(host)
    spoke = (_spoke(host, text),) if text else ()
    try:
        return store_calls(host, step, (*_said(host), *spoke), calls)
    except TooLarge:
        return _too_large(host)


def _answer(host: Host, agent: Agent, step: AgentStep) -> bool:
    text, schema = _text(host), step.output.name if step.output else ""
    here = agent.step_name(host.state.step)
    following = _next_step(host, agent, step, text)
    if following and host.work().transitions >= MOST_TRANSITIONS:
        why = f"The agent changed its step {MOST_TRANSITIONS} times in one turn; it was ended."
        return fail(host, TurnStopped("step_transition_limit_exceeded", why))
    said, markers = _said(host), host.call.spoken.markers if host.call else None
    matched = markers.ids(agent) if markers else ()
    work, part = host.work() if host.triggered else Work(), host.part

    def ending(state: State) -> tuple[Event, ...]:
        if not (mine := state.running(host.turn)):
            return ()
        if following:
            spoke = (_spoke(host, text, schema),) if text else ()
            changed = StepChanged(turn=host.turn, from_step=here, to_step=following)
            return (*said, *spoke, changed)
        told = ready(mine, matched)
        if _needless(state, work, text, aside=host.aside):
            return (*said, Finished(turn=host.turn, inputs=covered(state, mine)), *told)
        again = step.reentry_step if step.reentry_step != here else None
        answered = Answered(
            turn=host.turn,
            inputs=covered(state, mine),
            text=text,
            part=part,
            cut=bool(host.call and host.call.spoken.cut),
            schema_name=schema,
            step=again or "",
            agent=host.session.answers,
            follow_up=0 if host.aside else silence_after_answer(agent, host.session, state),
        )
        return (*said, answered, *told)

    try:
        if host.append(ending):
            host.call = None  # what it said is stored
            host.misfits.clear()
    except TooLarge:
        return _too_large(host)
    return True


def _spoke(host: Host, text: str, schema: str = "") -> Spoke:
    agent = host.session.answers
    return Spoke(turn=host.turn, text=text, part=host.part, schema_name=schema, agent=agent)


def _silent(call: Call) -> bool:
    """The model says that there is nothing to say; it has been told that it may."""
    spoken = call.spoken
    if spoken.markers:
        return spoken.markers.silent and not "".join(spoken.text).strip()
    if not call.plain and "".join(spoken.text).strip() == SILENCE:
        spoken.text.clear()
        return True
    return False


def _needless(state: State, work: Work, text: str, *, aside: bool) -> bool:
    """Nobody waits for words, and there are none; or time is bought for work that is done."""
    goes_on = ("", state.open.id) if state.open else ()
    if aside and any(t.buys_time and t.during not in goes_on for t in work.triggers):
        return True
    return bool(work.triggers) and not work.said and not text.strip()


def _too_large(host: Host) -> bool:
    if host.call:
        host.call.spoken = Spoken(usage=host.call.usage()[0])
    why = "The answer is too large to be kept."
    return fail(host, ModelError("answer_too_large", why, retryable=False))


def _next_step(host: Host, agent: Agent, step: AgentStep, text: str) -> str | None:
    """The first of the next steps whose condition holds."""
    if not step.next_steps:
        return None
    from cueline.engine.conditions import holds, parse  # most agents have none

    context = _context(host, agent, value_of(text) if step.output else {"text": text})
    for following in step.next_steps:
        if following.condition is None or holds(parse(following.condition), context):
            return following.step_name
    return None


def _context(host: Host, agent: Agent, output: Any) -> dict[str, Any]:
    """What the conditions of next steps may look at, in the shape that their door documents."""
    outputs = (r.event for r in remaining(host.events) if isinstance(r.event, ToolOutput))
    latest = {o.configuration or o.tool: _fields(o.output) for o in outputs if not o.refused}
    session, now = host.session, host.ports.clock.now() / 1000
    return {
        "agent": agent.model_dump(include={"name", "key", "description", "metadata"}),
        "session": {
            "key": session.session_key,
            "name": session.name,
            "description": session.description,
            "metadata": dict(session.metadata),
        },
        "currentDate": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "tools": {name: {"outputs": {"latest": output}} for name, output in latest.items()},
        "output": output,
    }


def _misfit(host: Host, step: AgentStep) -> str | None:
    """Why a structured answer does not fit; None for one that does, and for plain text."""
    if not step.output:
        return None
    try:
        value = loads(_text(host))
    except ValueError:
        return "it is no JSON."
    return host.ports.toolbox.problem(step.output.json_schema, value)


def _fields(output: str) -> dict[str, Any]:
    """An object in any case: what is none stands in it under `output`."""
    found = object_of(output)
    return {"output": output} if found is None else found


def _text(host: Host) -> str:
    return "".join(host.call.spoken.text) if host.call else ""


def _said(host: Host) -> tuple[Event, ...]:
    """What the model's call took, and what it thought."""
    if not host.call:
        return ()
    answers = host.call.purpose == "answer"
    thought = "".join(host.call.spoken.thinking) if answers else ""
    more = (Thinking(turn=host.turn, text=thought),) if thought else ()
    return (*called(host, host.call), *more)
