"""What the server says over a WebSocket: JSON texts, each small enough for one frame.

Pure, so that whoever tells something, live or again, tells it in the same words.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from cueline.doors.shared import timestamp
from cueline.log.settings import Settings

Fields = dict[str, Any]
TalkState = Literal["preparing", "started", "ended"]
Closing = Literal["connection_limit", "connection_aborted", "unauthorized", "too_slow"]
"""Why a connection ends.

connection_limit    the gateway ends each after two hours
connection_aborted  its maker has ended it
unauthorized        the API key that it was made with is not valid any more
too_slow            it does not take what it is told in time
"""

MAX_BYTES = 30_000
"""Of a frame in UTF-8: the gateway takes 32 KB at once."""
MOST_SHOWN = 2_000
"""Characters of the message of a failure, which may be a provider's."""
_FARTHEST = 10**9
"""No text has so many characters; whoever measures a frame puts it for the position."""


def frame(event: str, data: Mapping[str, Any]) -> str:
    text = json.dumps(
        {"event": event, "data": data}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return _sendable(text)


def units(text: str) -> int:
    """Its length as JavaScript counts it: positions in frames are in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# --- messages ------------------------------------------------------------------------------------


def message(at: int, content: str | None = None, **fields: Any) -> list[str]:
    """One frame, or several whose contents make up the whole, each with its `position` in it.

    All but the last of several say that there is `more`. `at` is in ms since 1970, as everywhere.
    """
    whole = _message(at, fields, {} if content is None else {"content": content})
    if content is None or _bytes(whole) <= MAX_BYTES:
        return [whole]
    frames, position = [], 0
    pieces = [*_pieces(content, _room(at, fields))]
    for n, piece in enumerate(pieces, 1):
        own = {"content": piece, "position": position, "more": n < len(pieces)}
        frames.append(_message(at, fields, own))
        position += units(piece)
    return frames


def created(turn: str, part: int, at: int) -> str:
    """The turn begins to say its `part`-th message; nothing of it is said yet."""
    return _message(at, {**spoken(turn, part), "action": "created"}, {})


def deltas(turn: str, part: int, text: str, position: int, at: int) -> list[str]:
    """More of that message; `position` is how many UTF-16 code units of it came before."""
    fields = {**spoken(turn, part), "action": "delta"}
    frames = []
    for piece in _pieces(text, _room(at, fields)):
        frames.append(_message(at, fields, {"content": piece, "position": position}))
        position += units(piece)
    return frames


def spoken(turn: str, part: int | None = None) -> Fields:
    """What names an answer, and which of the messages that it consists of."""
    item = {} if part is None else {"item_id": f"{turn}-{part}"}
    return {"role": "assistant", "response_id": turn, **item}


def failure(code: str, message: str, *, retryable: bool) -> Fields:
    return {"code": code, "message": message[:MOST_SHOWN], "retryable": retryable}


def plain_failure(code: str, *, retryable: bool) -> Fields:
    """For strangers: why something failed may be told in a provider's or an operator's words."""
    message = (
        "The agent could not answer. Please try again."
        if retryable
        else "The agent cannot answer this."
    )
    return failure(code, message, retryable=retryable)


def session(
    at: int,
    session_id: str,
    connection_id: str,
    agent_id: str,
    *,
    offset: int,
    settings: Fields,
    resumed: bool,
) -> str:
    """The first frame; whatever stands behind `offset` in the log is told."""
    marker = {
        "type": "session",
        "session_id": session_id,
        "connection_id": connection_id,
        "agent_id": agent_id,
        "offset": offset,
        "settings": settings,
        "resumed": resumed,
        "timestamp": timestamp(at),
    }
    return frame("message_received", {"message": marker})


# --- all else ------------------------------------------------------------------------------------


def ready() -> str:
    return frame("avatar_state_changed", {"state": "ready"})


def talk_state(
    state: TalkState, turn: str, offset: int | None = None, *, more: bool = False
) -> str:
    """`offset` is that of the event that ended the turn; with `more` its message follows."""
    where: Fields = {} if offset is None else {"offset": offset}
    if more:
        where["more"] = True
    return frame("talk_state_changed", {"state": state, "response_id": turn, **where})


def shown_settings(settings: Settings, *, instructions: bool) -> Fields:
    """What is set. Instructions only for who may set them, and of very long ones the beginning."""
    shown = settings.model_dump(exclude_none=True)
    text = shown.pop("instructions", None)
    if text is None or not instructions:
        return shown
    first = next(_pieces(text, MAX_BYTES - 2_000), "")
    cut = {"instructions_cut": True} if len(first) < len(text) else {}
    return {"instructions": first, **cut, **shown}


def settings_updated(settings: Fields, offset: int) -> str:
    return frame("settings_updated", {"settings": settings, "version": offset, "offset": offset})


def mode_changed(mode: str, offset: int) -> str:
    return frame("mode_changed", {"mode": mode, "offset": offset})


def events_removed(first: int, offset: int) -> str:
    """All from offset `first` on up to here is as if it had never been said."""
    return frame("events_removed", {"first": first, "offset": offset})


def message_marked(item: str, mark: str, offset: int) -> str:
    return frame("message_marked", {"item_id": item, "mark": mark, "offset": offset})


def resumed(after: int, offset: int, *, truncated: bool) -> str:
    """Ends a replay of all between; `truncated` where what was asked for began before that."""
    return frame("resumed", {"after": after, "offset": offset, "truncated": truncated})


def session_closing(closes_at: int, reason: Closing = "connection_limit") -> str:
    """The connection ends then, and not its session.

    `reconnect_after_ms` is 0 where its client may come back at once, and null where somebody has
    ended it on purpose.
    """
    comes_back = reason in ("connection_limit", "too_slow")
    return frame(
        "session_closing",
        {
            "reason": reason,
            "reconnect_after_ms": 0 if comes_back else None,
            "closes_at": timestamp(closes_at),
        },
    )


def session_expired(reason: Literal["deleted", "expired"], offset: int | None = None) -> str:
    where = {} if offset is None else {"offset": offset}
    return frame("session_expired", {"reason": reason, **where})


# --- sizes ---------------------------------------------------------------------------------------


def _message(at: int, fields: Fields, own: Fields) -> str:
    told = {"type": "message", **fields, **own, "timestamp": timestamp(at)}
    return frame("message_received", {"message": told})


def _room(at: int, fields: Fields) -> int:
    """Bytes for a content beside these fields."""
    rest = _message(at, fields, {"content": "", "position": _FARTHEST, "more": False})
    return MAX_BYTES - _bytes(rest)


def _pieces(text: str, room: int) -> Iterator[str]:
    """As few as possible, each of which takes no more bytes in JSON."""
    text = _sendable(text)
    start = 0
    while start < len(text):
        left = text[start : start + room]
        if _in_json(left) > room:
            count = bisect_right(range(len(left) + 1), room, key=lambda n: _in_json(left[:n])) - 1
            left = left[:count]
        yield left
        start += len(left)


def _in_json(text: str) -> int:
    return _bytes(json.dumps(text, ensure_ascii=False)) - 2


def _bytes(text: str) -> int:
    return len(text.encode())


def _sendable(text: str) -> str:
    """Halves of characters that stand alone, as a model may send them, cannot be sent."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
