"""What has become of a session's turns is announced: to the triggers that they were for, and on the
bus, to others.

Called for every segment in which something ends, once at least: it comes from the table's stream,
which repeats what stands behind something that failed. So a failure is counted under its place in
its log, and each detail has an id by which who hears it twice knows that.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cueline.doors.background_triggers.intake import run_of
from cueline.doors.idempotency import digest
from cueline.engine.background import Background, BackgroundTrigger
from cueline.engine.ports import Ports
from cueline.engine.runs import Status
from cueline.errors import CuelineError, Unavailable, unexpected
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    Input,
    InputsFailed,
    ModeChanged,
    Recorded,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
    event_id,
)
from cueline.log.segment import Segment

logger = logging.getLogger(__name__)

TURN_FINISHED, RUN_FAILED, HANDOVER = "Turn Finished", "Run Failed", "Handover Requested"
MAX_TEXT = 10 * 1024
"""Bytes of a text on the bus, in UTF-8."""
MAX_MESSAGE = 1024
"""The same of why something failed."""
PATIENCE_MS = 5 * 60_000
"""After which nothing holds up what stands behind it in the stream any more."""
LOOKED_THROUGH = 100
"""Runs of a trigger, the newest, among which one that was tried anew is looked for."""
TRIES = 10
"""How often a trigger that others keep changing is changed again."""

_PAGE = 50
_DIED = ("turn_abandoned", "not_worked_off")
_HARMLESS = ("expired",)
"""Codes of failures that a trigger asks for itself."""


_Change = Callable[[BackgroundTrigger], BackgroundTrigger]
"""What becomes of a trigger; the same one where nothing does."""


def announce(
    ports: Ports, background: Background, session: str, incarnation: int, segment: Segment
) -> None:
    """Raises Unavailable where it must come again; never where it is old, or that is no help."""
    if segment.written_at < incarnation:
        return  # copied from the session that this one is a fork of, where it was announced
    told = _Announcement(ports, background, session, incarnation)
    late = ports.clock.now() - segment.written_at > PATIENCE_MS
    for recorded in segment.recorded():
        for step in (told.count, told.tell):
            try:
                step(recorded)
            except Exception as error:
                if isinstance(error, CuelineError) and error.retryable and not late:
                    raise
                failed = {"session": session, "offset": recorded.offset, **unexpected(error)}
                logger.error("Something is not announced", extra=failed)  # noqa: TRY400


@dataclass(slots=True)
class _Announcement:
    ports: Ports
    background: Background
    session: str
    incarnation: int
    _known: dict[int, Recorded] = field(default_factory=dict)

    # --- to its triggers -------------------------------------------------------------------------

    def count(self, recorded: Recorded) -> None:
        """Once for all that a turn had taken of a trigger: it failed, or went well, once."""
        event = recorded.event
        if not isinstance(event, Answered | Finished | TurnFailed | InputsFailed):
            return
        code = event.code if isinstance(event, TurnFailed | InputsFailed) else ""
        if code in _HARMLESS:
            return
        for trigger in dict.fromkeys(of for of, _ in self._triggered(event)):
            if not code:
                self._change(trigger, _went_well)
            elif self._is_new(trigger, recorded):
                self._change(trigger, lambda one: _failed(one, code, self.ports.clock.now()))

    def _is_new(self, trigger: str, recorded: Recorded) -> bool:
        """Who dies after this has not counted it: one too few pauses nobody."""
        clock, place = self.ports.clock, self._id(recorded)
        mine, told = clock.id(), digest("failed")
        key = digest("failed", place)
        first = self.background.deliveries.claim(trigger, key, told, mine, clock.now())
        return first == mine

    def _change(self, name: str, change: _Change) -> None:
        for _ in range(TRIES):
            before = self.background.triggers.get(name)
            if not before or (after := change(before)) == before:
                return
            if self.background.triggers.replace(replace(after, version=before.version + 1)):
                if after.paused != before.paused:
                    logger.warning("A trigger pauses itself", extra={"trigger": name})
                return
        raise Unavailable("Too many changes to this trigger at once.")

    # --- on the bus ------------------------------------------------------------------------------

    def tell(self, recorded: Recorded) -> None:
        for detail_type, detail in self._details(recorded):
            self.background.bus.put(detail_type, detail)

    def _details(self, recorded: Recorded) -> Iterator[tuple[str, Mapping[str, Any]]]:
        event = recorded.event
        status = _status(event)
        common = {
            "id": self._id(recorded),
            "sessionId": self.session,
            "agentKey": self.session.partition(".")[0],
            "time": recorded.created_at,
        }
        if isinstance(event, ModeChanged) and event.mode == "manual":
            yield HANDOVER, common
        if not status or self._is_copied(event):
            return
        runs = [*self._runs(event)]
        if turn := getattr(event, "turn", ""):
            newest = runs[-1] if runs else {}
            yield (
                TURN_FINISHED,
                {**common, "turn": turn, "status": status, **_said(event), **newest, "runs": runs},
            )
        if isinstance(event, TurnFailed | InputsFailed):
            for run in runs:
                one = f"{common['id']}.{run.get('runId', run['triggerId'])}"
                about = {"turn": turn} if turn else {}
                told = {**common, "id": one, **about, "status": status, **_said(event), **run}
                yield RUN_FAILED, told

    def _runs(self, event: Event) -> Iterator[Mapping[str, str]]:
        """Oldest first; without its id where nobody has noted the run."""
        for trigger, asked in self._triggered(event):
            run = self._run_at(trigger, asked)
            yield {"triggerId": trigger, **({"runId": run} if run else {})}

    def _run_at(self, trigger: str, asked: Recorded) -> str:
        runs = self.background.runs
        place = (self.session, self.incarnation, asked.offset, asked.created_at)
        first = runs.get(trigger, run_of(trigger, *place).id)
        # One that was tried anew stands elsewhere than where it was made.
        for run in [first] if first else runs.list(trigger, LOOKED_THROUGH, None):
            here = run.session == self.session and run.incarnation == self.incarnation
            if here and asked.offset in (run.offset, *run.earlier):
                return run.id
        return ""

    # --- what it was for -------------------------------------------------------------------------

    def _triggered(self, event: Event) -> Sequence[tuple[str, Recorded]]:
        """Triggers, and what came through each, in order; no copies."""
        asked = [self._at(offset) for offset in sorted(getattr(event, "inputs", ()))]
        return [
            (one.event.origin, one)
            for one in asked
            if one and isinstance(one.event, Input) and one.event.origin and self._is_own(one)
        ]

    def _is_own(self, recorded: Recorded) -> bool:
        return recorded.created_at >= self.incarnation

    def _is_copied(self, event: Event) -> bool:
        """A fork ends what it has copies of, and nothing has been asked of it yet."""
        asked = [one for offset in getattr(event, "inputs", ()) if (one := self._at(offset))]
        return bool(asked) and not any(map(self._is_own, asked))

    def _at(self, offset: int) -> Recorded | None:
        """None where its session is deleted by now."""
        if offset not in self._known:
            log = self.ports.log
            found = log.read(self.session, self.incarnation, offset - 1, _PAGE)
            self._known.update({one.offset: one for one in found})
        return self._known.get(offset)

    def _id(self, recorded: Recorded) -> str:
        return event_id(self.session, self.incarnation, recorded.offset)


def _went_well(trigger: BackgroundTrigger) -> BackgroundTrigger:
    return replace(trigger, failures=0)


def _failed(trigger: BackgroundTrigger, code: str, now: int) -> BackgroundTrigger:
    count = trigger.failures + 1
    if trigger.paused or not 0 < trigger.pause_after <= count:
        return replace(trigger, failures=count)
    why = f"{count} runs in a row failed; the last: {code}"
    return replace(trigger, failures=count, paused=why, next_at=0, updated_at=now)


def _status(event: Event) -> Status | None:
    match event:
        case Answered() | Finished():
            return "succeeded"
        case TurnFailed():
            return "dead" if event.retryable else "failed"
        case InputsFailed():
            return "dead" if event.retryable or event.code in _DIED else "failed"
        case TurnInterrupted():
            return "cancelled"
        case TurnSuspended():
            return "waiting"
    return None


def _said(event: Event) -> Mapping[str, Any]:
    match event:
        case Answered():
            return {"text": _cut(event.text, MAX_TEXT)}
        case TurnFailed():
            why = {"code": event.code, "message": _cut(event.message, MAX_MESSAGE)}
            return {"text": _cut(event.text, MAX_TEXT), "error": why}
        case InputsFailed():
            why = {"code": event.code, "message": _cut(event.message, MAX_MESSAGE)}
            return {"text": "", "error": why}
        case TurnSuspended():
            return {"text": "", "calls": list(event.calls), "tools": list(event.tools)}
    return {"text": ""}


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")
