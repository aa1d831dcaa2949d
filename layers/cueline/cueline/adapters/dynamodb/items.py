"""Keys and items of the one table; `background_items` has more. `records` knows attributes too.

`session` below is the global id, `<agent key>.<session key>`.

| entity     | pk            | sk                       | list             | rank               |
|------------|---------------|--------------------------|------------------|--------------------|
| agent      | agent key     | AGENT                    | agents           | <created_at>#<key> |
| session    | session       | META                     | sessions#<agent> | <created_at>#<key> |
| segment    | session       | E#<incarnation>#<offset> |                  |                    |
| beat       | session       | B#<incarnation>#<turn>   |                  |                    |
| connection | session       | C#<random>               |                  |                    |
| keyed      | session       | R#<incarnation>#<digest> |                  |                    |
| WebSocket  | socket#<g>    | SOCKET                   |                  |                    |
| customer   | customer#<id> | CUSTOMER                 | customers        | <created_at>#<id>  |
| API key    | key#<id>      | KEY                      | keys             | <created_at>#<id>  |
| spend      | spend#<a>     | D#<day>                  |                  |                    |

A key of an agent or a session has neither `.` nor `#`, so no partition is two things. Numbers in
keys are zero padded: incarnation 15 digits, offset 10, created_at 15. A keyed item is what an
idempotency key (its digest) stands for; it sorts after META, so no tail ever reads it. `<a>` is an
account, mostly an API key's id, and the day is 2026-11-21. A customer's id is any text. A
connection's id is `<session>.<random>`; its item has the SHA-256 of the secret that opens it, and
once it is open there is a second one for it, under `<g>`, the gateway's own id of the WebSocket.

A segment is written once, and then only its `marks` and `notes` change: each a JSON object by
offset, which is there where an event has a mark, or other metadata than it was written with. With
a mark `erased` its event in `events` is emptied. For the table's stream it has `heard`, where
somebody may listen as it is written, and `ended`, where an input or a turn ends in it.

A session is in the list of its agent, and in the `shard` (`sessions#0` to `sessions#7`, by a hash
of its id) that has it for a list of all.

| access pattern                            | index         | condition                          |
|-------------------------------------------|---------------|------------------------------------|
| tail: META, then segments, newest first   | table         | sk from E# to META, backwards      |
| read: events after an offset              | table         | sk from E#<inc>#<after - 15>       |
| append, or take a key for nothing         | table         | Put where the key is free          |
| mark or annotate an event                 | table         | Update where both are as read      |
| append a keyed input                      | table         | both Puts, in one transaction      |
| what was appended next, or under a key    | table         | Get                                |
| newest segment of all, of an incarnation  | table         | sk in E#, E#<inc>, backwards, one  |
| what to sweep                             | table         | sk below E#, B#, R#<inc + 1>       |
| agent, beat, customer, API key, spend     | table         | Get                                |
| offer a connection                        | table         | Put where the key is free          |
| open one, where its ticket is not taken   | table         | Get; Update and Put in one         |
|                                           |               | transaction                        |
| a connection; by its WebSocket            | table         | Get; Get of both                   |
| those of a session                        | table         | sk in C#                           |
| agents; an agent's sessions; customers;   | ListIndex     | list, rank behind the last one     |
| API keys; triggers                        |               | seen, in either direction          |
| sessions of all agents, by time of making | SessionsIndex | each shard, likewise, merged       |

Reads of the table are strongly consistent, but for those of what was appended next by who asks
again anyway. Those of the indexes lag, and decide nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from cueline.adapters.expiry import hint_of
from cueline.adapters.marks import marks_from_json, marks_to_json, notes_from_json, notes_to_json
from cueline.adapters.page_keys import rank
from cueline.adapters.session_texts import FIELDS, session_fields, session_to_texts
from cueline.adapters.sizes import FLAGS, flags_of, segment_size, segment_to_json
from cueline.log.events import Mark, Recorded, events_from_json, events_to_json
from cueline.log.segment import Segment, Session, record
from cueline.log.state import State, state_from_json, state_to_json

Item = Mapping[str, Any]
"""Attributes as the low-level API and the table's stream have them."""

INDEX = "ListIndex"
SESSIONS_INDEX = "SessionsIndex"
SHARDS = 8
"""Of the index of all sessions: one alone could not take the writes of so many."""
META = "META"
FIRST_SEGMENT = "E#"
AFTER_SEGMENTS = "E$"
FIRST_BEAT = "B#"
FIRST_CONNECTION = "C#"
AFTER_CONNECTIONS = "C$"
FIRST_KEYED = "R#"

BLANK_EVENTS = "[]"
BLANK_STATE = state_to_json(State(deleted=True))


# --- keys ----------------------------------------------------------------------------------------


def text(value: str) -> Item:
    return {"S": value}


def number(value: int) -> Item:
    return {"N": str(value)}


def key_of(pk: str, sk: str) -> dict[str, Item]:
    return {"pk": text(pk), "sk": text(sk)}


def sk_of(item: Item) -> str:
    return str(item["sk"]["S"])


def segment_sk(incarnation: int, at: int) -> str:
    return f"E#{incarnation:015}#{at:010}"


def past_segments(incarnation: int) -> str:
    """Above every segment up to this incarnation, below all others."""
    return f"E#{incarnation + 1:015}"


def beat_sk(incarnation: int, turn: str) -> str:
    return f"B#{incarnation:015}#{turn}"


def past_beats(incarnation: int) -> str:
    return f"B#{incarnation + 1:015}"


def keyed_sk(incarnation: int, key: str) -> str:
    return f"R#{incarnation:015}#{key}"


