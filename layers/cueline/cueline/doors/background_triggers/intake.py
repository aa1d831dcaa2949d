"""An event that somebody may send: into a session's log, once, and its run written down.

For events from everywhere: HTTP, a queue, the bus, schedules, and by hand. What is answered is in
the log, and somebody will look at it. Where this stops half way, or its answer is lost, a sender
who names the delivery by a key may send it again until it is answered; one who names none, and
sends again, sends another event.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from cueline.doors.background_triggers.errors import AgentGone, NoAgent
from cueline.doors.background_triggers.event_body import Contact, Delivered
from cueline.doors.idempotency import digest
from cueline.engine import sessions
from cueline.engine.accept import Accepted, Arrival, Repeated, accept
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.background import Background, BackgroundTrigger, Kept, Run
from cueline.engine.ports import Customer, Ports
from cueline.engine.window import event_at
from cueline.errors import (
    AgentNotFound,
    Conflict,
    Forbidden,
    SessionExists,
    SessionNotFound,
    TurnRunning,
    Unavailable,
)
from cueline.log.events import Input
from cueline.log.segment import GUEST, NOWHERE, Session, Tail
from cueline.log.triggers import Participant

DAY = 86_400_000
"""Milliseconds that a session is gone on with where its trigger does not say how long."""
TRIES = 5
"""How often sessions may be deleted just before they are told something."""
REFUSING = ("reject", "skip")
SCHEDULES = "schedule."
"""With this begin the ids of agents' own schedules, and those of no other triggers."""
SESSION_METADATA = "session_metadata"
"""The part of such a one's meta that its sessions get as their metadata."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is answered."""

    run: Run | None
    """None where nothing comes of the event."""
    status: Literal["queued", "skipped"]
    conversation: str
    """The id of its session."""
    repeated: bool = False
    """It had been taken in before."""


def take(
    ports: Ports,
    background: Background,
    trigger: BackgroundTrigger,
    event: Delivered,
    lease: int,
    trace_id: str,
) -> Taken:
    """Its sender is known, and may send it.

    Raises Conflict where the trigger is paused, has no agent (any more), or refuses events while a
    turn is open; IdempotencyKeyReused, ContentTooLarge, TooManyPending, Forbidden, Unavailable.
    """
    if trigger.paused and not event.key:
        raise _paused(trigger)
    if not trigger.agent_key:
        raise NoAgent("This trigger has no agent yet; give it a `botId`.")
    intake = _Intake(ports, background, trigger, event, event.texts(trigger.text), lease, trace_id)
    for _ in range(TRIES):
        try:
            return intake.taken()
        except SessionNotFound:
            continue  # it was deleted under our hands
    raise Unavailable("The sessions of this trigger are being deleted; try again.")


def run_of(trigger: str, session: str, incarnation: int, offset: int, written_at: int) -> Run:
    """The run of the input at this place; whoever says it again says the same."""
    place = hashlib.sha256(f"{session}.{incarnation}".encode()).hexdigest()[:8]
    name = f"run_{written_at:011x}{place}{offset:x}"
    return Run(trigger, name, session, incarnation, offset, created_at=written_at)


