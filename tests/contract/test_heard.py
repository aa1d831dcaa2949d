"""What is written while somebody may listen: it is marked, counted, and found in the stream."""

from typing import Any

import pytest

from cueline.adapters.dynamodb import items
from cueline.engine.ports import Ports
from cueline.log.events import Event, Input, Listening, SessionDeleted
from cueline.log.fold import reduce
from cueline.log.segment import Segment
from cueline.log.state import State
from tests.contract.backends import SESSION, TABLE, Backend, size_of

NOW = 1_750_000_000_000
INCARNATION = NOW - 1
JOINED = Listening(connection=f"{SESSION}.r1", until=NOW + 100)
SAID = Input(texts=("Good morning",))


def write(ports: Ports, *events: Event, at: int, when: int = NOW) -> Segment:
    head = ports.log.tail(SESSION).head
    state = reduce(head.state if at else State(), at, events)
    new = Segment(at, events, state, f"attempt{at}", when, "trace")
    assert ports.log.append(SESSION, INCARNATION, new) is None
    return new


def stored(table: Backend) -> list[Any]:
    assert table.client
    found = table.client.scan(TableName=TABLE)["Items"]
    return sorted(found, key=items.sk_of)


def test_what_is_written_while_somebody_may_listen_is_marked(table: Backend) -> None:
    write(table.ports, SAID, at=0)
    write(table.ports, JOINED, at=1)
    write(table.ports, SAID, at=2, when=NOW + 99)
    write(table.ports, SAID, at=3, when=NOW + 100)
    marks = [item.get("heard") for item in stored(table)]
    assert marks == [None, {"N": "1"}, {"N": "1"}, None]


def test_the_end_of_a_session_is_heard_too(table: Backend) -> None:
    write(table.ports, JOINED, at=0)
    write(table.ports, SessionDeleted(), at=1)
    assert [item.get("heard") for item in stored(table)] == [{"N": "1"}] * 2


def test_the_stream_has_all_of_a_segment(table: Backend) -> None:
    written = write(table.ports, JOINED, SAID, at=0)
    [image] = stored(table)
    assert items.heard_segment(image) == (SESSION, INCARNATION, written)


@pytest.mark.parametrize("until", [NOW, NOW + 1])
def test_the_mark_counts_as_stored(ports: Ports, until: int) -> None:
    """A window that just holds both segments holds one where it is a byte smaller."""
    joined = JOINED.model_copy(update={"until": until})
    written = write(ports, joined, at=0), write(ports, SAID, at=1)
    kept = [items.segment_to_item(SESSION, INCARNATION, one) for one in written]
    assert all(("heard" in item) == (until > NOW) for item in kept)
    window = sum(map(size_of, kept))
    assert len(ports.log.tail(SESSION, window).events) == 2
    assert len(ports.log.tail(SESSION, window - 1).events) == 1


def test_what_becomes_of_a_segment_later_leaves_it_marked(table: Backend) -> None:
    write(table.ports, JOINED, SAID, at=0)
    assert table.ports.log.mark(SESSION, INCARNATION, 1, "erased")
    assert table.ports.log.annotate(SESSION, INCARNATION, 0, lambda _: {"a": "b"})
    [image] = stored(table)
    assert image["heard"] == {"N": "1"}
    _, _, segment = items.heard_segment(image)
    assert image == items.segment_to_item(SESSION, INCARNATION, segment)
