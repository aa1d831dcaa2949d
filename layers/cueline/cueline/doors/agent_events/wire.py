"""The requests of the door as its public schema has them; see `doors.strict`.

A field that it knows and this version does not have is refused by name (NotBuilt), unless it asks
for what happens anyway.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from cueline.doors.strict import Key, Name, Wire
from cueline.errors import NotBuilt

_TEMPLATE_LANGUAGE = re.compile(
    r"#\{?(?:set|if|elseif|foreach|macro|parse|include|evaluate|define)\}?\s*\("
    r"|#\{?(?:else|end|stop|break)\}?(?![0-9A-Za-z_-])"
    r"|#\[\["
    r"|\$!?\{?(?:session|agent|tools|currentDate)\b"
)
"""Velocity: its directives, and the variables that the public schema names."""


# --- types of fields -----------------------------------------------------------------------------


def _as_written(template: str) -> str:
    if found := _TEMPLATE_LANGUAGE.search(template):
        raise NotBuilt(f"The template language ({found[0]!r})")
    return template


Template = Annotated[str, AfterValidator(_as_written)]
"""Taken as it is written: its language is not built."""
Metadata = dict[str, Any]


# --- sessions ------------------------------------------------------------------------------------


class SessionFields(Wire):
    name: Annotated[Name, Field(max_length=255)] | None = None
    description: str | None = None
    metadata: Metadata | None = None
    enabled: bool | None = None
    tti_minutes: Annotated[int, Field(ge=0, le=2**53)] | None = None


class FromSession(Wire):
    """The session to fork, up to and with an event, or whole and with its oldest part summed up."""

    session_key: Key
    agent_key: Key | None = None
    include_up_to_event_id: Annotated[str, Field(max_length=100)] | None = None
    compact_up_to_event_id: Annotated[str, Field(max_length=100)] | None = None


class CreateSession(SessionFields):
    key: Key | None = None
    from_session: FromSession | None = None


class UpdateSession(SessionFields):
    pass
