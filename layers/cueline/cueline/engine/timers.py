"""What is to be said at a time: armed for every answer that may be followed up, and for scheduled
triggers; once the time has come, the log decides what is still to be said.

A timer is a wake-up that names what it is for. It may come late, twice, or not at all from one who
died after his write: whoever finds the session idle next arms it again.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cueline.engine.accept import beside
from cueline.engine.agent import Agent
from cueline.engine.append import IdempotencyKey, KeyTakenError, Writer
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.posting import put
from cueline.engine.wake import LONGEST_DELAY
from cueline.engine.window import event_at
from cueline.errors import AgentNotFound, Conflict
from cueline.log.events import (
    Event,
    Input,
    InputsFailed,
    Recorded,
    TriggerScheduled,
    TurnReady,
)
from cueline.log.segment import GUEST, Head, Log, Session, Tail
from cueline.log.state import MAX_SCHEDULED, State, Waiting, withdrawal
from cueline.log.triggers import FollowUp, Guideline, Trigger

IN_CASE_SECONDS = 60
EARLY_MS = 1_000
"""By which a timer may come early."""
RefusalCode = Literal["disabled", "customer_not_found", "manual_mode", "not_worked_off"]
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
        ports.schedules.at(_name(wake_up, due), due, wake_up)


def _name(wake_up: WakeUp, due: int) -> str:
    """After session, offset and time, so that who arms twice arms once; but one that has come, and
    could not be followed, is armed for a later time again."""
    incarnation, offset = wake_up.triggers or (0, 0)
    digest = hashlib.sha256(wake_up.session.encode()).hexdigest()[:24]
    return f"{digest}-{incarnation:x}-{offset}-{due // 1000:x}"


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

    # For the case that this process ends before the trigger is armed.
    in_case = WakeUp(writer.session, triggers=(tail.head.incarnation, tail.head.at))
    ports.wake_ups.send(in_case, delay=IN_CASE_SECONDS)
    found = put(ports, writer, tail, build, key)
    event = found.event
    if isinstance(event, TriggerScheduled):
        wake_up = WakeUp(writer.session, triggers=(tail.head.incarnation, found.offset))
        wake_at(ports, wake_up, event.due)
    return found


# --- firing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timer:
    """What a wake-up has come for: a scheduled trigger, or the answer at `offset`."""

    offset: int
    trace: str
    scheduled: TriggerScheduled | None = None
    rungs: Sequence[FollowUp] = ()
    refusal: tuple[RefusalCode, str] | None = None
    """Why a scheduled trigger cannot be followed."""

    def events(self, state: State, at: int, now: int) -> tuple[Event, ...]:
        """What it puts at offset `at`, by the state there; nothing where that is over.

        `now` is in ms: what is held back still is nobody's answer.
        """
        if self.scheduled:
            return (
                self._due(self.scheduled, state, at, now) if self.offset in state.scheduled else ()
            )
        quiet, rungs = state.quiet, self.rungs
        if not quiet or quiet.offset != self.offset or state.followed >= len(rungs):
            return ()
        if state.turns or any(i.asks and not i.held(now) for i in state.pending):
            return ()
        guidelines = rungs[state.followed].guidelines or CHECK_IN
        trigger = Trigger(guidelines=guidelines, follows=self.offset)
        return (Input(source="system", trigger=trigger, caller=state.payer, trace=self.trace),)

    def _due(self, event: TriggerScheduled, state: State, at: int, now: int) -> tuple[Event, ...]:
        trigger = event.trigger.model_copy(update={"scheduled": self.offset})
        said = Input(source="system", trigger=trigger, caller=event.caller, trace=self.trace)
        refusal = self.refusal
        if state.mode == "manual" and trigger.kind == "plain":
            refusal = refusal or ("manual_mode", "People answer in this session, not the agent.")
        if not refusal:
            return self._aside(said, state, at, now) if trigger.buys_time else (said,)
        code, message = refusal
        return (
            said.model_copy(update={"policy": "silent"}),
            InputsFailed(inputs=(at,), code=code, message=message, trace=self.trace),
            TurnReady(trace=self.trace),
        )

    def _aside(self, said: Input, state: State, at: int, now: int) -> tuple[Event, ...]:
        """Whoever plans to buy time buys it for what is under way by then, or says nothing."""
        said = beside(said.model_copy(update={"policy": "aside"}), state, now)
        late = () if said.policy == "aside" else withdrawal((Waiting.of(at, said),))
        return (said, *late)


def timer_of(ports: Ports, tail: Tail, wake_up: WakeUp) -> Timer | None:
    """None where nothing is to be said any more, or not yet: then it is armed again."""
    incarnation, offset = wake_up.triggers or (0, -1)
    session, state = tail.session, tail.head.state
    if not session or incarnation != tail.head.incarnation:
        return None
    trace = ports.clock.id()
    if offset in state.scheduled:
        scheduled = scheduled_at(ports.log, session.id, incarnation, offset)
        if scheduled and scheduled.due - ports.clock.now() > EARLY_MS:
            wake_at(ports, wake_up, scheduled.due)
            return None
        refusal = _refusal(session, _agent(ports, session), ports)
        return Timer(offset, trace, scheduled, refusal=refusal) if scheduled else None
    if not (state.quiet and state.quiet.offset == offset):
        return None
    agent = _agent(ports, session)
    if not agent or _refusal(session, agent, ports):
        return None
    return Timer(offset, trace, rungs=ladder(agent, session))


def scheduled_at(log: Log, session: str, incarnation: int, offset: int) -> TriggerScheduled | None:
    found = event_at(log, session, incarnation, offset)
    return found.event if found and isinstance(found.event, TriggerScheduled) else None


def _agent(ports: Ports, session: Session) -> Agent | None:
    try:
        return ports.agents.get(session.answering_agent)
    except AgentNotFound:
        return None  # its turn tells


def _refusal(session: Session, agent: Agent | None, ports: Ports) -> tuple[RefusalCode, str] | None:
    if not session.enabled:
        return "disabled", "The session is disabled."
    if agent and not agent.enabled:
        return "disabled", f"The agent {agent.key!r} is disabled."
    if session.customer != GUEST and not ports.customers.get(session.customer):
        return "customer_not_found", f"The customer {session.customer!r} does not exist any more."
    return None
