"""The requests that concern events, as the public API has them and a little more."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from cueline.doors.triggered_responses.wire import Edit, SaidGuidelines, Text, Wire
from cueline.log.triggers import Participant as ParticipantOfEngine

Kind = Literal["message", "tool", "status", "custom"]
Source = Literal[
    "customer",
    "customer_ui",
    "human_agent",
    "human_agent_on_behalf_of_ai_agent",
    "ai_agent",
    "system",
]
Status = Literal["acknowledged", "cancelled", "processing", "ready", "typing", "error"]

A_YEAR = 365 * 86_400
"""Seconds. What is later than that nobody schedules."""


def _kinds(given: object) -> object:
    """A list, from names with commas between them."""
    if not isinstance(given, str):
        return given
    return [kind for one in given.split(",") if (kind := one.strip())]


def _moment(given: object) -> object:
    if not isinstance(given, str) or "-" not in given:  # else any number would be a time
        raise ValueError("must be a time such as 2030-01-31T12:00:00Z")
    return given


class Participant(Wire):
    id: Annotated[str, Field(max_length=200)] | None = None
    display_name: Annotated[Text, Field(max_length=200)]

    def to_engine(self) -> ParticipantOfEngine:
        return ParticipantOfEngine(id=self.id, display_name=self.display_name)


class PostEvent(Wire):
    """Which fields must be there depends on kind and source; see `posting`."""

    kind: Kind
    source: Source
    message: str | None = None
    data: Any = None
    metadata: dict[str, Any] | None = None
    guidelines: SaidGuidelines | None = None
    participant: Participant | None = None
    status: Status | None = None
    at: Annotated[AwareDatetime, BeforeValidator(_moment)] | None = None
    """Cueline's own, as is the next: when a trigger is to come, if not now."""
    delay_seconds: Annotated[int, Field(ge=1, le=A_YEAR, strict=True)] | None = None


class PostQuery(Wire):
    moderation: Literal["none", "auto", "paranoid"] = "none"
    """Of what the customer says; only `none` is built."""


class ListQuery(Wire):
    """Filters, which must all match, and how long to wait for something that does."""

    min_offset: Annotated[int, Field(ge=-(2**53), le=2**53)] = 0
    source: Source | None = None
    kinds: Annotated[tuple[Kind, ...], BeforeValidator(_kinds)] = ()
    """None is all."""
    trace_id: str | None = None
    correlation_id: str | None = None
    """The older name of the trace."""
    wait_for_data: Annotated[int, Field(le=2**31)] = 60
    """Seconds; 0 is not to wait."""
    sse: bool = False

    @property
    def first(self) -> int:
        return max(0, self.min_offset)

    def wants(self, event: dict[str, Any]) -> bool:
        """Whether the event, as it is shown, passes the filters."""
        return (
            event["offset"] >= self.min_offset
            and self.source in (None, event["source"])
            and (not self.kinds or event["kind"] in self.kinds)
            and self.trace_id in (None, event["trace_id"])
            and self.correlation_id in (None, event["correlation_id"])
        )


class EventQuery(Wire):
    """Of one event. It is whole when it is there, so that there is nothing to wait for."""

    wait_for_completion: bool = False
    wait_for_data: int = 60
    sse: bool = False


class EventEdit(Wire):
    metadata: Edit | None = None


class RemovalQuery(Wire):
    min_offset: Annotated[int, Field(ge=-(2**53), le=2**53)]


def milliseconds(moment: datetime) -> int:
    """Since 1970, UTC."""
    return round(moment.timestamp() * 1000)
