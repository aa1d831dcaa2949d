"""The wake-up as a message body, and when it may be sent."""

import re
from dataclasses import asdict
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cueline.engine.ports import WakeUp
from cueline.errors import InvalidRequest

MAX_DELAY = 900
"""Seconds; what a queue can hold a message back."""
_SCHEDULE = re.compile(r"[0-9A-Za-z._-]{1,64}")

_SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+$")]


@dataclass(frozen=True, config=ConfigDict(strict=True))
class _Body:
    session: _SessionId
    look: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    sweep: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, le=2)]] | None = None
    waited: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = None
    guards: Annotated[int, Field(ge=0)] | None = None
    in_case: bool = False
    triggers: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = None


_BODY = TypeAdapter(_Body)


def wake_up_to_json(wake_up: WakeUp) -> str:
    return _BODY.dump_json(_Body(**asdict(wake_up)), exclude_defaults=True).decode()


def wake_up_from_json(text: str) -> WakeUp:
    """Raises InvalidRequest for everything that is not a wake-up."""
    try:
        body = _BODY.validate_json(text)
    except ValidationError:
        raise InvalidRequest("This message is no wake-up.") from None
    return WakeUp(
        body.session,
        body.look,
        body.sweep,
        body.waited,
        body.guards,
        body.in_case,
        body.triggers,
    )


def checked_delay(delay: int) -> int:
    if not 0 <= delay <= MAX_DELAY:
        raise ValueError(f"A wake-up is delayed by 0 to {MAX_DELAY} seconds, not {delay}.")
    return delay


def checked_name(name: str) -> str:
    """Of a schedule."""
    if not _SCHEDULE.fullmatch(name):
        raise ValueError(f"A schedule has up to 64 letters, digits, -, _ or ., not {name!r}.")
    return name
