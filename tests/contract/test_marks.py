"""What is hidden or erased is so for every reader, at once and whoever else marks."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cueline.adapters.dynamodb import items
from cueline.engine import sessions
from cueline.engine.ports import Ports
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    CompactionAsked,
    Decision,
    Event,
    Input,
    Mark,
    Recorded,
    SessionDeleted,
    ToolInput,
    ToolOutput,
    TurnBegan,
    erased,
)
from cueline.log.fold import reduce
from cueline.log.segment import MAX_EVENTS, Head, Segment
from cueline.log.state import State
from tests.contract.backends import (
    BACKENDS,
    SESSION,
    TABLE,
    Backend,
    Loss,
    agent,
    atomic_calls,
    hooked,
    in_threads,
    session,
    size_of,
)

INCARNATION = 5
SIXTEEN = [Input(texts=(f"text {n}",)) for n in range(MAX_EVENTS)]


def write(ports: Ports, *events: Event) -> Segment:
    """At the head, wherever that is."""
    head = ports.log.tail(SESSION).head
    state = reduce(head.state, head.at, events)
    new = Segment(head.at, tuple(events), state, f"a{head.at}", 1_750_000_000_000, "trace")
    assert ports.log.append(SESSION, INCARNATION, new) is None
    return new


@pytest.fixture(name="backend")
def with_session(backend: Backend) -> Backend:
    return made(backend)


@pytest.fixture(name="table")
def table_with_session(table: Backend) -> Backend:
    return made(table)


def made(backend: Backend) -> Backend:
    backend.ports.agents.create(agent())
    assert backend.ports.sessions.create(session(incarnation=INCARNATION), over=0)
    return backend


def mark(ports: Ports, offset: int, what: Mark | None) -> Recorded | None:
    return ports.log.mark(SESSION, INCARNATION, offset, what)


def readings(ports: Ports, count: int) -> list[Sequence[Recorded]]:
    """The whole log of `count` events, in each way that there is to read it."""
    log = ports.log
    by_segment: list[Recorded] = []
    while found := log.segment(SESSION, INCARNATION, len(by_segment)):
        by_segment += found.recorded()
    one_by_one = [r for n in range(count) for r in log.read(SESSION, INCARNATION, n - 1, 1)]
    return [
        log.tail(SESSION, 400_000).events,
        log.read(SESSION, INCARNATION, -1, 1_000),
        by_segment,
        one_by_one,
    ]


def marks(ports: Ports, count: int) -> dict[int, Mark]:
    """By offset; every way to read the log must agree."""
    first, *others = readings(ports, count)
    assert all(list(other) == list(first) for other in others)
    assert [r.offset for r in first] == list(range(count))
    return {r.offset: r.mark for r in first if r.mark}


# --- hide, show, erase ---------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 7, 15, 16, 23, 31])
def test_each_event_of_a_full_segment_can_be_hidden_and_shown(ports: Ports, offset: int) -> None:
    written = [*write(ports, *SIXTEEN).recorded(), *write(ports, *SIXTEEN).recorded()]
    hidden = mark(ports, offset, "hidden")
    assert hidden == Recorded(
        offset, written[offset].created_at, "trace", written[offset].event, "hidden"
    )
    assert marks(ports, 32) == {offset: "hidden"}
    assert mark(ports, offset, None) == written[offset]
    assert list(ports.log.read(SESSION, INCARNATION, -1, 99)) == written


@pytest.mark.parametrize("offset", [0, 7, 15])
def test_what_is_erased_is_gone_from_the_store(backend: Backend, offset: int) -> None:
    write(backend.ports, *SIXTEEN)
    gone = mark(backend.ports, offset, "erased")
    assert gone
    assert (gone.event, gone.mark) == (erased(SIXTEEN[offset]), "erased")
    assert marks(backend.ports, 16) == {offset: "erased"}
    [(_, _, kept)] = backend.kept()
    assert f'"text {offset}"' not in kept
    assert kept.count('"text ') == 15


@pytest.mark.parametrize("later", ["hidden", "erased", None])
def test_what_is_erased_stays_so(ports: Ports, later: Mark | None) -> None:
    write(ports, *SIXTEEN)
    gone = mark(ports, 3, "erased")
    assert mark(ports, 3, later) == gone
    assert marks(ports, 16) == {3: "erased"}


def test_what_is_hidden_can_be_erased(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    mark(ports, 3, "hidden")
    mark(ports, 4, "hidden")
    gone = mark(ports, 3, "erased")
    assert gone
    assert gone.event == erased(SIXTEEN[3])
    assert marks(ports, 16) == {3: "erased", 4: "hidden"}


@pytest.mark.parametrize("what", ["hidden", "erased", None])
def test_a_mark_may_be_set_again(backend: Backend, what: Mark | None) -> None:
    write(backend.ports, *SIXTEEN)
    first = mark(backend.ports, 3, what)
    backend.calls.clear()
    assert mark(backend.ports, 3, what) == first
    assert "UpdateItem" not in backend.calls


def test_all_that_is_said_is_erased_and_nothing_else(ports: Ports) -> None:
    call: dict[str, Any] = {"turn": "t", "call": "c", "tool": "pay"}
    written = write(
        ports,
        Input(texts=("secret",), digest="d", skills=("s",)),
        Input(
            policy="decision",
            call="c",
            decision=Decision(verdict="edit", arguments='{"a":"secret"}', note="secret"),
        ),
        Input(compact=CompactionAsked(up_to=1, message="secret")),
        TurnBegan(turn="t", inputs=(0,)),
        ToolInput(**call, arguments='{"a":"secret"}'),
        ToolOutput(**call, output="secret"),
        Answered(turn="t", inputs=(0,), text="secret"),
    )
    for offset in range(len(written.events)):
        mark(ports, offset, "erased")
    found = ports.log.segment(SESSION, INCARNATION, 0)
    assert found
    assert "secret" not in repr(found.events)
    assert [type(event) for event in found.events] == [type(event) for event in written.events]
    assert found.state == written.state == reduce(State(), 0, found.events)


# --- what cannot be marked -----------------------------------------------------------------------


def test_there_must_be_such_an_event(ports: Ports) -> None:
    assert mark(ports, 0, "hidden") is None
    write(ports, *SIXTEEN[:3])
    assert mark(ports, 3, "hidden") is None
    assert mark(ports, 40, "hidden") is None
    assert mark(ports, 2**40, "hidden") is None
    assert ports.log.mark(SESSION, INCARNATION + 1, 0, "hidden") is None
    assert ports.log.mark("support.other", INCARNATION, 0, "hidden") is None
    assert marks(ports, 3) == {}


@pytest.mark.parametrize("what", ["hidden", "erased", None])
def test_nothing_of_a_deleted_session_is_marked(backend: Backend, what: Mark | None) -> None:
    ports = backend.ports
    write(ports, *SIXTEEN)
    mark(ports, 3, "hidden")
    write(ports, SessionDeleted())
    assert mark(ports, 3, what) is None
    assert mark(ports, 4, what) is None
    ports.sweeper.blank(SESSION, INCARNATION)
    assert mark(ports, 3, what) is None
    assert {events for _, at, events in backend.kept() if at == 0} == {"[]"}
    ports.sweeper.clear(SESSION, INCARNATION)
    assert mark(ports, 3, what) is None
    assert [at for _, at, _ in backend.kept()] == [16]


def test_blanking_removes_the_marks_too(table: Backend) -> None:
    write(table.ports, *SIXTEEN)
    mark(table.ports, 3, "hidden")
    write(table.ports, SessionDeleted())
    table.ports.sweeper.blank(SESSION, INCARNATION)
    assert table.client
    stored = table.client.scan(TableName=TABLE)["Items"]
    assert not any("marks" in item for item in stored)


@pytest.mark.parametrize(("offset", "what"), [(6, "hidden"), (5, "erased"), (5, None)])
@pytest.mark.parametrize("round_", ["blank", "clear"])
def test_a_sweep_in_between_brings_nothing_back(
    table: Backend, offset: int, what: Mark | None, round_: str
) -> None:
    write(table.ports, *SIXTEEN)
    mark(table.ports, 5, "hidden")
    [before] = [e for _, _, e in table.kept()]
    ports, client = table.ports, table.client
    assert client
    swept: list[str] = []

    def sweep(**_: object) -> None:
        """Just before the mark is written."""
        if not swept:
            swept.append(before)
            write(ports, SessionDeleted())
            ports.sweeper.blank(SESSION, INCARNATION)
            if round_ == "clear":
                ports.sweeper.clear(SESSION, INCARNATION)

    with hooked(client, "before-send.dynamodb.UpdateItem", sweep):
        assert mark(ports, offset, what) is None
    assert swept
    left = client.scan(TableName=TABLE)["Items"]
    assert not any("marks" in item for item in left)
    assert "text" not in repr([item.get("events") for item in left])


# --- several at once, and lost answers -----------------------------------------------------------


def test_many_mark_one_segment_at_once(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_calls(monkeypatch)
    write(backend.ports, *SIXTEEN)
    wanted: dict[int, Mark] = {n: "erased" if n % 3 else "hidden" for n in range(MAX_EVENTS)}

    def work(n: int) -> None:
        if n < MAX_EVENTS:
            mark(backend.ports, n, wanted[n])
        else:  # and some who want the same
            mark(backend.ports, n - MAX_EVENTS, wanted[n - MAX_EVENTS])

    in_threads(work)
    assert marks(backend.ports, MAX_EVENTS) == wanted
    [(_, _, kept)] = backend.kept()
    assert kept.count('"text ') == list(wanted.values()).count("hidden")


def test_two_who_erase_at_once_both_do(table: Backend) -> None:
    write(table.ports, *SIXTEEN)
    assert table.client
    done: list[Recorded | None] = []

    def meanwhile(**_: object) -> None:
        if not done:
            done.append(None)
            done.append(mark(table.ports, 4, "erased"))

    with hooked(table.client, "before-send.dynamodb.UpdateItem", meanwhile):
        mark(table.ports, 3, "erased")
    assert marks(table.ports, 16) == {3: "erased", 4: "erased"}
    [(_, _, kept)] = table.kept()
    assert '"text 3"' not in kept
    assert '"text 4"' not in kept


@pytest.mark.parametrize("loss", ["repeated", "cut"])
@pytest.mark.parametrize("what", ["hidden", "erased", None])
def test_a_mark_whose_answer_is_lost_is_set_once_and_known(
    backend: Backend, loss: Loss, what: Mark | None
) -> None:
    write(backend.ports, *SIXTEEN)
    mark(backend.ports, 3, "hidden" if what is None else None)
    try:
        answer = backend.losing(loss, lambda: mark(backend.ports, 3, what))
    except Unavailable:
        assert loss == "cut"
        answer = mark(backend.ports, 3, what)
    assert answer
    assert answer.mark == what
    assert marks(backend.ports, 16) == ({3: what} if what else {})


# --- what it costs -------------------------------------------------------------------------------


def test_marks_count_as_stored(ports: Ports) -> None:
    """A window that just holds both segments holds one once the older has a mark."""
    older, newer = write(ports, *SIXTEEN), write(ports, *SIXTEEN)
    sizes = [size_of(items.segment_to_item(SESSION, INCARNATION, s)) for s in (older, newer)]
    assert len(ports.log.tail(SESSION, sum(sizes) + 32).events) == 32
    assert len(ports.log.tail(SESSION, sum(sizes) - 1).events) == 16
    for offset in range(8):
        mark(ports, offset, "hidden")
    assert len(ports.log.tail(SESSION, sum(sizes) + 32).events) == 16
    marked = ports.log.segment(SESSION, INCARNATION, 0)
    assert marked
    more = size_of(items.segment_to_item(SESSION, INCARNATION, marked)) - sizes[0]
    assert len(ports.log.tail(SESSION, sum(sizes) + more + 32).events) == 32


def test_a_segment_without_marks_has_no_such_attribute(table: Backend) -> None:
    written = write(table.ports, *SIXTEEN)
    assert table.client
    unmarked = items.segment_to_item(SESSION, INCARNATION, written)
    mark(table.ports, 3, "hidden")
    mark(table.ports, 3, None)
    stored = [item for item in table.client.scan(TableName=TABLE)["Items"] if "n" in item]
    assert stored == [unmarked]


def test_a_mark_is_one_write(table: Backend) -> None:
    write(table.ports, *SIXTEEN)
    table.calls.clear()
    mark(table.ports, 3, "erased")
    assert table.calls == ["Query", "Query", "UpdateItem"]


# --- the law, after whatever was marked ----------------------------------------------------------

MARKS = st.lists(
    st.tuples(st.integers(0, 24), st.sampled_from(["hidden", "erased", None])), max_size=8
)


@pytest.mark.parametrize("kind", list(BACKENDS))
@settings(max_examples=12, deadline=None)
@given(sets=MARKS)
def test_the_carried_state_is_still_that_of_all_events(
    kind: str, sets: list[tuple[int, Mark | None]]
) -> None:
    with BACKENDS[kind]() as fresh:
        ports = made(fresh).ports
        head = Head(INCARNATION, 0, State())
        for turn in range(6):
            at = ports.log.tail(SESSION).head.at
            write(
                ports,
                Input(texts=(f"text {turn}",), digest=f"d{turn}"),
                TurnBegan(turn=f"t{turn}", inputs=(at,)),
            )
            write(
                ports,
                ToolInput(turn=f"t{turn}", call="c", tool="pay", arguments='{"a":1}'),
                Answered(turn=f"t{turn}", inputs=(at,) if turn else (), text="text"),
            )
        wanted: dict[int, Mark | None] = {}
        for offset, what in sets:
            if wanted.get(offset) != "erased":
                wanted[offset] = what
            found = mark(ports, offset, what)
            assert (found.mark if found else None) == (wanted[offset] if offset < 24 else None)
        read = ports.log.read(SESSION, INCARNATION, -1, 99)
        assert [r.mark for r in read] == [wanted.get(n) for n in range(24)]
        while found_segment := ports.log.segment(SESSION, INCARNATION, head.at):
            carried = reduce(head.state, head.at, found_segment.events)
            assert found_segment.state == carried
            head = Head(INCARNATION, found_segment.end, carried)
        assert head.at == 24


def test_a_session_that_is_made_again_has_no_marks(ports: Ports) -> None:
    write(ports, *SIXTEEN)
    mark(ports, 3, "hidden")
    sessions.delete(ports, "support", "s1", "trace")
    again = sessions.create(ports, session(), "trace")
    head = ports.log.tail(SESSION).head
    new = Segment(0, tuple(SIXTEEN), reduce(State(), 0, SIXTEEN), "b", 1, "trace")
    assert ports.log.append(SESSION, head.incarnation, new) is None
    found = ports.log.read(SESSION, again.incarnation, -1, 99)
    assert {r.mark for r in found} == {None}
