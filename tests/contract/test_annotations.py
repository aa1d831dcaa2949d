"""What an event's metadata has become is read in its place, whoever else changes it."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from cueline.adapters.dynamodb import items
from cueline.adapters.marks import marks_to_json
from cueline.adapters.sizes import check_noted
from cueline.engine.ports import Ports
from cueline.errors import InvalidRequest, TooLarge, Unavailable
from cueline.log.events import Input, Mark, Posted, Recorded, SessionDeleted, TurnBegan
from cueline.log.segment import MAX_EVENTS
from tests.contract.backends import (
    SESSION,
    TABLE,
    Backend,
    Loss,
    atomic_calls,
    hooked,
    in_threads,
    size_of,
)
from tests.contract.test_marks import INCARNATION, made, mark, readings, write

SIXTEEN = [Posted(text=f"text {n}", metadata={"n": n}) for n in range(MAX_EVENTS)]
Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@pytest.fixture(name="backend")
def with_session(backend: Backend) -> Backend:
    return made(backend)


@pytest.fixture(name="table")
def table_with_session(table: Backend) -> Backend:
    return made(table)


def setting(**fields: Any) -> Change:
    return lambda before: {**before, **fields}


def annotate(ports: Ports, offset: int, change: Change) -> Recorded | None:
    return ports.log.annotate(SESSION, INCARNATION, offset, change)


def notes(ports: Ports, count: int) -> dict[int, Mapping[str, Any]]:
    """By offset; every way to read the log must agree."""
    first, *others = readings(ports, count)
    assert all(list(other) == list(first) for other in others)
    assert [r.offset for r in first] == list(range(count))
    return {r.offset: r.metadata for r in first if r.metadata is not None}


# --- change --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 7, 15, 16, 31])
def test_each_event_of_a_full_segment_can_be_annotated(ports: Ports, offset: int) -> None:
    written = [*write(ports, *SIXTEEN).recorded(), *write(ports, *SIXTEEN).recorded()]
    noted = annotate(ports, offset, setting(seen=True))
    event = written[offset]
    after = {"n": offset % 16, "seen": True}
    assert noted == Recorded(offset, event.created_at, "trace", event.event, None, after)
    assert notes(ports, 32) == {offset: after}


def test_a_change_is_given_what_the_metadata_is_now(ports: Ports) -> None:
    write(ports, *SIXTEEN[:2], Input(texts=("Hi",)))
    given: list[Mapping[str, Any]] = []

    def change(before: Mapping[str, Any]) -> Mapping[str, Any]:
        given.append({**before})
        return {**before, "x": len(given)}

    for offset in (1, 1, 2, 0):
        annotate(ports, offset, change)
    assert given == [{"n": 1}, {"n": 1, "x": 1}, {}, {"n": 0}]
    assert notes(ports, 3) == {0: {"n": 0, "x": 4}, 1: {"n": 1, "x": 2}, 2: {"x": 3}}


def test_metadata_can_be_emptied(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    annotate(ports, 3, lambda _: {})
    assert notes(ports, 16) == {3: {}}


def test_whatever_json_holds_comes_back(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    odd = {"ü": [1, 2.5, None, True, {"a": {}}], "": "\N{SNOWMAN}\n", "big": 2**70, "10": 1, "9": 2}
    noted = annotate(ports, 12, lambda _: odd)
    assert noted
    assert noted.metadata == odd
    annotate(ports, 9, setting(x=1))
    assert notes(ports, 16) == {9: {"n": 9, "x": 1}, 12: odd}
    assert annotate(ports, 12, lambda before: before) == noted


def test_what_comes_back_is_what_is_read_later(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    noted = annotate(ports, 3, lambda _: {"tags": ("a", "b")})
    assert noted
    assert noted.metadata == {"tags": ["a", "b"]}


def test_an_event_that_has_none_can_get_some(ports: Ports) -> None:
    write(ports, Input(texts=("Hi",)), TurnBegan(turn="t", inputs=(0,)))
    annotate(ports, 1, setting(x=1))
    assert notes(ports, 2) == {1: {"x": 1}}


# --- beside marks --------------------------------------------------------------------------------


def test_marks_and_notes_leave_each_other_alone(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    mark(ports, 3, "hidden")
    noted = annotate(ports, 3, setting(x=1))
    annotate(ports, 4, setting(x=1))
    assert noted
    assert (noted.mark, noted.metadata) == ("hidden", {"n": 3, "x": 1})
    shown = mark(ports, 3, None)
    assert shown
    assert (shown.mark, shown.metadata) == (None, {"n": 3, "x": 1})
    assert notes(ports, 16) == {3: {"n": 3, "x": 1}, 4: {"n": 4, "x": 1}}


def test_erasing_drops_the_notes_too(backend: Backend) -> None:
    write(backend.ports, *SIXTEEN)
    annotate(backend.ports, 3, setting(name="secret"))
    annotate(backend.ports, 4, setting(x=1))
    gone = mark(backend.ports, 3, "erased")
    assert gone
    assert gone.metadata is None
    assert isinstance(gone.event, Posted)
    assert gone.event.metadata == {}
    assert notes(backend.ports, 16) == {4: {"n": 4, "x": 1}}
    assert annotate(backend.ports, 3, setting(name="secret")) is None
    assert notes(backend.ports, 16) == {4: {"n": 4, "x": 1}}
    if backend.client:
        assert "secret" not in repr(backend.client.scan(TableName=TABLE)["Items"])


def test_erasing_the_only_one_leaves_no_notes(table: Backend) -> None:
    write(table.ports, *SIXTEEN)
    annotate(table.ports, 3, setting(x=1))
    mark(table.ports, 3, "erased")
    assert table.client
    [item] = [i for i in table.client.scan(TableName=TABLE)["Items"] if "n" in i]
    assert "notes" not in item
    assert "marks" in item


# --- what cannot be annotated --------------------------------------------------------------------


def test_there_must_be_such_an_event(ports: Ports) -> None:
    assert annotate(ports, 0, setting(x=1)) is None
    write(ports, *SIXTEEN[:3])
    for offset in (3, 40, 2**40):
        assert annotate(ports, offset, setting(x=1)) is None
    assert ports.log.annotate(SESSION, INCARNATION + 1, 0, setting(x=1)) is None
    assert ports.log.annotate("support.other", INCARNATION, 0, setting(x=1)) is None
    assert notes(ports, 3) == {}


def test_nothing_of_a_deleted_session_is_annotated(backend: Backend) -> None:
    ports = backend.ports
    write(ports, *SIXTEEN)
    annotate(ports, 3, setting(x=1))
    write(ports, SessionDeleted())
    assert annotate(ports, 3, setting(x=2)) is None
    ports.sweeper.blank(SESSION, INCARNATION)
    assert annotate(ports, 3, setting(x=2)) is None
    if backend.client:
        assert not any("notes" in i for i in backend.client.scan(TableName=TABLE)["Items"])
    ports.sweeper.clear(SESSION, INCARNATION)
    assert annotate(ports, 3, setting(x=2)) is None
    assert [at for _, at, _ in backend.kept()] == [16]


def test_one_events_metadata_has_a_limit(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    annotate(ports, 3, lambda _: {"x": "ü" * 8_000})
    with pytest.raises(TooLarge, match="16,384"):
        annotate(ports, 3, lambda _: {"x": "ü" * 8_192})
    assert notes(ports, 16) == {3: {"x": "ü" * 8_000}}


def test_what_no_item_would_hold_is_refused_before_anything_is_written(backend: Backend) -> None:
    ports = backend.ports
    write(ports, Posted(text="x" * 389_000), *SIXTEEN[1:])
    assert annotate(ports, 0, lambda _: {"x": "y" * 10_000})
    backend.calls.clear()
    with pytest.raises(TooLarge):
        annotate(ports, 1, lambda _: {"x": "y" * 10_000})
    assert "UpdateItem" not in backend.calls
    assert list(notes(ports, 16)) == [0]
    mark(ports, 0, "erased")
    assert annotate(ports, 1, lambda _: {"x": "y" * 10_000})


def test_a_segment_full_of_notes_has_room_for_marks() -> None:
    marks: dict[int, Mark] = dict.fromkeys(range(10**10 - 16, 10**10), "hidden")
    check_noted(most := 408_000)
    assert most + len("marks" + marks_to_json(marks)) < 409_600
    with pytest.raises(TooLarge):
        check_noted(most + 1)


def test_half_a_surrogate_is_no_text(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    with pytest.raises(InvalidRequest):
        annotate(ports, 3, lambda _: {"x": "\ud800"})
    assert notes(ports, 16) == {}


# --- several at once, and lost answers -----------------------------------------------------------


def test_many_annotate_one_segment_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    write(backend.ports, *SIXTEEN)

    def work(n: int) -> None:
        annotate(backend.ports, n % 4, setting(**{f"by{n}": n}))
        mark(backend.ports, 4 + n % 12, "hidden")

    in_threads(work, 16)
    assert notes(backend.ports, 16) == {
        offset: {"n": offset, **{f"by{n}": n for n in range(offset, 16, 4)}} for offset in range(4)
    }


@pytest.mark.parametrize("meanwhile", ["note", "hide", "erase"])
def test_a_change_in_between_is_not_lost(table: Backend, meanwhile: str) -> None:
    write(table.ports, *SIXTEEN)
    assert table.client
    begun: list[None] = []

    def others(**_: object) -> None:
        """Just before the note is written."""
        if not begun:
            begun.append(None)
            if meanwhile == "note":
                annotate(table.ports, 3, setting(theirs=1))
            else:
                mark(table.ports, 3, "hidden" if meanwhile == "hide" else "erased")

    with hooked(table.client, "before-send.dynamodb.UpdateItem", others):
        noted = annotate(table.ports, 3, setting(mine=1))
    assert begun
    found = table.ports.log.read(SESSION, INCARNATION, 2, 1)[0]
    if meanwhile == "erase":
        assert noted is None
        assert (found.mark, found.metadata) == ("erased", None)
    else:
        theirs = {"theirs": 1} if meanwhile == "note" else {}
        assert noted == found
        assert found.metadata == {"n": 3, **theirs, "mine": 1}


@pytest.mark.parametrize("round_", ["blank", "clear"])
def test_a_sweep_in_between_brings_nothing_back(table: Backend, round_: str) -> None:
    write(table.ports, *SIXTEEN)
    annotate(table.ports, 5, setting(x=1))
    ports, client = table.ports, table.client
    assert client
    swept: list[None] = []

    def sweep(**_: object) -> None:
        """Just before the note is written."""
        if not swept:
            swept.append(None)
            write(ports, SessionDeleted())
            ports.sweeper.blank(SESSION, INCARNATION)
            if round_ == "clear":
                ports.sweeper.clear(SESSION, INCARNATION)

    with hooked(client, "before-send.dynamodb.UpdateItem", sweep):
        assert annotate(ports, 5, setting(x=2)) is None
    assert swept
    assert not any("notes" in item for item in client.scan(TableName=TABLE)["Items"])


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_a_change_whose_answer_is_lost_is_made_once(table: Backend, loss: Loss) -> None:
    """Also one that says something else each time."""
    write(table.ports, *SIXTEEN)

    def count(before: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"count": before.get("count", 0) + 1}

    assert table.client
    left = [loss]

    def lose(**_: object) -> float | None:
        if not left:
            return None
        if left.pop() == "cut":
            raise ConnectionClosedError(endpoint_url="http://dynamodb")
        return 0.0  # seconds until the client tries again

    with (
        hooked(table.client, "needs-retry.dynamodb.UpdateItem", lose),
        pytest.raises(Unavailable) if loss == "cut" else nullcontext(),
    ):
        assert annotate(table.ports, 3, count)
    assert notes(table.ports, 16) == {3: {"count": 1}}


# --- what it costs -------------------------------------------------------------------------------


def test_notes_count_as_stored(ports: Ports) -> None:
    """A window that just holds both segments holds one once the older has a note."""
    older, newer = write(ports, *SIXTEEN), write(ports, *SIXTEEN)
    sizes = [size_of(items.segment_to_item(SESSION, INCARNATION, s)) for s in (older, newer)]
    assert len(ports.log.tail(SESSION, sum(sizes) + 32).events) == 32
    annotate(ports, 3, setting(x="y" * 100))
    assert len(ports.log.tail(SESSION, sum(sizes) + 32).events) == 16
    noted = ports.log.segment(SESSION, INCARNATION, 0)
    assert noted
    more = size_of(items.segment_to_item(SESSION, INCARNATION, noted)) - sizes[0]
    assert len(ports.log.tail(SESSION, sum(sizes) + more + 32).events) == 32


def test_what_changes_nothing_is_not_written(backend: Backend) -> None:
    write(backend.ports, *SIXTEEN)
    backend.calls.clear()
    same = annotate(backend.ports, 3, setting(n=3))
    assert same
    assert same.metadata is None
    assert "UpdateItem" not in backend.calls


def test_a_note_is_one_write(table: Backend) -> None:
    write(table.ports, *SIXTEEN)
    table.calls.clear()
    annotate(table.ports, 3, setting(x=1))
    assert table.calls == ["Query", "Query", "UpdateItem"]


# --- who asks again anyway -----------------------------------------------------------------------


def test_a_segment_that_may_lag_is_the_same_and_half_the_price(backend: Backend) -> None:
    write(backend.ports, *SIXTEEN)
    annotate(backend.ports, 3, setting(x=1))
    consistent: list[bool] = []

    def look(params: dict[str, Any], **_: object) -> None:
        consistent.append(params["ConsistentRead"])

    log = backend.ports.log
    if backend.client:
        with hooked(backend.client, "before-parameter-build.dynamodb.GetItem", look):
            now = log.segment(SESSION, INCARNATION, 0)
            assert log.segment(SESSION, INCARNATION, 0, lags=True) == now
        assert consistent == [True, False]
    else:
        assert log.segment(SESSION, INCARNATION, 0, lags=True)
    assert log.segment(SESSION, INCARNATION, 16, lags=True) is None
