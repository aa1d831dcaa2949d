"""What is judged: the log as stored, what clients were told, what readers saw."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cueline.adapters.dynamodb.items import (
    Item,
    blanked,
    incarnation_in,
    segment_from_item,
    sk_of,
)
from cueline.log.events import Event, Recorded, SessionDeleted, offset_in
from cueline.log.segment import Segment


@dataclass(frozen=True)
class Told:
    """What a client sent, and what it was told in the end. Texts are unique in a session."""

    session: str
    who: str
    text: str
    key: str = ""
    policy: str = ""
    """Of an input from another door."""
    attempts: int = 1
    """How often it sent this, its repeats after failures included."""
    status: int = 0
    """0: every attempt was cut off."""
    code: str = ""
    """Of the error, where it was one."""
    event: str = ""
    """The id of the input, where it was told: this input is acknowledged."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Texts under the ids that they were told with."""
    since: bool = False
    """It asked for more than its own turn."""
    raw: str = ""
    """The last answer's body."""


@dataclass(frozen=True)
class Reading:
    """Ids of events that somebody saw who read on from the last one again and again."""

    session: str
    ids: tuple[str, ...]
    whole: bool = True
    """It went on until after the end."""


@dataclass(frozen=True)
class Log:
    """One incarnation of a session, as stored."""

    session: str
    incarnation: int
    segments: tuple[Segment, ...]
    blank: bool

    @property
    def recorded(self) -> list[Recorded]:
        return [recorded for segment in self.segments for recorded in segment.recorded()]

    def at(self, event: str) -> Event | None:
        """The event with this id; None where it is not of this log, or not there."""
        offset = offset_in(event, self.session, self.incarnation)
        return next((r.event for r in self.recorded if r.offset == offset), None)

    @property
    def deleted(self) -> bool:
        return self.blank or any(isinstance(r.event, SessionDeleted) for r in self.recorded)


def stored(items: Iterable[Item]) -> list[Log]:
    found: dict[tuple[str, int], list[Item]] = defaultdict(list)
    for item in items:
        if sk_of(item).startswith("E#"):
            found[item["pk"]["S"], incarnation_in(item)].append(item)
    return [
        Log(
            session,
            incarnation,
            tuple(segment_from_item(item) for item in sorted(segments, key=sk_of)),
            any(blanked(item) for item in segments),
        )
        for (session, incarnation), segments in sorted(found.items())
    ]


def texts_of(event: Mapping[str, Any]) -> list[str]:
    """Of an `input_message` as the door shows it."""
    return [message["content"] for message in event.get("messages", [])]
