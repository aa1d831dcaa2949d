"""What starts agents in the background, as it is stored: a trigger's JSON, and names that fit."""

import json
import re
from dataclasses import asdict, fields

from cueline.adapters.sizes import check_size, size
from cueline.engine.background import BackgroundTrigger
from cueline.errors import InvalidPageKey

DELIVERED = 86_400_000
"""Milliseconds for which it is known what was delivered."""
_NAME = re.compile(r"[0-9A-Za-z._-]{1,500}")
_OWN = ("id", "created_at", "version")
_KEPT = [one.name for one in fields(BackgroundTrigger) if one.name not in _OWN]


def trigger_to_json(trigger: BackgroundTrigger) -> str:
    """All but its id, when it was made, and its version. Raises InvalidRequest, TooLarge."""
    given = asdict(trigger)
    text = json.dumps({name: given[name] for name in _KEPT}, ensure_ascii=False)
    check_size(size(text))
    return text


def trigger_from_json(text: str, of: str, created_at: int, version: int) -> BackgroundTrigger:
    kept = json.loads(text)
    given = {name: kept[name] for name in _KEPT if name in kept}
    return BackgroundTrigger(id=of, created_at=created_at, version=version, **given)


def is_name(name: str) -> bool:
    """Whether a trigger or a run can be called so; anybody may have sent it."""
    return _NAME.fullmatch(name) is not None


def checked(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"Nothing that runs in the background can be called {name!r}.")
    return name


def checked_before(before: str | None) -> str | None:
    """Raises InvalidPageKey for what can be no run's id."""
    if before is not None and not is_name(before):
        raise InvalidPageKey
    return before
