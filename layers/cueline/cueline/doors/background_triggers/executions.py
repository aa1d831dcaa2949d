"""Executions, which are the runs of a trigger: shown as their logs tell, cancelled, redriven."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from cueline.doors.background_triggers.calls import Call, Reply, Route
from cueline.doors.background_triggers.errors import RunNotFound, TriggerNotFound
from cueline.doors.background_triggers.listing import MOST, ListQuery, listed, no_cursor
from cueline.doors.idempotency import digest, idempotency_key
from cueline.doors.shared import MAX_ECHO
from cueline.doors.strict import invalid
from cueline.engine import runs
from cueline.engine.append import IdempotencyKey
from cueline.engine.background import Run
from cueline.engine.ports import Ports
from cueline.engine.runs import Progress
from cueline.errors import Conflict, EventNotFound, InvalidPageKey, SessionNotFound, Unavailable
from cueline.log.segment import Tail

MOST_EARLIER = 100
"""Places that a run is known to have had before."""
TRIES = 10
"""How often a run that others keep changing is changed again."""

_ID = re.compile(r"[0-9a-zA-Z_-]{1,100}")
_NANO = 1_000_000_000

# --- use cases -----------------------------------------------------------------------------------


def page(call: Call) -> Reply:
    """Newest first. Raises TriggerNotFound, InvalidRequest, Unavailable."""
    trigger, query = _trigger(call), ListQuery.of(call)
    if not query.backwards:
        raise invalid({"order": "must be desc: executions are listed newest first"})
    try:
        return listed(query, call.ports.clock, _after(call, trigger, query))
    except InvalidPageKey:
        raise no_cursor() from None


def fetch(call: Call) -> dict[str, Any]:
    """Raises TriggerNotFound, RunNotFound, Unavailable."""
    run = _run(call)
    return to_wire(run, _progress(call.ports, run))


def cancel(call: Call) -> dict[str, Any]:
    """What waits is withdrawn, and what runs ends with its turn. May be repeated.

    Raises Conflict where it is over in another way, TriggerNotFound, RunNotFound, Unavailable.
    """
    ports, run = call.ports, _run(call)
    try:
        done = runs.cancel(ports, run.session, run.incarnation, run.offset, call.request_id)
    except (EventNotFound, SessionNotFound):
        raise _gone() from None
    if done:
        return {"id": run.id}
    progress = _progress(ports, run)
    if not progress:
        raise _gone()
    if progress.status != "cancelled":
        raise Conflict(f"This execution is over: it has {_PAST.get(progress.status, 'moved on')}.")
    return {"id": run.id}


def redrive(call: Call) -> dict[str, Any]:
    """Says again, behind all that its conversation has by now, what a run that is over said.

    Whose answer is lost may repeat it: that is told by its Idempotency-Key, and without one by the
    run, while it is not over again. Raises Conflict, TriggerNotFound, RunNotFound, TooManyPending,
    Unavailable.
    """
    ports, run = call.ports, _run(call)
    tail = _tail(ports, run)
    key = _key(call, run)
    known = ports.log.keyed(run.session, run.incarnation, key.key)
    if known:
        return {"id": _moved(call, run, known.offset).id}
    progress = _progress(ports, run)
    if not progress:
        raise _gone()
    if progress.status not in runs.OVER:
        if run.earlier:
            return {"id": run.id}
        raise Conflict("This execution is not over; cancel it first.")
    try:
        offset = runs.try_anew(ports, tail, run.offset, call.lease, call.request_id, key)
    except SessionNotFound:
        raise _gone() from None
    except EventNotFound:
        raise Conflict(
            "What started this execution is hidden or removed by now, or was left to people; send "
            "the event again."
        ) from None
    return {"id": _moved(call, run, offset).id}


# --- on the wire ---------------------------------------------------------------------------------


def to_wire(run: Run, progress: Progress | None) -> dict[str, Any]:
    """Times are in ms, the cost is in US dollars. With its conversation all but the run is gone."""
    told = progress or Progress("cancelled")
    return {
        "id": run.id,
        "triggerId": run.trigger,
        "conversationId": run.session,
        "status": told.status if progress else "deleted",
        "attempts": told.attempts,
        "redrives": len(run.earlier),
        "createdAt": run.created_at,
        "startedAt": told.started_at or None,
        "completedAt": told.ended_at or None,
        "cost": told.cost / _NANO,
        "tokens": told.tokens,
        "outcome": told.text,
        "error": _error(told),
    }


_PAST = {"succeeded": "succeeded", "failed": "failed", "dead": "failed for good"}


def _error(told: Progress) -> dict[str, Any] | None:
    if not told.code:
        return None
    return {"code": told.code, "message": told.message, "retryable": told.retryable}


def _after(call: Call, trigger: str, query: ListQuery) -> Iterator[dict[str, Any]]:
    """Those behind the cursor, each of which is read in its own log."""
    cursor = query.cursor
    while found := call.background.runs.list(trigger, min(query.take or MOST, MOST), cursor):
        for run in found:
            yield to_wire(run, _progress(call.ports, run))
        cursor = found[-1].id


# --- what is asked for ---------------------------------------------------------------------------


def _trigger(call: Call) -> str:
    if not call.background.triggers.get(call.trigger):
        raise TriggerNotFound(call.trigger)
    return call.trigger


def _run(call: Call) -> Run:
    trigger, name = _trigger(call), unquote(call.path["execution_id"])
    found = call.background.runs.get(trigger, name) if _ID.fullmatch(name) else None
    if not found:
        raise RunNotFound(name[:MAX_ECHO])
    return found


def _progress(ports: Ports, run: Run) -> Progress | None:
    return runs.progress(ports, run.session, run.incarnation, run.offset)


def _tail(ports: Ports, run: Run) -> Tail:
    tail = ports.log.tail(run.session)
    if not tail.live(ports.clock.now()) or tail.head.incarnation != run.incarnation:
        raise _gone()
    return tail


def _gone() -> Conflict:
    return Conflict("The conversation of this execution was deleted; send the event again.")


# --- once ----------------------------------------------------------------------------------------


def _key(call: Call, run: Run) -> IdempotencyKey:
    """Of many who redrive a run at once all find the same."""
    given = idempotency_key(call.headers)
    of = [run.version] if given is None else [call.caller, given]
    return IdempotencyKey(digest("redrive", run.trigger, run.id, *of), digest("redrive"))


def _moved(call: Call, run: Run, offset: int) -> Run:
    """The run with this place among those it had; where it stands is the newest of them."""
    trigger, name = run.trigger, run.id
    for _ in range(TRIES):
        if offset == run.offset or offset in run.earlier:
            return run
        *earlier, newest = sorted({offset, run.offset, *run.earlier})
        kept = tuple(earlier[-MOST_EARLIER:])
        run = replace(run, offset=newest, earlier=kept, version=run.version + 1)
        if call.background.runs.replace(run):
            return run
        found = call.background.runs.get(trigger, name)
        if not found:
            raise RunNotFound(name)
        run = found
    raise Unavailable("Too many changes to this execution at once; try again.")


_RUNS = "/integration/trigger/{trigger_id}/execution"
_RUN = _RUNS + "/{execution_id}"

EXECUTION_ROUTES = (
    Route("GET", _RUNS + "/list", page),
    Route("GET", _RUN + "/fetch", fetch),
    Route("POST", _RUN + "/cancel", cancel),
    Route("POST", _RUN + "/redrive", redrive),
)
