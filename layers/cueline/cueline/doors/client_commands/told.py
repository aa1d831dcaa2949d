"""What of a session's log is told over a WebSocket: in the same frames when it is told again."""

from collections.abc import Callable
from dataclasses import dataclass

from cueline.doors.client_commands import frames
from cueline.doors.client_commands.frames import Fields
from cueline.log.events import (
    Answered,
    Event,
    EventMarked,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    ModeChanged,
    PartlyAnswered,
    Posted,
    Recorded,
    SettingsChanged,
    Spoke,
    TurnAbandoned,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
    event_id,
)

_ENDS = (
    Answered,
    Finished,
    TurnFailed,
    TurnInterrupted,
    TurnAbandoned,
    TurnHandedOver,
    TurnPostponed,
    TurnSuspended,
)
_STANDS = (EventMarked, EventsRemoved, ModeChanged, SettingsChanged)
"""What nobody said, and therefore nobody takes back."""


@dataclass(frozen=True, slots=True)
class View:
    """The session whose log is told, and who is told."""

    session: str
    incarnation: int
    event_at: Callable[[int], Recorded | None]
    """What stands at an offset; a mark names another event."""
    trusted: bool = True
    """They may know what the agent's instructions are, and how a provider says that it failed."""


def told(view: View, recorded: Recorded, *, removed: bool = False) -> list[str]:
    """The frames of the event; none where it is nobody's business.

    All but the last say that there is `more`: who has only some of them has not heard of the event.
    Of what is `removed` or marked nothing is told but that a turn is over: whoever has heard it
    begin waits for that. Raises what `event_at` does.
    """
    event, unsaid = recorded.event, removed or recorded.mark is not None
    said = [] if unsaid and not isinstance(event, _STANDS) else _told(view, recorded)
    if isinstance(event, _ENDS):
        ended = frames.talk_state("ended", event.turn, recorded.offset, more=bool(said))
        return [ended, *said]
    return said


def _told(view: View, recorded: Recorded) -> list[str]:
    match event := recorded.event:
        case EventMarked():
            marked = view.event_at(event.offset)
            item = _item(view, marked) if marked else None
            return [frames.message_marked(item, event.mark, recorded.offset)] if item else []
        case EventsRemoved():
            return [frames.events_removed(event.first, recorded.offset)]
        case ModeChanged():
            return [frames.mode_changed(event.mode, recorded.offset)]
        case SettingsChanged():
            shown = frames.shown_settings(event.settings, instructions=view.trusted)
            return [frames.settings_updated(shown, recorded.offset)]
    fields, content = _message(view, recorded)
    if not fields:
        return []
    return frames.message(recorded.created_at, content, **fields, offset=recorded.offset)


def _message(view: View, recorded: Recorded) -> tuple[Fields, str | None]:
    """No fields where it is none; no content where none is told with it."""
    item = _item(view, recorded)
    match event := recorded.event:
        case Input() if item and event.texts:
            user = {"role": "user", "action": "completed", "item_id": item}
            return user, "\n\n".join(event.texts)
        case Posted(source="user") if item:
            return {"role": "user", "action": "completed", "item_id": item}, event.text
        case Posted() if item:
            return {**_by_itself(item), "action": "completed", "author": event.source}, event.text
        case Spoke() if event.text:
            return _said(event.turn, event.part, "completed", final=False), event.text
        case Answered():
            cut = {"cut": True} if event.cut else {}
            return _said(event.turn, event.part, "completed", final=True, **cut), event.text
        case PartlyAnswered():
            return _said(event.turn, event.part, "cancelled", reason="interrupted"), event.text
        case TurnFailed():
            why = _why(view, event, retryable=event.retryable)
            if not event.text:  # it has no message of its own, and those before it stand
                return {**frames.spoken(event.turn), "action": "failed", "error": why}, None
            return _said(event.turn, event.part, "failed", error=why), event.text
        case InputsFailed() if item:
            why = _why(view, event, retryable=event.code != "customer_not_found")
            inputs = [event_id(view.session, view.incarnation, one) for one in event.inputs]
            return {**_by_itself(item), "action": "failed", "error": why, "inputs": inputs}, ""
    return _cancelled(event), None


def _cancelled(event: Event) -> Fields:
    """Of the whole answer: what it had said before is told by whoever knows that."""
    match event:
        case TurnInterrupted():
            reason = "interrupted"
        case TurnAbandoned() | TurnHandedOver():
            reason = "taken_over"
        case TurnPostponed():
            reason = "postponed"
        case TurnSuspended():
            reason = "suspended"
        case Finished():
            reason = "silent"
        case _:
            return {}
    return {**frames.spoken(event.turn), "action": "cancelled", "reason": reason}


def _why(view: View, failed: TurnFailed | InputsFailed, *, retryable: bool) -> Fields:
    if not view.trusted:
        return frames.plain_failure(failed.code, retryable=retryable)
    return frames.failure(failed.code, failed.message, retryable=retryable)


def _said(turn: str, part: int, action: str, **more: object) -> Fields:
    return {**frames.spoken(turn, part), "action": action, **more}


def _by_itself(item: str) -> Fields:
    return {"role": "assistant", "response_id": item, "item_id": item}


def _item(view: View, recorded: Recorded) -> str | None:
    """Under which the event is told as a message; None where it never is."""
    match event := recorded.event:
        case Spoke() | Answered() | PartlyAnswered() | TurnFailed():
            return str(frames.spoken(event.turn, event.part)["item_id"])
        case Input(source="user") if event.speaks:
            pass
        case Posted(kind="message") | InputsFailed():
            pass
        case _:
            return None
    return event_id(view.session, view.incarnation, recorded.offset)