def past_keyed(incarnation: int) -> str:
    return f"R#{incarnation + 1:015}"


def incarnation_in(item: Item) -> int:
    return int(sk_of(item).split("#")[1])


def offset_in(item: Item) -> int:
    return int(sk_of(item).split("#")[2])


def sessions_list(agent_key: str) -> str:
    return f"sessions#{agent_key}"


def shards() -> Sequence[str]:
    return [f"sessions#{n}" for n in range(SHARDS)]


def attempt_of(item: Item) -> str:
    """Of the write that made this item: a writer knows its own by it."""
    return str(item["attempt"]["S"])


def expires_in(item: Item) -> int:
    """When it is to be taken for absent, in seconds since 1970; the table removes it later."""
    return int(item["ttl"]["N"])


def version_of(item: Item) -> int:
    return int(item["version"]["N"])


def incarnation_of(item: Item) -> int:
    return int(item["incarnation"]["N"])


# --- segments ------------------------------------------------------------------------------------


def segment_to_item(session: str, incarnation: int, segment: Segment) -> dict[str, Item]:
    """Raises TooLarge."""
    events, state = segment_to_json(segment)
    marks = {"marks": marks_attribute(segment)} if segment.marks else {}
    notes = {"notes": notes_attribute(segment)} if segment.notes else {}
    flags = {flag: number(1) for flag in flags_of(segment)}
    return {
        **key_of(session, segment_sk(incarnation, segment.at)),
        "events": text(events),
        "state": text(state),
        "n": number(len(segment.events)),
        "attempt": text(segment.attempt),
        "written_at": number(segment.written_at),
        "trace_id": text(segment.trace_id),
        **marks,
        **notes,
        **flags,
    }


def segment_from_item(item: Item) -> Segment:
    return Segment(
        at=offset_in(item),
        events=events_from_json(item["events"]["S"]),
        state=state_from_json(item["state"]["S"]),
        attempt=attempt_of(item),
        written_at=int(item["written_at"]["N"]),
        trace_id=item["trace_id"]["S"],
        marks=marks_in(item),
        notes=notes_in(item),
    )


def heard_segment(image: Item) -> tuple[str, int, Segment]:
    """Session, incarnation and segment, from the new image of a segment in the table's stream."""
    return str(image["pk"]["S"]), incarnation_in(image), segment_from_item(image)


def events_attribute(segment: Segment) -> Item:
    return text(events_to_json(segment.events))


def marks_attribute(segment: Segment) -> Item:
    return text(marks_to_json(segment.marks))


def marks_in(item: Item) -> dict[int, Mark]:
    return marks_from_json(item["marks"]["S"]) if "marks" in item else {}


def notes_attribute(segment: Segment) -> Item:
    return text(notes_to_json(segment.notes))


def notes_in(item: Item) -> dict[int, dict[str, Any]]:
    return notes_from_json(item["notes"]["S"]) if "notes" in item else {}


def blanked(item: Item) -> bool:
    return bool(item["n"]["N"] == "0")


def recorded_in(item: Item) -> tuple[Recorded, ...]:
    """The segment's events, without a look at its state."""
    events, written_at = events_from_json(item["events"]["S"]), int(item["written_at"]["N"])
    marks, notes = marks_in(item), notes_in(item)
    return record(offset_in(item), written_at, item["trace_id"]["S"], events, marks, notes)


def state_in(item: Item) -> str:
    """The state after a segment, as JSON."""
    return str(item["state"]["S"])


def size_of(item: Item) -> int:
    """Of a segment's item, in bytes as stored."""
    return segment_size(
        item["pk"]["S"],
        item["events"]["S"],
        item["state"]["S"],
        attempt_of(item),
        item["trace_id"]["S"],
        item["marks"]["S"] if "marks" in item else "",
        item["notes"]["S"] if "notes" in item else "",
        flags=[flag for flag in FLAGS if flag in item],
    )


# --- sessions ------------------------------------------------------------------------------------


def session_to_item(session: Session, attempt: str, now: int) -> dict[str, Item]:
    """`now` in ms decides the collector's hint. Raises TooLarge."""
    item: dict[str, Item] = {
        **key_of(session.id, META),
        "list": text(sessions_list(session.agent_key)),
        "rank": text(rank(session.created_at, session.session_key)),
        "shard": text(shards()[crc32(session.id.encode()) % SHARDS]),
        "incarnation": number(session.incarnation),
        "enabled": {"BOOL": session.enabled},
        "tti_minutes": number(session.tti_minutes),
        "created_at": number(session.created_at),
        "version": number(session.version),
        "mark": text(session.mark),
        "attempt": text(attempt),
        **{name: text(value) for name, value in session_to_texts(session).items()},
    }
    if session.building:
        item["building"] = {"BOOL": True}
    if until := hint_of(session, now):
        item["ttl"] = number(until)
    return item


def session_from_item(item: Item) -> Session:
    agent_key, _, session_key = item["pk"]["S"].partition(".")
    texts = {name: str(item[name]["S"]) for name in FIELDS if name in item}
    return Session(
        agent_key=agent_key,
        session_key=session_key,
        incarnation=incarnation_of(item),
        created_at=int(item["created_at"]["N"]),
        enabled=item["enabled"]["BOOL"],
        tti_minutes=int(item["tti_minutes"]["N"]),
        version=version_of(item),
        mark=item["mark"]["S"] if "mark" in item else "",
        building="building" in item,
        collect_at=int(item["ttl"]["N"]) if "ttl" in item else 0,
        **session_fields(texts),
    )