@dataclass(frozen=True, slots=True)
class _Intake:
    ports: Ports
    background: Background
    trigger: BackgroundTrigger
    event: Delivered
    texts: tuple[str, ...]
    lease: int
    trace_id: str

    def taken(self) -> Taken:
        """Raises SessionNotFound where the session ends at the same time."""
        place, found = self._place()
        tail = found or self.ports.log.tail(place)
        if _is_deleted(tail):
            # Only a repeat comes here, and what became of the event went with its session.
            return Taken(None, "skipped", place, repeated=True)
        session = tail.live(self.ports.clock.now())
        try:
            self._check_open(session, place)
        except (Conflict, Forbidden):
            # What has been taken in is answered as it was, whatever its trigger takes by now.
            if not (session and self._is_known(session, tail)):
                raise
        if not session:
            session = self._made(place)
            tail = self.ports.log.tail(place)
        return self._told(session, tail)

    # --- which session ---------------------------------------------------------------------------

    def _place(self) -> tuple[str, Tail | None]:
        """The id of the session that is told, and its tail, where that has been read already.

        A delivery is told to one session only, whatever becomes of that: so its repeat finds it,
        though the trigger may go on with another one, or with another agent, by then.
        """
        place, tail = self._kept()
        if not self.event.key:
            return place, tail
        event, now = self.event, self.ports.clock.now()
        deliveries = self.background.deliveries
        first = deliveries.claim(self.trigger.id, event.key, event.digest, place, now)
        return first, tail if first == place else None

    def _kept(self) -> tuple[str, Tail | None]:
        """The session that is gone on with; a new one, not made yet, where there is none."""
        clock, trigger = self.ports.clock, self.trigger
        duration = trigger.session_duration
        seed = self.event.session or self.event.contact.key
        if duration == 0 or not seed:
            return f"{trigger.agent_key}.{clock.id()}", None
        lasts = DAY if duration is None else duration
        over = ""
        for _ in range(TRIES):
            now = clock.now()
            new = Kept(trigger.id, digest("session", seed), clock.id(), now + lasts)
            key = self.background.kept.claim(new, now, over).session_key
            place = f"{trigger.agent_key}.{key}"
            tail = self.ports.log.tail(place)
            if not _is_deleted(tail):
                return place, tail
            over = key
        raise SessionNotFound(seed)

    def _made(self, place: str) -> Session:
        """By this event, or by another one that comes at the same time.

        Raises Conflict where the agent goes meanwhile.
        """
        trigger, contact = self.trigger, self.event.contact
        agent, _, key = place.partition(".")
        new = Session(
            agent_key=agent,
            session_key=key,
            incarnation=0,
            name=trigger.name,
            created_at=0,
            description=trigger.description or None,
            metadata=_metadata(trigger),
            customer=self._customer(contact) if contact.key else GUEST,
        )
        try:
            return sessions.create(self.ports, new, self.trace_id)
        except SessionExists:
            return sessions.find(self.ports, agent, key)[0]
        except AgentNotFound:
            raise _no_agent(agent) from None

    def _check_open(self, session: Session | None, place: str) -> None:
        """Raises Conflict, Forbidden."""
        if self.trigger.paused:
            raise _paused(self.trigger)
        key = session.answering_agent if session else place.partition(".")[0]
        try:
            agent = self.ports.agents.get(key)
        except AgentNotFound:
            raise _no_agent(key) from None
        if not agent.enabled:
            raise Forbidden(f"The agent {key!r} is disabled; enable it to go on.")
        if session and not session.enabled:
            raise Forbidden(f"The session {session.id!r} is disabled; enable it to go on.")

    def _customer(self, contact: Contact) -> str:
        """It is there before its session is: of many who make it one does, and all are content."""
        customers = self.ports.customers
        if not customers.get(contact.fingerprint):
            told = {"email": contact.email, "phone": contact.phone}
            known = {name: value for name, value in told.items() if value}
            name, now = contact.name or contact.key, self.ports.clock.now()
            customers.create(Customer(contact.fingerprint, name, now, known))
        return contact.fingerprint

    # --- what it is told -------------------------------------------------------------------------

    @property
    def _key(self) -> IdempotencyKey | None:
        return IdempotencyKey(self.event.key, self.event.digest) if self.event.key else None

    def _writer(self, session: Session) -> Writer:
        return Writer(self.ports.log, self.ports.clock, session.id, self.trace_id)

    def _is_known(self, session: Session, tail: Tail) -> bool:
        return self._writer(session).known(tail.head.incarnation, self._key) is not None

    def _told(self, session: Session, tail: Tail) -> Taken:
        key, writer = self._key, self._writer(session)
        refusing = self.trigger.policy in REFUSING
        try:
            arrival = Arrival(self._input(), queues=not refusing, alone=refusing, key=key)
            accepted = accept(self.ports, writer, tail, arrival, self.lease, hosts=False)
        except TurnRunning:
            if self.trigger.policy != "skip":
                raise
            # Kept under its key, so that a repeat hears the same, though no turn is open by then.
            if key and not writer.decline(tail.head.incarnation, key):
                return self._told(session, self.ports.log.tail(session.id))
            return Taken(None, "skipped", session.id)
        if accepted.offset == NOWHERE:
            return Taken(None, "skipped", session.id, repeated=True)
        run = self._run(session, accepted)
        self.background.runs.put(run)
        self.ports.sessions.touch(session, self.ports.clock.now())
        return Taken(run, "queued", session.id, repeated=isinstance(accepted, Repeated))

    def _input(self) -> Input:
        trigger, contact = self.trigger, self.event.contact
        ready = self.ports.clock.now() + 1000 * trigger.delay
        who = contact.name or contact.key
        policy = trigger.policy
        return Input(
            policy="enqueue" if policy in ("reject", "skip") else policy,
            texts=self.texts,
            caller=trigger.caller,
            participant=Participant(id=contact.fingerprint, display_name=who) if who else None,
            origin=trigger.id,
            tries=trigger.tries,
            not_before=ready if trigger.delay else 0,
            not_after=ready + 1000 * trigger.max_age if trigger.max_age else 0,
        )

    def _run(self, session: Session, accepted: Accepted | Repeated) -> Run:
        offset = accepted.offset
        if isinstance(accepted, Accepted):
            written_at = accepted.segment.written_at
        else:
            found = event_at(self.ports.log, session.id, session.incarnation, offset)
            if not found:
                raise SessionNotFound(session.session_key)
            written_at = found.created_at
        return run_of(self.trigger.id, session.id, session.incarnation, offset, written_at)


def _is_deleted(tail: Tail) -> bool:
    """It has been there, and is no more; of one that is being made there is META at least."""
    head = tail.head
    return head.state.deleted or (head.incarnation > 0 and not tail.session)


def _metadata(trigger: BackgroundTrigger) -> dict[str, Any]:
    """Of the sessions that it makes. An agent's schedule says what else stands there."""
    own = trigger.meta.get(SESSION_METADATA) if trigger.id.startswith(SCHEDULES) else None
    return {**(own or {}), "app": "trigger", "trigger": {"integrationId": trigger.id}}


def _paused(trigger: BackgroundTrigger) -> Conflict:
    return Conflict(f"This trigger is paused: {trigger.paused}")


def _no_agent(key: str) -> AgentGone:
    return AgentGone(f"The agent {key!r} of this trigger is not there any more.")
