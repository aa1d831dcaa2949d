"""What ends something for its caller, or hands it over to people: it is marked, and counted."""

import pytest

from cueline.adapters.dynamodb import items
from cueline.engine.ports import Ports
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    Input,
    InputsFailed,
    InputsWithdrawn,
    Listening,
    ModeChanged,
    ModelCalled,
    PartlyAnswered,
    SessionDeleted,
    Spoke,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.fold import reduce
from cueline.log.segment import Segment
from cueline.log.state import State
from tests.contract.backends import SESSION, TABLE, Backend, size_of

NOW = 1_750_000_000_000
INCARNATION = NOW - 1
SAID = Input(texts=("Good morning",))
BEGAN = TurnBegan(turn="t", inputs=(0,))
SPOKE = Spoke(turn="t", text="One moment.")
ANSWERED = Answered(turn="t", inputs=(0,), text="Good morning.")
ENDS: list[Event] = [
    ANSWERED,
    Finished(turn="t", inputs=(0,)),
    TurnFailed(turn="t", inputs=(0,), code="c", message="m", retryable=True),
    TurnInterrupted(turn="t", inputs=(0,)),
    TurnSuspended(turn="t", inputs=(0,), calls=("c",)),
    InputsFailed(inputs=(0,)),
    InputsWithdrawn(inputs=(0,)),
    ModeChanged(mode="manual"),
    ModeChanged(mode="auto"),
]
OTHERS: list[Event] = [
    SAID,
    SPOKE,
    ModelCalled(turn="t"),
    TurnPostponed(turn="t", until=NOW, code="c", message="m"),
    PartlyAnswered(turn="t", text="Good", inputs=(0,)),
    Listening(connection=f"{SESSION}.r1", until=NOW),
    SessionDeleted(),
]


def segment(*events: Event, at: int, state: State | None = None) -> Segment:
    return Segment(at, events, state or State(), f"attempt{at}", NOW, "trace")


def write(ports: Ports, *events: Event, at: int) -> Segment:
    head = ports.log.tail(SESSION).head
    new = segment(*events, at=at, state=reduce(head.state if at else State(), at, events))
    assert ports.log.append(SESSION, INCARNATION, new) is None
    return new


def kind(event: Event) -> str:
    return event.type


@pytest.mark.parametrize("event", ENDS, ids=kind)
def test_what_ends_something_is_marked_wherever_it_stands(event: Event) -> None:
    for events in ((event,), (SPOKE, event), (event, SAID)):
        item = items.segment_to_item(SESSION, INCARNATION, segment(*events, at=3))
        assert item["ended"] == {"N": "1"}
        assert "heard" not in item


@pytest.mark.parametrize("event", OTHERS, ids=kind)
def test_nothing_else_is(event: Event) -> None:
    item = items.segment_to_item(SESSION, INCARNATION, segment(event, at=3))
    assert "ended" not in item


def test_it_may_be_heard_too(table: Backend) -> None:
    written = write(table.ports, SAID, BEGAN, at=0)
    joined = Listening(connection=f"{SESSION}.r1", until=NOW + 100)
    ended = write(table.ports, joined, ANSWERED, at=2)
    assert table.client
    first, second = sorted(table.client.scan(TableName=TABLE)["Items"], key=items.sk_of)
    assert not {"heard", "ended"} & first.keys()
    assert (second["heard"], second["ended"]) == ({"N": "1"}, {"N": "1"})
    assert items.heard_segment(first) == (SESSION, INCARNATION, written)
    assert items.heard_segment(second) == (SESSION, INCARNATION, ended)


@pytest.mark.parametrize("last", [SPOKE, ANSWERED], ids=kind)
def test_the_mark_counts_as_stored(ports: Ports, last: Event) -> None:
    """A window that just holds both segments holds one where it is a byte smaller."""
    written = write(ports, SAID, BEGAN, at=0), write(ports, last, at=2)
    kept = [items.segment_to_item(SESSION, INCARNATION, one) for one in written]
    window = sum(map(size_of, kept))
    assert len(ports.log.tail(SESSION, window).events) == 3
    assert len(ports.log.tail(SESSION, window - 1).events) == 1


def test_what_becomes_of_a_segment_later_leaves_it_marked(table: Backend) -> None:
    write(table.ports, SAID, BEGAN, ANSWERED, at=0)
    assert table.ports.log.mark(SESSION, INCARNATION, 2, "erased")
    assert table.client
    [image] = table.client.scan(TableName=TABLE)["Items"]
    assert image["ended"] == {"N": "1"}
    _, _, kept = items.heard_segment(image)
    assert image == items.segment_to_item(SESSION, INCARNATION, kept)
