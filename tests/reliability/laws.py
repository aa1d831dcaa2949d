"""The promises P1 to P5 and P10, judged by what the table holds and by what clients were told.

Nothing of the system's own memory is asked. Each broken promise is one line that begins with its
name; an empty list is the good news.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from cueline.adapters.dynamodb.items import (
    META,
    Item,
    session_from_item,
    sk_of,
)
from cueline.adapters.openai import chat, responses
from cueline.doors.agent_events.events import _fields, to_wire
from cueline.engine.model import ModelRequest
from cueline.engine.wake import EARLY_MS
from cueline.log.conversation import conversation
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    Input,
    InputsFailed,
    InputsWithdrawn,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
    event_id,
    offset_in,
)
from cueline.log.fold import fold
from cueline.log.segment import Session
from cueline.log.state import State, covered, due, offsets
from tests.history import problems_of_chat, problems_of_responses
from tests.reliability.evidence import Log, Reading, Told, stored
from tests.reliability.tool_laws import of_tools

CUTS = 150
"""Cut points of one log at which its history is checked; of a longer one some are skipped."""
HONEST = {200, 201, 204, 400, 404, 409, 422, 429, 500, 503}
"""Statuses that a client of these tests may see. 500 is a turn that failed visibly."""
BESIDE_TURNS = ("turn_began", "aside_began", "partly_answered", "model_called")
"""Events that name a turn which need not be running: it begins, or what it did is told later."""
STOPPED_MS = 60_000
"""For which a process may be stopped between its look and its write."""


def broken(
    items: Sequence[Item],
    told: Sequence[Told] = (),
    readings: Sequence[Reading] = (),
    ledger: Sequence[str] = (),
) -> list[str]:
    """Judges a world at rest: nobody sends, no process runs, the queue is empty.

    `ledger` has a line for each run of a tool.
    """
    logs = stored(items)
    alive = {item["pk"]["S"]: session_from_item(item) for item in items if sk_of(item) == META}
    found: list[str] = []
    for log in logs:
        where = f"{log.session}/{log.incarnation}"
        if not log.blank:
            found += [f"{broken} [{where}]" for broken in (*_of_log(log), *_of_history(log))]
    by_session: dict[str, list[Log]] = defaultdict(list)
    for log in logs:
        by_session[log.session].append(log)
    for one in told:
        if not _gone(one, by_session[one.session], alive.get(one.session)):
            found += [f"{b} [{one.session}]" for b in _of_told(one, by_session[one.session])]
    found += of_tools([log for log in logs if not log.blank], ledger)
    found += _of_keys(told, by_session)
    found += _of_order(told)
    for reading in readings:
        found += [
            f"{b} [{reading.session}]"
            for b in _of_reading(reading, alive.get(reading.session), by_session[reading.session])
        ]
    return found


# --- P1 and P3 of one log ------------------------------------------------------------------------


def _of_log(log: Log) -> Iterator[str]:
    state, at = State(), 0
    inputs: dict[int, Input] = {}
    ends: Counter[int] = Counter()
    for segment in log.segments:
        if segment.at != at:
            yield f"P3 dense: offset {at} should follow, and {segment.at} does"
            at = segment.at
        if state.deleted:
            yield f"P3 tombstone: something was written at {at}, after the deletion"
        for event in segment.events:
            yield from _judged(state, event, at, segment.written_at)
            if isinstance(event, Input):
                inputs[at] = event
            ends.update(_ended(event))
            state = fold(state, at, event)
            at += 1
        if state != segment.state:
            yield f"P3 carried: the state at {segment.at} is not the reduce of all events"
            state = segment.state
    if state.deleted:
        return
    asleep = {*offsets(i for i in state.pending if not i.asks)}
    asleep.update(offset for waiting in state.suspended.values() for offset in waiting)
    if state.turns:
        yield f"P1 rest: turn {state.turns[0].id} never ended"
    for offset, event in inputs.items():
        if ends[offset] > 1:
            yield f"P3 once: input {offset} ended {ends[offset]} times"
        if not ends[offset] and offset not in asleep:
            yield f"P1 answered: input {offset} ({event.policy}) never ended"


def _judged(before: State, event: Event, at: int, now: int) -> Iterator[str]:
    turn = getattr(event, "turn", "")
    if turn and event.type not in BESIDE_TURNS and not before.running(turn):
        yield f"P3 fence: {event.type} at {at} is of turn {turn}, which was not running"
    match event:
        case TurnBegan():
            if before.open:
                yield f"P3 lock: a turn begins at {at} beside another"
            # Whoever was stopped before it wrote may have looked when less was ready.
            since = {*offsets(due(before, now - STOPPED_MS))}
            ready = [i.offset for i in due(before, now + EARLY_MS) if i.asks]
            asking = [offset for offset in ready if offset in since or offset in event.inputs]
            taken = [offset for offset in asking if offset in event.inputs]
            if taken != asking[: len(taken)] or not taken:
                yield f"P3 order: the turn at {at} takes {taken} of {asking}"
            if missing := set(event.inputs) - {i.offset for i in before.pending}:
                yield f"P3 taken: the turn at {at} takes {missing}, which do not wait"
        case Answered() | Finished() | TurnFailed() | TurnInterrupted() | TurnSuspended():
            running = before.running(event.turn)
            if running and tuple(sorted(event.inputs)) != covered(before, running):
                yield f"P3 answer: {event.type} at {at} does not say what it answers"
        case _:
            pass
    match event:
        case TurnFailed() | InputsFailed():
            if not event.code or not event.message or event.code == "internal_error":
                yield f"P10 code: the failure at {at} has the code {event.code!r}"
        case _:
            pass


def _ended(event: Event) -> Sequence[int]:
    match event:
        case Answered() | Finished() | TurnFailed() | TurnInterrupted():
            return event.inputs
        case InputsFailed() | InputsWithdrawn():
            return event.inputs
    return ()


# --- P4 ------------------------------------------------------------------------------------------


def _of_history(log: Log) -> Iterator[str]:
    events = log.recorded
    for cut in range(1, len(events) + 1, max(1, len(events) // CUTS)):
        items = conversation(events[:cut])
        if not items:
            continue  # nobody is asked
        asked = ModelRequest("m", "Be kind.", items)
        wrong = problems_of_chat(chat._body(asked)) + problems_of_responses(responses._body(asked))
        if wrong:
            yield f"P4 history: after {cut} events a provider refuses it: {wrong[0]}"
            return


# --- what clients were told: P1, P2, P3, P10 -----------------------------------------------------


def _gone(one: Told, logs: Sequence[Log], session: Session | None) -> bool:
    """It was said to a session that has been deleted, and perhaps made again, since."""
    newest = max((log.incarnation for log in logs), default=0)
    if session:
        newest = max(newest, session.incarnation)
    older = one.event and offset_in(one.event, one.session, newest) is None
    return bool(older) or session is None or any(log.deleted for log in logs)


def _of_told(one: Told, logs: Sequence[Log]) -> Iterator[str]:
    what = f"{one.who}: {one.text!r}"
    if one.status and one.status not in HONEST:
        yield f"P10 status: {what} got {one.status}"
    if "Traceback" in one.raw or one.code == "internal_error":
        yield f"P10 bug: {what} got {one.raw[:200]!r}"
    if one.status >= 400 and not one.code:
        yield f"P10 code: {what} got {one.status} without a code"
    found = [r.offset for log in logs for r in log.recorded if _says(r.event, one.text)]
    most = 1 if one.key else one.attempts
    if len(found) > most:
        yield f"P2 once: {what} is in the log {len(found)} times after {one.attempts} attempts"
    if one.event:
        if not any(_says(log.at(one.event), one.text) for log in logs):
            yield f"P1 kept: {what} was acknowledged as {one.event}, which is not in the log"
    elif one.code == "agent_processing_failed" and not found:
        yield f"P1 kept: {what} failed, and is not in the log"
    for event, text in one.answers.items():
        kept = next((e for log in logs if (e := log.at(event))), None)
        if text not in _sayable(kept):
            yield f"P3 told: {what} heard {text!r} as {event}, where {kept!r} is stored"
        if isinstance(kept, Answered) and not (
            one.since
            or any(offset_in(one.event, lo.session, lo.incarnation) in kept.inputs for lo in logs)
        ):
            yield f"P3 told: {what} got the answer to another input"


def _sayable(event: Event | None) -> Sequence[str]:
    """How a stored end of a turn may be told: a failure that is replayed has its message too."""
    text = getattr(event, "text", None)
    if isinstance(event, TurnFailed):
        return (event.text, event.message, f"{event.text}\n\n[{event.message}]")
    if isinstance(event, TurnSuspended):
        return (_fields(event)["content"],)  # type: ignore[index]
    return () if text is None else (text,)


def _says(event: Event | None, text: str) -> bool:
    """What one said to a decision is its note, to a compaction its message."""
    if not isinstance(event, Input):
        return False
    note = event.decision.note if event.decision else ""
    message = event.compact.message if event.compact else ""
    return bool(text) and text in (*event.texts, note, message)


def _of_keys(told: Sequence[Told], logs: Mapping[str, Sequence[Log]]) -> Iterator[str]:
    by_key: dict[tuple[str, str, str], list[Told]] = defaultdict(list)
    for one in told:
        if one.key and one.event and not any(log.deleted for log in logs[one.session]):
            by_key[one.session, one.who, one.key].append(one)
    for (session, who, key), ones in by_key.items():
        if len({one.event for one in ones}) > 1:
            yield f"P2 key: {who}'s key {key!r} stands for several events [{session}]"
        if len({tuple(one.answers.items()) for one in ones if one.answers}) > 1:
            yield f"P2 key: {who}'s key {key!r} has several answers [{session}]"


def _of_order(told: Sequence[Told]) -> Iterator[str]:
    """One who waits for each answer finds what he said in the order in which he said it."""
    last: dict[tuple[str, str, str], tuple[int, str]] = {}
    for one in told:
        if not one.event:
            continue
        _, session, incarnation, offset = one.event.split("_")
        place = (session, incarnation, one.who)
        before = last.get(place)
        if before and int(offset, 16) < before[0] and one.text != before[1] and not one.key:
            yield f"P3 order: {one.who}: {one.text!r} stands before {before[1]!r} [{one.session}]"
        last[place] = (max(int(offset, 16), before[0] if before else 0), one.text)


# --- P5 ------------------------------------------------------------------------------------------


def _of_reading(reading: Reading, session: Session | None, logs: Sequence[Log]) -> Iterator[str]:
    log = next((log for log in logs if session and log.incarnation == session.incarnation), None)
    if not session or not log or log.deleted or not reading.whole:
        if len(set(reading.ids)) < len(reading.ids):
            yield "P5 twice: a reader saw an event twice"
        return
    shown = [
        event_id(session.id, session.incarnation, r.offset)
        for r in log.recorded
        if to_wire(session, r)
    ]
    if len(set(reading.ids)) < len(reading.ids):
        yield "P5 twice: a reader saw an event twice"
    elif missed := [event for event in shown if event not in reading.ids]:
        yield f"P5 missed: a reader never saw {missed[0]}"
    elif [*reading.ids] != shown:
        yield "P5 order: a reader saw events in another order than the log's"
