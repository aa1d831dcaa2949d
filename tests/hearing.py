"""Clients of the realtime door by the rules of its documentation, and the law of what they hear.

The gateway between them and the server is ruled by the test: it may end a WebSocket at any frame,
or take nothing any more.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

from cueline.doors.client_commands import broadcast
from cueline.engine.listeners import Sent
from cueline.log.events import (
    Answered,
    Event,
    EventsRemoved,
    Input,
    InputsFailed,
    ModeChanged,
    PartlyAnswered,
    Posted,
    Recorded,
    SettingsChanged,
    Spoke,
    TurnFailed,
)

T = TypeVar("T")
Frame = dict[str, Any]
ENDED = ("failed", "cancelled")


@dataclass
class Hearer:
    """One client of one session, over as many WebSockets as it needs."""

    newest: int | None = None
    """The newest offset of what has no `more` after it; None before it was told where it is."""
    since: int = -1
    """It knows all that stands behind this offset."""
    texts: dict[int, str] = field(default_factory=dict)
    """By the offset that they are told under."""
    items: dict[str, int] = field(default_factory=dict)
    """Where each message stands."""
    live: dict[str, str] = field(default_factory=dict)
    """What each message says, as far as is known while it is said."""
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    """Responses."""
    settings: Frame = field(default_factory=dict)
    mode: str = "auto"
    expired: bool = False
    answers: list[Frame] = field(default_factory=list)
    """To its commands."""
    removed: set[int] = field(default_factory=set)
    """What had been taken back before it could hear of it."""
    problems: list[str] = field(default_factory=list)
    """What it was told against the rules; noted, since nobody listens to what a client raises."""
    _placed: bool = False

    def opens(self) -> None:
        """A new WebSocket, whose first frame tells where it is."""
        self._placed = False

    def hear(self, frame: Frame) -> None:
        data = frame["data"]
        match frame["event"]:
            case "command_ack" | "command_error" | "pong":
                self.answers.append(frame)
                return
            case "session_expired":
                self.expired = True
                return
            case "session_closing" | "avatar_state_changed":
                return
        message = data.get("message", {}) if frame["event"] == "message_received" else {}
        if message.get("type") == "session":
            self._begin(message)
            return
        if not self._placed:
            self.problems.append(f"the first frame is {frame['event']}")
        offset = message.get("offset", data.get("offset"))
        if offset is None:
            self._say(message or data)
            return
        if self.newest is not None and offset <= self.newest:
            return
        told = message or data
        self._store(frame["event"], told, offset)
        if not told.get("more"):
            self.newest = offset

    def _begin(self, marker: Frame) -> None:
        self._placed = True
        if self.newest is None:
            self.newest = self.since = marker["offset"]
        self.settings = marker["settings"]

    def _say(self, told: Frame) -> None:
        """What is not stored yet."""
        self.begun.add(told["response_id"])
        item = told.get("item_id", "")
        if told.get("action") != "delta" or item in self.items:
            return
        known, position = self.live.get(item, ""), told["position"]
        if position <= units(known):
            self.live[item] = cut_at(known, position) + told["content"]

    def _store(self, event: str, told: Frame, offset: int) -> None:
        match event:
            case "message_received":
                self._message(told, offset)
            case "talk_state_changed":
                self.ended.add(told["response_id"])
            case "settings_updated":
                self.settings = told["settings"]
            case "mode_changed":
                self.mode = told["mode"]
            case "events_removed":
                self._forget(range(told["first"], offset))
            case "message_marked":
                self._forget([self.items.get(told["item_id"], -1)])

    def _message(self, told: Frame, offset: int) -> None:
        response = told.get("response_id", "")
        if told["action"] in ENDED or told.get("final"):
            self.ended.add(response)
        elif "final" in told:
            self.begun.add(response)
        if "content" not in told:
            return
        if offset in self.removed:
            self.problems.append(f"what was removed at {offset} is told again")
        item, position = told["item_id"], told.get("position", 0)
        if self.items.setdefault(item, offset) != offset:
            self.problems.append(f"{item} is told at {self.items[item]} and at {offset}")
        known = self.texts.get(offset, "")
        if position > units(known):
            self.problems.append(f"something is missing in {item} before {position}")
        self.texts[offset] = cut_at(known, position) + told["content"]

    def _forget(self, offsets: Iterable[int]) -> None:
        for offset in offsets:
            self.texts.pop(offset, None)


@dataclass
class Gateway:
    """Open WebSockets, and who is at their other ends."""

    hearers: dict[str, Hearer] = field(default_factory=dict)
    left: dict[str, tuple[int, Sent]] = field(default_factory=dict)
    """So many frames it still takes, and then answers this."""

    def opens(self, gateway: str, hearer: Hearer) -> None:
        hearer.opens()
        self.hearers[gateway] = hearer

    def ends(self, gateway: str) -> None:
        self.hearers.pop(gateway, None)

    def of(self, hearer: Hearer) -> str | None:
        return next((g for g, found in self.hearers.items() if found is hearer), None)

    def send(self, gateway: str, frame: str) -> Sent:
        hearer = self.hearers.get(gateway)
        if not hearer:
            return "gone"
        if gateway in self.left:
            count, then = self.left[gateway]
            if not count:
                if then == "gone":
                    self.ends(gateway)
                return then
            self.left[gateway] = count - 1, then
        hearer.hear(json.loads(frame))
        return "sent"

    def close(self, gateway: str) -> Sent:
        found = gateway in self.hearers
        self.ends(gateway)
        return "sent" if found else "gone"


# --- the law -------------------------------------------------------------------------------------


def judge_what_is_heard(
    hearer: Hearer, events: Sequence[Recorded], running: Collection[str] = ()
) -> None:
    """Once it has come back, and all is told: it knows what the log says since it first came."""
    removed = removal_in(events)
    assert not hearer.problems, hearer.problems[0]
    told = {r.offset: text_of(r.event) for r in events if not r.mark and not removed(r.offset)}
    wanted = {o: text for o, text in told.items() if text is not None and o > hearer.since}
    assert hearer.texts == wanted, "a listener knows each text of the log once, and no other"
    assert [*hearer.texts] == sorted(hearer.texts), "in the order of the log"
    assert hearer.begun <= hearer.ended | {*running}, "every response that began ends"
    changes = [r.event.settings for r in events if isinstance(r.event, SettingsChanged)]
    settings = changes[-1].model_dump(exclude_none=True) if changes else {}
    assert hearer.settings == settings, "and the settings as they are"
    modes = [r.event.mode for r in events[hearer.since + 1 :] if isinstance(r.event, ModeChanged)]
    assert not modes or hearer.mode == modes[-1], "and who answers"


def judge_what_was_heard(hearer: Hearer, events: Sequence[Recorded]) -> None:
    """Of a session that has ended meanwhile: no more than it said."""
    assert not hearer.problems, hearer.problems[0]
    told = {r.offset: text_of(r.event) for r in events}
    wrong = {o: text for o, text in hearer.texts.items() if told[o] != text}
    assert not wrong, "a listener knows what the log says, and no other"


def text_of(event: Event) -> str | None:
    """None where it is told to nobody."""
    match event:
        case Input():
            told = event.source == "user" and event.speaks and bool(event.texts)
            return "\n\n".join(event.texts) if told else None
        case Posted():
            return event.text if event.kind == "message" else None
        case Spoke() | TurnFailed():
            return event.text or None
        case Answered() | PartlyAnswered():
            return event.text
        case InputsFailed():
            return ""
    return None


def removal_in(events: Sequence[Recorded]) -> Callable[[int], bool]:
    """Told from the log anew."""
    stretches = [(r.event.first, r.offset) for r in events if isinstance(r.event, EventsRemoved)]
    return lambda offset: any(first <= offset <= last for first, last in stretches)


# --- one thing after the other -------------------------------------------------------------------


class Inline:
    """Stands for a pool of threads: does at once what it is given."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, do: Callable[..., T], *given: Any) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(do(*given))
        except Exception as error:
            done.set_exception(error)
        return done

    def map(self, do: Callable[[Any], T], them: Iterable[Any]) -> list[T]:
        return [do(one) for one in them]


@contextmanager
def told_inline() -> Iterator[None]:
    with patch.object(broadcast, "ThreadPoolExecutor", Inline):
        yield


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def cut_at(text: str, position: int) -> str:
    return text.encode("utf-16-le")[: 2 * position].decode("utf-16-le")
