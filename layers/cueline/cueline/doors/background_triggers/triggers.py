"""Triggers: made, shown, changed, fired by hand; and the address that takes their events."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cueline.doors.background_triggers.arming import put_back, remove_new, settle
from cueline.doors.background_triggers.calls import ANY, Call, Reply, Route, trigger_id_in
from cueline.doors.background_triggers.errors import TriggerNotFound
from cueline.doors.background_triggers.event_body import delivered
from cueline.doors.background_triggers.intake import Taken, take
from cueline.doors.background_triggers.listing import ListQuery, listed
from cueline.doors.background_triggers.schedules import planned
from cueline.doors.background_triggers.secrets import check_secret
from cueline.doors.background_triggers.wire import TriggerFields, to_wire
from cueline.doors.creation import Creation
from cueline.doors.idempotency import digest
from cueline.doors.shared import KEY
from cueline.doors.strict import invalid
from cueline.engine.background import Background, BackgroundTrigger
from cueline.engine.ports import Place, Ports
from cueline.errors import AgentNotFound, Conflict, Unavailable

TRIES = 10
"""How often a change that others keep getting in front of is tried again."""
INVOKED = "Somebody has started you by hand."
MINUTE = 60_000
Fields = dict[str, Any]

# --- use cases -----------------------------------------------------------------------------------


def page(call: Call) -> Reply:
    """Newest first unless asked for otherwise. May lag behind what was just made."""
    background, query, agent = call.background, ListQuery.of(call), call.one("botId")

    def shown(trigger: BackgroundTrigger) -> Fields | None:
        # The schedules of agents are shown elsewhere.
        of_agent = "." not in trigger.id and agent in (None, trigger.agent_key)
        wanted = of_agent and query.wants(trigger.meta)
        return to_wire(trigger, call.signing()) if wanted else None

    found = background.triggers.all(query.part(lambda cursor: _place_of(background, cursor)))
    return listed(query, call.ports.clock, map(shown, found))


def fetch(call: Call) -> Fields:
    return to_wire(_found(call.background, call.trigger), call.signing())


def create(call: Call) -> Fields:
    """A repeat gives the trigger that it made before: under its Idempotency-Key, and without one
    within a minute, while nobody has changed that.

    Raises InvalidRequest, IdempotencyKeyReused, Unavailable.
    """
    asked, background, now = call.creation, call.background, call.ports.clock.now()
    given = TriggerFields.of(asked.body)
    # Of one that was deleted just now, and whose id it gets, it has not the secret.
    blank = BackgroundTrigger("", now, now, caller=call.payer, mark=asked.mark)
    new = planned(given.of_trigger(blank), now)
    _check_agent(call.ports, given)
    made = _made(background, asked, new, call.ports.clock.id())
    if made.schedule:
        # Also for a repeat: whoever made it may have come no further.
        settle(background, made.id, now, lambda: remove_new(background, made, now))
    return {"id": made.id}


def update(call: Call) -> Fields:
    """What is left out stays as it is. Raises TriggerNotFound, InvalidRequest, Unavailable."""
    given, background, now = TriggerFields.of(call.json), call.background, call.ports.clock.now()
    before = _found(background, call.trigger)
    _check_agent(call.ports, given)

    def to(old: BackgroundTrigger) -> BackgroundTrigger:
        nonlocal before
        before, new = old, given.of_trigger(old)
        if new == old:
            return old
        return replace(planned(new, now) if given.reschedules else new, updated_at=now)

    after = change(background, call.trigger, to)
    if given.reschedules:
        # Also where nothing has changed: whoever wrote it may have come no further.
        settle(background, after.id, now, lambda: put_back(background, before, after))
    return {"id": call.trigger}


def delete(call: Call) -> Fields:
    """Its sessions and their runs stay; what waits there is worked off."""
    there = call.background.triggers.remove(call.trigger)
    # Also where it is not there: whoever removed it may have come no further.
    settle(call.background, call.trigger, call.ports.clock.now())
    if not there:
        raise TriggerNotFound(call.trigger)
    return {"id": call.trigger}


def setup(call: Call) -> Fields:
    """There is nothing to set up."""
    return {"id": _found(call.background, call.trigger).id}


def invoke(call: Call) -> Reply:
    """Fires it by hand; the body is the event.

    The published client repeats what got no answer, and gives no key: so the same within a minute
    counts once.
    """
    trigger, now, raw = _found(call.background, call.trigger), call.ports.clock.now(), call.raw
    event = delivered(trigger.id, call.method, call.query, call.headers, raw)
    if not event.key:
        body = digest(hashlib.sha256(raw).hexdigest(), {n: list(v) for n, v in call.query.items()})
        event = replace(event, key=_by_hand(call, trigger, body, now), digest=body)
    event = replace(
        event,
        text=event.text or ("" if event.body else INVOKED),
        session=event.session or event.contact.key or trigger.schedule or "never",
    )
    taken = take(call.ports, call.background, trigger, event, call.lease, call.request_id)
    change(call.background, trigger.id, lambda old: replace(old, last_at=max(old.last_at, now)))
    run = taken.run.id if taken.run else None
    told = {"id": trigger.id, "runId": run, "status": taken.status}
    return _reply({**told, "conversationId": taken.conversation}, taken)


def event(call: Call) -> Fields | Reply:
    """Takes an event in, of any method; some only ask whether anybody is there.

    Raises Unauthorized, InvalidRequest, ContentTooLarge, and whatever `take` does.
    """
    if call.method in ("HEAD", "OPTIONS"):
        return {}
    trigger = _let_in(call)
    given = delivered(trigger.id, call.method, call.query, call.headers, call.raw)
    taken = take(call.ports, call.background, trigger, given, call.lease, call.request_id)
    run = taken.run.id if taken.run else None
    told = {"ok": True, "id": run, "status": taken.status}
    return _reply({**told, "conversationId": taken.conversation}, taken)


TRIGGER_ROUTES = (
    Route("GET", "/integration/trigger/list", page),
    Route("POST", "/integration/trigger/create", create),
    Route("GET", "/integration/trigger/{trigger_id}/fetch", fetch),
    Route("POST", "/integration/trigger/{trigger_id}/update", update),
    Route("POST", "/integration/trigger/{trigger_id}/delete", delete),
    Route("POST", "/integration/trigger/{trigger_id}/setup", setup),
    Route("POST", "/integration/trigger/{trigger_id}/invoke", invoke),
    Route(ANY, "/integration/trigger/{trigger_id}/event", event, open=True),
)

# --- how -----------------------------------------------------------------------------------------


def _by_hand(call: Call, trigger: BackgroundTrigger, body: str, now: int) -> str:
    """The key of what came in this minute, or in the one before and less than a minute ago."""
    before, this = (
        digest("invoke", trigger.id, call.caller, minute, body)
        for minute in (now // MINUTE - 1, now // MINUTE)
    )
    first = call.background.deliveries.claimed_at(trigger.id, before, now)
    return before if now - first < MINUTE else this


def change(
    background: Background, trigger: str, to: Callable[[BackgroundTrigger], BackgroundTrigger]
) -> BackgroundTrigger:
    """Applies `to` to the newest version. Raises TriggerNotFound, Unavailable."""
    for _ in range(TRIES):
        old = _found(background, trigger)
        if (new := to(old)) == old:
            return old
        new = replace(new, version=old.version + 1)
        if background.triggers.replace(new):
            return new
    raise Unavailable("Too many changes to this trigger at once; try again.")


def _made(
    background: Background, asked: Creation, new: BackgroundTrigger, name: str
) -> BackgroundTrigger:
    """`new` under its own id, or what an earlier try of this request has made of it.

    Where its id is taken by what somebody has changed since, it gets this `name`. Raises Conflict,
    IdempotencyKeyReused.
    """

    def made_as(trigger: str) -> BackgroundTrigger | None:
        one = replace(new, id=trigger)
        return one if background.triggers.create(one) else None

    def repeated(trigger: str) -> BackgroundTrigger | None:
        found = background.triggers.get(trigger)
        age = new.created_at - found.created_at if found else 0
        return found if found and asked.made(found.mark, found.version, age) else None

    own, *earlier = asked.own_keys("trigger", new.created_at)
    there = next(filter(None, map(repeated, earlier)), None) or made_as(own) or repeated(own)
    if not there and asked.key is None:
        there = made_as(f"trigger_{name}")
    if not there:
        raise Conflict("There is such a trigger already, or there was one just now.")
    return there


def _found(background: Background, trigger: str) -> BackgroundTrigger:
    if not (found := background.triggers.get(trigger)):
        raise TriggerNotFound(trigger)
    return found


def _let_in(call: Call) -> BackgroundTrigger:
    """Whoever asks for what there is not is told the same as who has not got the secret."""
    try:
        trigger = call.background.triggers.get(call.trigger)
    except TriggerNotFound:
        trigger = None
    if trigger and not trigger.authenticate:
        return trigger
    return check_secret(trigger, call.headers.get("authorization", ""), call.signing())


def _check_agent(ports: Ports, given: TriggerFields) -> None:
    """Raises InvalidRequest where it names one that is not there."""
    key = given.agent_key
    if not key:
        return
    wrong = invalid({"botId": "must be the key of an agent that is there"})
    if not KEY.fullmatch(key):
        raise wrong
    try:
        ports.agents.get(key)
    except AgentNotFound:
        raise wrong from None


def _place_of(background: Background, cursor: str) -> Place | None:
    try:
        found = background.triggers.get(trigger_id_in(cursor))
    except TriggerNotFound:
        return None
    return found.place if found else None


def _reply(told: Fields, taken: Taken) -> Reply:
    return Reply(told, headers={"x-replayed": "true"} if taken.repeated else {})
