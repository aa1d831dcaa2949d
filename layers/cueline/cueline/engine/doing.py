"""Steps of a turn in which nobody is asked for an answer: taking in, summing up, ending."""

import logging
from collections.abc import Sequence
from itertools import chain

from cueline.engine import compaction
from cueline.engine.answering import fail
from cueline.engine.asking import ask, called
from cueline.engine.call import CompactionStarted
from cueline.engine.compaction import Cut, summary_request, transcript
from cueline.engine.host import Host
from cueline.engine.room import left_out
from cueline.engine.wake import soon
from cueline.engine.window import read_pages
from cueline.errors import CuelineError, TurnStopped, Unavailable
from cueline.log.events import (
    Compacted,
    CompactionAsked,
    Event,
    Finished,
    InputsTaken,
    Recorded,
    SkillLoaded,
)
from cueline.log.state import State, covered, offsets, ready, steering

logger = logging.getLogger(__name__)

LARGEST_SUMMARY = 40_000
"""Characters; a model that writes more has not summed up."""


def take_inputs(host: Host) -> bool:
    """Steering inputs join the turn."""

    def build(state: State) -> tuple[Event, ...]:
        inputs = offsets(steering(state, host.turn, soon(host.ports.clock)))
        return (InputsTaken(turn=host.turn, inputs=inputs),) if inputs else ()

    host.append(build)
    return True


def load_skills(host: Host, skills: tuple[str, ...]) -> bool:
    """One that the agent does not have any more loads as a note that says so."""
    known = host.agent.skills if host.agent else {}
    missing = "This skill does not exist any more."
    loaded = [
        SkillLoaded(
            turn=host.turn,
            skill=name,
            content=known[name].content if name in known else missing,
        )
        for name in skills
    ]
    for one in loaded:  # together they may be more than a segment holds
        host.append_mine(one)
    return True


def finish(host: Host) -> bool:
    """Ends the turn without words."""

    def build(state: State) -> tuple[Event, ...]:
        mine = state.running(host.turn)
        if not mine:
            return ()
        return (Finished(turn=host.turn, inputs=covered(state, mine)), *ready(mine))

    host.append(build)
    return True


def _read_back(host: Host) -> None:
    """Lets the window reach back to all that no summary stands for, and to all that ends in it or
    later: nobody may sum up unseen what the summary stands for, or what goes on behind it.

    Raises Unavailable.
    """
    log, session = host.ports.log, host.writer.session
    suspended = (offset for inputs in host.state.suspended.values() for offset in inputs)
    goes_on = {*offsets(host.state.unfinished), *suspended}
    if left_out(host.events, host.state.needed):
        goes_on.add(host.state.needed)
        host.overfull = True
    more: Sequence[Recorded] = host.events
    while more:
        goes_on.update(o for r in more for o in getattr(r.event, "inputs", ()))
        incarnation, first = host.reader.head.incarnation, host.events[0].offset
        pages = read_pages(log, session, incarnation, min(goes_on, default=first), first)
        more = [*chain.from_iterable(pages)]
        host.reach_back(more)


def compact(host: Host, asked: CompactionAsked | None) -> bool:
    """Has the oldest turns summed up. Where that fails nothing changes, and a turn that was not
    asked for it goes on without."""
    agent = host.agent
    try:
        _read_back(host)
    except Unavailable as error:
        return _given_up(host, asked, error)
    cut = _cut(host, asked)
    if not (agent and cut and transcript(agent, cut.past)):
        why = "Nothing that has ended can be summed up yet."
        return _given_up(host, asked, TurnStopped("nothing_to_compact", why))
    host.emit(CompactionStarted())
    past, message = cut.past, asked.message if asked else ""
    outcome = ask(
        host,
        lambda window: summary_request(agent, past, message, window),
        shrink=True,
        plain=False,
        purpose="compaction",
    )
    if outcome.failure:
        return _given_up(host, asked, outcome.failure)
    if outcome.outcome != "answered":
        return outcome.outcome != "left"
    host.overfull = not cut.whole
    return _store(host, asked, cut)


def _cut(host: Host, asked: CompactionAsked | None) -> Cut | None:
    """What is to be summed up; who asks for it gets it, however little room that makes."""
    most = host.limits.window_bytes
    if not asked:
        return host.room.cut(most) if host.room else None
    if asked.up_to is not None:
        return compaction.cut(host.events, 0, asked.up_to, most)
    keep = host.agent.compaction.keep_recent_inputs if host.agent else 0
    return compaction.cut(host.events, keep, most=most)


def _store(host: Host, asked: CompactionAsked | None, cut: Cut) -> bool:
    summary = "".join(host.call.spoken.text)[:LARGEST_SUMMARY] if host.call else ""
    if not summary.strip():
        why = "The model wrote no summary."
        return _given_up(host, asked, TurnStopped("compaction_failed", why))
    compacted = Compacted(
        turn=host.turn,
        up_to=cut.up_to,
        kept=cut.kept,
        summary=summary,
        turns=cut.turns,
        events=cut.events,
    )
    host.append_mine(*called(host, host.call), compacted)
    host.call = None
    return True


def _given_up(host: Host, asked: CompactionAsked | None, failure: CuelineError) -> bool:
    host.compacts, host.overfull, host.failures = False, False, 0
    if not asked or host.work().answers:
        logger.warning("A compaction failed; the turn goes on", extra={"code": failure.code})
        if events := called(host, host.call):
            host.append_mine(*events)
        host.call = None
        return True
    if not isinstance(failure, TurnStopped):
        why = f"The conversation was not compacted: {failure.message}"
        failure = TurnStopped("compaction_failed", why)
    return fail(host, failure)
