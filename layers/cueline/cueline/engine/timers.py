"""What is to be said at a time: armed for every answer that may be followed up, and for scheduled
triggers; once the time has come, the log decides what is still to be said.

A timer is a wake-up that names what it is for. It may come late, twice, or not at all from one who
died after his write: whoever finds the session idle next arms it again.
"""

import hashlib
import math
from collections.abc import Sequence

from cueline.engine.agent import Agent
from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.posting import put
from cueline.errors import Conflict
from cueline.log.events import Event, Input, Recorded, TriggerScheduled
from cueline.log.segment import Head, Session, Tail
from cueline.log.state import MAX_SCHEDULED, State
from cueline.log.triggers import FollowUp, Guideline, Trigger

LONGEST_DELAY = 900
"""Seconds that a queue holds a message back; what is farther away is a schedule's."""
CHECK_IN = (Guideline(action="Ask whether the customer is still there.", rationale="follow_up"),)
"""Where a rung of the ladder says nothing else."""


# --- what a policy says --------------------------------------------------------------------------


def ladder(agent: Agent | None, session: Session) -> Sequence[FollowUp]:
    if session.follow_ups is not None:
        return session.follow_ups
    return agent.follow_ups if agent else ()


def silence_after_answer(agent: Agent | None, session: Session, state: State) -> int:
    """Seconds of the customer's silence after which an answer is followed up; 0 is never."""
    rungs = ladder(agent, session)
    if state.mode == "manual" or state.followed >= len(rungs):
        return 0
    return rungs[state.followed].after_seconds


# --- arming --------------------------------------------------------------------------------------


def arm_follow_up(ports: Ports, session: str, head: Head) -> None:
    """Sends the timer of the answer that the session is quiet after, if it is; else does nothing.

    Raises Unavailable.
    """
    quiet = head.state.quiet
    if quiet and not head.state.turns:
        wake_up = WakeUp(session, triggers=(head.incarnation, quiet.offset))
        wake_at(ports, wake_up, head.written_at + quiet.seconds * 1000)


def wake_at(ports: Ports, wake_up: WakeUp, due: int) -> None:
    """Sends it when `due` (ms since 1970) has come. Raises Unavailable."""
    delay = max(0, math.ceil((due - ports.clock.now()) / 1000))
    if delay <= LONGEST_DELAY:
        ports.wake_ups.send(wake_up, delay)
    else:
        ports.schedules.at(_name(wake_up), due, wake_up)


def _name(wake_up: WakeUp) -> str:
    """After session and offset, so that who arms twice arms once."""
    incarnation, offset = wake_up.triggers or (0, 0)
    digest = hashlib.sha256(wake_up.session.encode()).hexdigest()[:32]
    return f"{digest}-{incarnation:x}-{offset}"


def schedule(
    ports: Ports,
    writer: Writer,
    tail: Tail,
    scheduled: TriggerScheduled,
    key: IdempotencyKey | None = None,
) -> Recorded:
    """Takes in a trigger that is to come at its time; armed when this returns.

    The same from the same caller, as long as it waits, is a repeat. Raises Conflict where too many
    wait, IdempotencyKeyReused, SessionNotFound, Unavailable.
    """

    def build(state: State, _: int) -> Sequence[Event]:
        for offset, digest in state.scheduled.items():
            if digest and digest == scheduled.digest:
                raise KeyTakenError(offset)
        if len(state.scheduled) >= MAX_SCHEDULED:
            raise Conflict(f"{MAX_SCHEDULED} triggers wait for their time in this session already.")
        return (scheduled,)

    found = put(ports, writer, tail, build, key)
    event = found.event
    if isinstance(event, TriggerScheduled):
        wake_up = WakeUp(writer.session, triggers=(tail.head.incarnation, found.offset))
        wake_at(ports, wake_up, event.due)
    return found


# --- firing --------------------------------------------------------------------------------------


def triggered(
    state: State,
    wake_up: WakeUp,
    scheduled: Recorded | None,
    rungs: Sequence[FollowUp],
    trace: str,
) -> Input | None:
    """What the timer has the agent say, by the state as it is now; None where that is nothing.

    `scheduled` is the event that it names, where it is no answer.
    """
    _, offset = wake_up.triggers or (0, -1)
    if offset in state.scheduled and scheduled:
        event = scheduled.event
        if not isinstance(event, TriggerScheduled):
            return None
        trigger = event.trigger.model_copy(update={"scheduled": offset})
        policy = "silent" if state.mode == "manual" and not trigger.guidelines else "enqueue"
        return Input(
            policy=policy, source="system", trigger=trigger, caller=event.caller, trace=trace
        )
    if not state.quiet or state.quiet.offset != offset or state.followed >= len(rungs):
        return None
    if state.turns or any(waiting.asks for waiting in state.pending):
        return None
    trigger = Trigger(guidelines=rungs[state.followed].guidelines or CHECK_IN, follows=offset)
    return Input(source="system", trigger=trigger, caller=state.payer, trace=trace)
