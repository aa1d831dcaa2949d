"""Running a turn: performs what `next_step` says, appends what it produced, and asks again."""

import logging
from dataclasses import replace

from cueline.engine.agent import Agent
from cueline.engine.answering import call_model, fail
from cueline.engine.append import LIFETIME
from cueline.engine.asking import called
from cueline.engine.doing import compact, finish, load_skills, take_inputs
from cueline.engine.host import SHORTEST_CALL, Host
from cueline.engine.limits import Limits
from cueline.engine.steps import (
    CallModel,
    Compact,
    Done,
    Finish,
    LoadSkills,
    RunTools,
    Step,
    Stop,
    Suspend,
    TakeInputs,
    TakeUpCalls,
)
from cueline.engine.telling import listened
from cueline.engine.toolcalls import run_tools, suspend, take_up
from cueline.errors import CuelineError, TurnStopped, Unavailable, unexpected
from cueline.log.events import Event, PartlyAnswered, TurnHandedOver, TurnInterrupted
from cueline.log.state import State

__all__ = ["Host", "Limits", "run"]

logger = logging.getLogger(__name__)


def run(host: Host, agent: Agent | None) -> None:
    """To its end, or until the log says that it is closed.

    Where more can begin afterwards, who called this wakes somebody up for it.
    """
    host.agent = host.limits.configured(agent)
    turn = host.state.running(host.turn)
    if turn and turn.trace:
        host.writer = replace(host.writer, trace_id=turn.trace)
    with host.at_work():
        roomy = host.deadline - host.ports.clock.monotonic() >= SHORTEST_CALL
        try:
            host.read_window()
        except Unavailable as error:
            logger.warning("A turn is handed over, unread", extra=unexpected(error))
            _hand_over(host)
            return
        listened(host)
        try:
            _work(host, roomy=roomy)
        finally:
            if host.speech:
                host.speech.ends(cut=host.cut_off)


def _work(host: Host, *, roomy: bool) -> None:
    while not isinstance(step := host.next_step(), Done):
        if host.stood >= LIFETIME:
            return  # what it would write to may have been removed meanwhile
        if host.progress and roomy and host.in_a_hurry(step):
            _hand_over(host)
        elif not _perform(host, step):
            return
        while host.later:
            host.later.pop()()
    _tell_what_was_said(host)


def _perform(host: Host, step: Step) -> bool:
    """False where the turn is left to its wake-up."""
    match step:
        case TakeInputs():
            return take_inputs(host)
        case TakeUpCalls():
            return take_up(host, step.calls)
        case RunTools():
            return run_tools(host, step.calls)
        case Suspend():
            return suspend(host, step.calls)
        case LoadSkills():
            return load_skills(host, step.skills)
        case Compact():
            return compact(host, step.asked)
        case CallModel():
            return call_model(host)
        case Finish():
            return finish(host)
        case Stop():
            host.call = None
            return fail(host, TurnStopped(step.code, step.message))
        case Done():
            return True


def _hand_over(host: Host) -> None:
    unstarted = tuple(sorted(host.mine))
    host.append_mine(TurnHandedOver(turn=host.turn, unstarted=unstarted, ms=host.lap()))


def _interrupted(host: Host) -> bool:
    events = (r.event for r in host.reader.passed)
    return any(isinstance(e, TurnInterrupted) and e.turn == host.turn for e in events)


def _removed(host: Host, state: State) -> bool:
    """Whether somebody has removed the turn meanwhile, with all that it said."""
    began = (r for r in host.events if getattr(r.event, "turn", "") == host.turn)
    return any(state.is_removed(recorded.offset) for recorded in began)


def _tell_what_was_said(host: Host) -> None:
    """After the end: who closed the turn could not know it, nor what it took."""
    call = host.call
    tells = call and call.purpose == "answer" and call.plain and _interrupted(host)
    text = "".join(call.spoken.text) if call and tells else ""
    said = (PartlyAnswered(turn=host.turn, text=text, part=host.part),) if text else ()
    told = (*called(host, call), *said)

    def telling(state: State) -> tuple[Event, ...]:
        known = [r.event for r in host.reader.passed if r.event in said]
        if state.deleted or known:
            return ()
        return told[: -len(said)] if said and _removed(host, state) else told

    try:
        host.append(telling)
    except CuelineError as error:
        logger.warning("What an interrupted turn had said is lost", extra=unexpected(error))
