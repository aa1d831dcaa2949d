"""Posting an event: what is said and reported, and what has the agent speak."""

import logging
from dataclasses import dataclass
from typing import Any

from cueline.doors.access import payer_of
from cueline.doors.idempotency import digest, idempotency_key
from cueline.doors.triggered_responses.calls import Call
from cueline.doors.triggered_responses.event_wire import PostEvent, PostQuery
from cueline.doors.triggered_responses.first_message import first_message
from cueline.doors.triggered_responses.posted import (
    check,
    due,
    to_input,
    to_posted,
    to_trigger,
)
from cueline.doors.triggered_responses.sessions import find
from cueline.doors.triggered_responses.shown import ON_BEHALF, Fields
from cueline.doors.triggered_responses.view import View
from cueline.doors.triggered_responses.wire import parse, parse_query
from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.posting import post, refuse
from cueline.engine.timers import schedule
from cueline.engine.window import event_at
from cueline.errors import AgentNotFound, EventNotFound, Forbidden, InvalidRequest
from cueline.log.events import Recorded, TriggerScheduled, event_id
from cueline.log.segment import GUEST, Session, Tail
from cueline.log.triggers import Participant

logger = logging.getLogger(__name__)

WAIT = 20.0
"""Seconds from the request on in which a guided trigger's message may come with its answer."""


@dataclass(frozen=True, slots=True)
class _Post:
    """A request that has been checked, and the session that it is for."""

    call: Call
    posted: PostEvent
    body: dict[str, Any]
    session: Session
    tail: Tail
    view: View
    writer: Writer
    key: IdempotencyKey | None

    @property
    def payer(self) -> str:
        return payer_of(self.call.caller)

    @property
    def digest(self) -> str:
        """Whoever sends a key says by it what is a repeat."""
        return "" if self.key else digest(self.call.caller, self.session.id, self.body)


def post_event(call: Call, wait: float = WAIT) -> Fields:
    """Takes the event in; the answer is the event, or for a guided trigger the agent's message.

    Raises whatever the caller may see; but nothing that says "try again" once it is taken in,
    unless trying again does nothing twice.
    """
    until = call.ports.clock.monotonic() + wait
    if (asked := parse_query(PostQuery, call.query).moderation) != "none":
        raise InvalidRequest(f"The moderation {asked!r} is not built; there is only `none`.")
    body = call.json
    posted = parse(PostEvent, body)
    check(posted)
    given = idempotency_key(call.headers)
    key = IdempotencyKey(digest(call.caller, given), digest(body)) if given else None
    session, tail = find(call.ports, *call.session)
    if not session.enabled:
        raise Forbidden(f"The session {session.session_key!r} is disabled; enable it to go on.")
    view = View(call.ports, session, tail.head.state)
    writer = Writer(call.ports.log, call.ports.clock, session.id, call.trace_id)
    one = _Post(call, posted, body, session, tail, view, writer, key)
    shown = view.shown(_taken_in(one, until))
    call.ports.sessions.touch(session, call.ports.clock.now())
    if not shown:
        raise AssertionError("what is posted is shown")
    return shown


def _taken_in(one: _Post, until: float) -> Recorded:
    """What to answer with."""
    match one.posted.kind, one.posted.source:
        case "message", "customer":
            return _say(one)
        case "message", "ai_agent":
            return _trigger(one, until)
    ports, posted = one.call.ports, one.posted
    on_behalf = posted.kind == "message" and posted.source == ON_BEHALF
    agent = _agent(one) if on_behalf else None
    return post(ports, one.writer, one.tail, to_posted(posted, agent), one.key)


def _say(one: _Post) -> Recorded:
    """Of an agent that is not there any more the turn tells; people can answer without it."""
    try:
        _agent(one)
    except AgentNotFound:
        logger.info("A message for an agent that is gone")
    accepted = _accept(one, _customer(one))
    return accepted if isinstance(accepted, Recorded) else _recorded(one, accepted)


def _trigger(one: _Post, until: float) -> Recorded:
    ports, posted = one.call.ports, one.posted
    _agent(one)
    if posted.at or posted.delay_seconds:
        known = one.writer.known(one.tail.head.incarnation, one.key)
        # Of what was taken in already the time may have come.
        at = due(posted, ports.clock.now()) if known is None else None
        return _schedule(one, at or ports.clock.now())
    accepted = _accept(one, _customer(one))
    if isinstance(accepted, Recorded):
        return accepted
    told = _recorded(one, accepted)
    return (
        first_message(ports, one.session, accepted, until) if posted.guidelines else None
    ) or told


def _accept(one: _Post, customer: Participant | None) -> Accepted | Repeated | Recorded:
    """Recorded is what nobody works on: there is no customer who could be answered."""
    trace = one.writer.trace_id
    who = customer or Participant(id=one.session.customer, display_name=one.session.customer)
    asking = to_input(one.posted, who, one.payer, one.digest, trace)
    # A client repeats a trigger whose answer it has lost, but no message: what failed of that is
    # told later, to people, who may well say the same again.
    arrival = Arrival(asking, retries=asking.trigger is not None, key=one.key)
    ports, manual = one.call.ports, one.tail.head.state.mode == "manual"
    if not (customer or manual):
        why = (
            f"The customer {one.session.customer!r} of this session does not exist (any more). "
            "Create it, or give the session another customer."
        )
        return refuse(ports, one.writer, one.tail, arrival, why)
    return accept(ports, one.writer, one.tail, arrival, one.call.lease, hosts=False)


def _recorded(one: _Post, accepted: Accepted | Repeated) -> Recorded:
    """The accepted event in its place."""
    session, offset = one.session, accepted.offset
    if isinstance(accepted, Accepted):
        return accepted.segment.recorded()[offset - accepted.segment.at]
    if found := event_at(one.call.ports.log, session.id, session.incarnation, offset):
        return found
    raise EventNotFound(event_id(session.id, session.incarnation, offset))


def _schedule(one: _Post, due: int) -> Recorded:
    ports = one.call.ports
    scheduled = TriggerScheduled(
        due=due,
        trigger=to_trigger(one.posted),
        caller=one.payer,
        digest=one.digest,
        metadata=one.posted.metadata or {},
    )
    return schedule(ports, one.writer, one.tail, scheduled, one.key)


# --- who speaks ----------------------------------------------------------------------------------


def _agent(one: _Post) -> Participant:
    """Raises AgentNotFound, and Forbidden where it is disabled."""
    key = one.session.answering_agent
    agent = one.call.ports.agents.get(key)
    if not agent.enabled:
        raise Forbidden(f"The agent {key!r} is disabled; enable it to talk to it.")
    one.view.agent_names[key] = agent.name
    return Participant(id=key, display_name=agent.name)


def _customer(one: _Post) -> Participant | None:
    """None where the session's customer is not there."""
    customer = one.session.customer
    if customer == GUEST:
        return Participant(id=GUEST, display_name=one.view.customer_name)
    known = one.call.ports.customers.get(customer)
    return Participant(id=customer, display_name=known.name) if known else None
