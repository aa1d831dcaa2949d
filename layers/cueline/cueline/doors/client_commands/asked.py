"""A request for a connection as it is written: read to the letter, refused field by field; pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict
from pydantic.alias_generators import to_camel

from cueline.doors.body import has_controls
from cueline.doors.shared import KEY, MAX_ECHO
from cueline.doors.strict import RareWire, invalid, parse, text
from cueline.engine.listeners import GRANTS
from cueline.log.segment import GUEST

CHANNEL, MODALITY = "websocket", "text"
MAX_TOLD = 8 * 1024
"""UTF-8 bytes of a profile as JSON, and of tags."""
MAX_OPENING = 4_000
MAX_TAGS = 20
LONGEST_TAG = 200
"""Characters, of a tag's name and of its value."""


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _websocket(value: str) -> str:
    if value != CHANNEL:
        why = "; voice is not built" if value == "webrtc" else ""
        raise ValueError(f"must be `{CHANNEL}`, the only one there is{why}")
    return value


def _text_only(value: str) -> str:
    if value != MODALITY:
        why = f"; {value} is not built" if value in ("audio", "video") else ""
        raise ValueError(f"must be `{MODALITY}`, the only one there is{why}")
    return value


def _client(value: str) -> str:
    if not KEY.fullmatch(value) or len(value) > 32:
        raise ValueError("must be 1 to 32 letters, digits, `_` or `-`")
    if value == GUEST:
        raise ValueError("must not be `guest`, who stands for everybody without an id")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(value).encode()) > MAX_TOLD:
        raise ValueError(f"must not be larger than {MAX_TOLD // 1024} KB")
    return value


def _opening(value: str) -> str:
    if len(value) > MAX_OPENING:
        raise ValueError(f"must not be longer than {MAX_OPENING:,} characters")
    return text(value)


def _tags(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_TAGS:
        raise ValueError(f"must not be more than {MAX_TAGS}, here are {len(value):,}")
    for name, said in value.items():
        if not name.strip():
            raise ValueError("must have names that are not empty")
        for what, one in (("name", name), ("value of the tag", said)):
            if len(one) > LONGEST_TAG:
                why = f"must not be longer than {LONGEST_TAG} characters"
            elif has_controls(one):
                why = "must not contain control characters"
            else:
                continue
            raise ValueError(f"the {what} {name[:MAX_ECHO]!r} {why}")
    return _small(value)


def _grants(value: list[str]) -> list[str]:
    known = ", ".join(f"`{one}`" for one in GRANTS)
    if not value:
        raise ValueError(f"must not be empty; leave it out for all of {known}")
    if unknown := [one for one in value if one not in GRANTS]:
        raise ValueError(f"there is no {unknown[0][:MAX_ECHO]!r}; there are {known}")
    return value


def _after(value: int) -> int:
    if value < -1:
        raise ValueError("must be the offset of an event, or -1 for all")
    return value


class CreateConnection(RareWire):
    """`session_id`, `grants` and `after` are Cueline's own. Null is as if it were not there."""

    model_config = ConfigDict(alias_generator=to_camel)

    channel_type: Annotated[str, AfterValidator(_websocket)] | None = None
    modality: Annotated[str, AfterValidator(_text_only)] | None = None
    external_client_id: Annotated[str, AfterValidator(_client)] | None = None
    external_client_profile: Annotated[dict[str, Any], AfterValidator(_small)] | None = None
    """What is known of whom the agent talks with, for the agent to read."""
    initial_speech: Annotated[str, AfterValidator(_opening)] | None = None
    """What the agent is to open with, in words of its own."""
    tags: Annotated[dict[str, str], AfterValidator(_tags)] | None = None
    disable_idle_timeout: bool | None = None
    """Nothing of Cueline's ends a connection that is idle; the gateway does, after ten minutes."""
    session_id: str | None = None
    """Of the session to join, whichever door made it."""
    grants: Annotated[list[str], AfterValidator(_grants)] | None = None
    """What may be sent through it; None is everything."""
    after: Annotated[int, AfterValidator(_after)] | None = None
    """The offset of the last event that is known: what came since is told first."""


def asked(body: Mapping[str, Any]) -> CreateConnection:
    """Raises InvalidRequest."""
    given = parse(CreateConnection, body)
    wrong = {}
    if given.session_id is None and given.after is not None:
        wrong["after"] = "goes with sessionId: in a new session nothing can have been missed"
    if given.session_id is not None and given.tags is not None:
        wrong["tags"] = "go with a new session, not with sessionId"
    if wrong:
        raise invalid(wrong)
    return given
