"""What a log does, whichever store it is in."""

import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cueline.adapters.dynamodb.items import segment_to_item
from cueline.engine.ports import Ports
from cueline.engine.turn import Limits
from cueline.errors import InvalidRequest, TooLarge, Unavailable
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Event,
    Finished,
    Input,
    Listening,
    Recorded,
    SessionDeleted,
    TurnBegan,
    event_id,
    events_to_json,
    offset_in,
)
from cueline.log.fold import reduce
from cueline.log.segment import MAX_BYTES, MAX_EVENTS, Head, Segment
from cueline.log.state import State, state_to_json
from tests.contract.backends import (
    SESSION,
    TABLE,
    Backend,
    Loss,
    agent,
    answer,
    atomic_calls,
    hooked,
    in_threads,
    session,
    size_of,
    stored_size,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import WriteRequestTypeDef


def segment(
    head: Head, *events: Event, attempt: str = "a1", written_at: int = 1_750_000_000_000
) -> Segment:
    state = reduce(head.state, head.at, events)
    return Segment(head.at, tuple(events), state, attempt, written_at, "trace")


def say(text: str) -> Input:
    return Input(texts=(text,))


def write(ports: Ports, *events: Event, attempt: str = "a1") -> Segment:
    """At the head, wherever that is."""
    head = ports.log.tail(SESSION).head
    new = segment(head, *events, attempt=attempt)
    assert ports.log.append(SESSION, head.incarnation, new) is None
    return new


def make(ports: Ports, incarnation: int = 5, *, over: int = 0, tti_minutes: int = 0) -> None:
    if not over:
        ports.agents.create(agent())
    assert ports.sessions.create(
        session(incarnation=incarnation, tti_minutes=tti_minutes), over=over
    )


def recorded(segments: Sequence[Segment]) -> tuple[Recorded, ...]:
    return tuple(one for written in segments for one in written.recorded())


def texts(ports: Ports, after: int = -1, limit: int = 1000, incarnation: int = 5) -> list[str]:
    events = ports.log.read(SESSION, incarnation, after, limit)
    return [e.event.texts[0] for e in events if isinstance(e.event, Input)]


# --- the tail ------------------------------------------------------------------------------------


def test_a_session_that_nobody_made_has_an_empty_tail(ports: Ports) -> None:
    tail = ports.log.tail(SESSION)
    assert (tail.session, tail.head, tail.events, tail.whole) == (
        None,
        Head(0, 0, State()),
        (),
        True,
    )
    assert tail.live(0) is None


def test_a_new_session_has_its_meta_and_an_empty_head(ports: Ports) -> None:
    make(ports)
    tail = ports.log.tail(SESSION)
    assert tail.session == session()
    assert tail.head == Head(5, 0, State())
    assert tail.live(10**13) == session()


def test_the_tail_has_the_newest_segment_and_the_state_after_it(ports: Ports) -> None:
    make(ports)
    first = write(ports, say("one"), TurnBegan(turn="t", inputs=(0,)))
    second = write(ports, say("two"))
    tail = ports.log.tail(SESSION)
    assert tail.events == second.recorded()
    assert not tail.whole
    assert tail.head == Head(5, 3, reduce(State(), 0, first.events + second.events), 1750000000000)


def test_a_window_brings_as_many_segments_as_fit_into_it(ports: Ports) -> None:
    make(ports)
    written = [write(ports, say(f"{n:03}" + "ü" * 100)) for n in range(120)]
    sizes = [stored_size(one) for one in written]
    for count in (1, 2, 49, 50, 51, 119):
        for spare in (0, sizes[-count - 1] - 1):
            tail = ports.log.tail(SESSION, window=sum(sizes[-count:]) + spare)
            assert tail.events == recorded(written[-count:])
            assert not tail.whole
    for window in (sum(sizes), 10**9):
        tail = ports.log.tail(SESSION, window)
        assert tail.events == recorded(written)
        assert tail.whole


def test_a_window_counts_all_that_is_stored(ports: Ports) -> None:
    make(ports)
    # The state after these is larger than they are.
    first = write(ports, *[say("x")] * 15, TurnBegan(turn="t", inputs=(0,)))
    assert len(state_to_json(first.state)) > len(events_to_json(first.events)) // 2
    last = write(ports, say("y"), attempt="z" * 500)
    both = stored_size(first) + stored_size(last)
    assert ports.log.tail(SESSION, both).events == recorded([first, last])
    assert ports.log.tail(SESSION, both - 1).events == last.recorded()
    bytes_of_events = len(events_to_json(first.events + last.events))
    assert ports.log.tail(SESSION, bytes_of_events).events == last.recorded()


def test_the_newest_segment_comes_even_where_it_does_not_fit_into_the_window(
    ports: Ports,
) -> None:
    make(ports)
    written = write(ports, say("x" * 1000))
    tail = ports.log.tail(SESSION, window=1)
    assert tail.events == written.recorded()
    assert tail.whole


def listen(ports: Ports, count: int) -> list[Segment]:
    head = ports.log.tail(SESSION).head
    written: list[Segment] = []
    for n in range(count):
        written.append(segment(head, Listening(connection=f"c{n:030}", until=n + 1)))
        assert ports.log.append(SESSION, head.incarnation, written[-1]) is None
        head = Head(head.incarnation, written[-1].end, written[-1].state)
    return written


@pytest.mark.parametrize("before", [0, 40])
def test_what_nobody_said_anything_by_pushes_nothing_out(ports: Ports, before: int) -> None:
    make(ports)
    joined = listen(ports, before)
    said = [write(ports, say(f"message {n}")) for n in range(5)]
    resumed = listen(ports, 150)
    asked = write(ports, say("and now?"))
    tail = ports.log.tail(SESSION, window=16_000)
    heard = [r for r in tail.events if isinstance(r.event, Listening)]
    assert [r for r in tail.events if r not in heard] == list(recorded([*said, asked]))
    assert tail.events[0].offset == 0
    assert tail.whole
    # The newest of each row, and where it begins.
    assert heard[-1].offset == resumed[-1].at
    assert {s.at for s in (*joined[:1], resumed[0])} <= {r.offset for r in heard}
    assert len(heard) < 40


def test_a_few_by_which_nobody_says_anything_are_all_there(ports: Ports) -> None:
    make(ports)
    written = [write(ports, say("one")), *listen(ports, 10), write(ports, say("two"))]
    assert ports.log.tail(SESSION, window=16_000).events == recorded(written)


def test_a_row_of_them_does_not_hide_what_the_newest_compaction_left(ports: Ports) -> None:
    make(ports)
    write(ports, say("long ago"), TurnBegan(turn="t", inputs=(0,)))
    write(ports, Compacted(turn="t", up_to=-1, kept=(0,), summary="s"))
    write(ports, Finished(turn="t", inputs=(0,)))
    listen(ports, 40)
    write(ports, say("compact"), TurnBegan(turn="u", inputs=(44,)))
    done = write(ports, Compacted(turn="u", up_to=3, summary="all"))
    for _ in range(2):  # the second one knows where the window ends
        tail = ports.log.tail(SESSION, window=10**6)
        assert tail.head.state.needed == 4
        assert tail.events[0].offset == 4
        assert tail.events[-1] == done.recorded()[-1]


def test_a_window_may_be_larger_than_what_the_store_gives_at_once(backend: Backend) -> None:
    ports = backend.ports
    make(ports)
    written = [write(ports, say(str(n) + "x" * 300_000)) for n in range(5)]
    backend.calls.clear()
    assert ports.log.tail(SESSION, window=10**7).events == recorded(written)
    if backend.client:
        assert backend.calls == ["Query"] * 2  # 1 MB each
    assert [text[0] for text in texts(ports)] == list("01234")


def test_heartbeats_are_not_in_the_tail(ports: Ports) -> None:
    make(ports)
    for n in range(5):
        ports.beats.beat(SESSION, 5, f"t{n}")
    assert ports.log.tail(SESSION, window=1000).head == Head(5, 0, State())
    written = write(ports, say("one"))
    assert ports.log.tail(SESSION, window=1000).events == written.recorded()


def test_without_meta_the_tail_still_tells_the_head(ports: Ports) -> None:
    make(ports)
    write(ports, say("one"))
    ports.sessions.remove(SESSION, 5)
    tail = ports.log.tail(SESSION)
    assert tail.session is None
    assert (tail.head.incarnation, tail.head.at) == (5, 1)
    assert tail.live(0) is None


def test_sessions_of_similar_names_do_not_see_each_other(ports: Ports) -> None:
    make(ports)
    ports.sessions.create(session("s10"), over=0)
    write(ports, say("one"))
    assert ports.log.tail("support.s10").head.at == 0
    assert ports.log.tail("support.s").head.incarnation == 0


# --- append --------------------------------------------------------------------------------------


def test_a_stale_writer_gets_the_segment_in_its_way(ports: Ports) -> None:
    make(ports)
    stale = ports.log.tail(SESSION).head
    first = write(ports, say("one"))
    refused = segment(stale, say("late"), attempt="other")
    assert ports.log.append(SESSION, 5, refused) == first
    assert texts(ports) == ["one"]


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_a_lost_answer_is_success_when_asked_again(backend: Backend, loss: Loss) -> None:
    ports = backend.ports
    make(ports)
    new = segment(ports.log.tail(SESSION).head, say("one"))
    if loss == "cut":
        with pytest.raises(Unavailable):
            backend.losing(loss, lambda: ports.log.append(SESSION, 5, new))
        assert ports.log.append(SESSION, 5, new) is None
    else:
        assert backend.losing(loss, lambda: ports.log.append(SESSION, 5, new)) is None
    assert texts(ports) == ["one"]


def test_everything_in_a_segment_comes_back(ports: Ports) -> None:
    make(ports)
    head = ports.log.tail(SESSION).head
    written = segment(head, say("one \N{SNOWMAN}"), TurnBegan(turn="t", inputs=(0,)))
    ports.log.append(SESSION, 5, written)
    assert ports.log.tail(SESSION).events == written.recorded()
    assert ports.log.tail(SESSION).head.state == written.state
    assert ports.log.append(SESSION, 5, replace(written, attempt="other")) == written
    first, second = ports.log.read(SESSION, 5, -1, 10)
    assert (first.offset, first.created_at, first.trace_id) == (0, 1_750_000_000_000, "trace")
    assert (first.event, second.event) == written.events
    assert offset_in(event_id(SESSION, 5, second.offset), SESSION, 5) == 1


@pytest.mark.parametrize("events", [0, 17])
def test_a_segment_has_one_to_sixteen_events(ports: Ports, events: int) -> None:
    make(ports)
    wrong = segment(ports.log.tail(SESSION).head, *[say("x")] * events)
    with pytest.raises(ValueError, match="1 to 16"):
        ports.log.append(SESSION, 5, wrong)


@pytest.mark.parametrize("letter", ["x", "é", "\N{SNOWMAN}", "\N{PILE OF POO}"])
def test_sizes_count_bytes_and_are_refused_before_anything_is_written(
    backend: Backend, letter: str
) -> None:
    ports = backend.ports
    make(ports)
    head = ports.log.tail(SESSION).head
    frame = len('[{"type":"input","texts":[""]}]{"pending":[{"offset":0,"policy":"enqueue"}]}')
    fits, padding = divmod(MAX_BYTES - frame, len(letter.encode()))
    calls = len(backend.calls)
    with pytest.raises(TooLarge):
        ports.log.append(SESSION, 5, segment(head, say(letter * (fits + 1))))
    assert len(backend.calls) == calls
    assert ports.log.tail(SESSION).head.at == 0
    largest = segment(head, say(letter * fits + "x" * padding))
    assert ports.log.append(SESSION, 5, largest) is None
    assert ports.log.tail(SESSION).events == largest.recorded()
    assert ports.log.tail(SESSION).head.state == largest.state


def test_text_that_no_encoding_has_is_refused(ports: Ports) -> None:
    make(ports)
    with pytest.raises(InvalidRequest):
        write(ports, say("\ud83d"))
    with pytest.raises(InvalidRequest):
        ports.sessions.create(session("s2", name="\ud83d"), over=0)
    with pytest.raises(InvalidRequest):
        ports.agents.create(agent("a2", name="\ud83d"))


def test_twenty_writers_on_one_session_stay_dense(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.client:
        atomic_calls(monkeypatch)
    ports = backend.ports
    make(ports)

    def writer(name: int) -> None:
        for n in range(3):
            while True:
                head = ports.log.tail(SESSION).head
                new = segment(head, say(f"{name}.{n}"), attempt=f"{name}.{n}.{head.at}")
                if ports.log.append(SESSION, 5, new) is None:
                    break
                time.sleep(random.random() * 0.02)

    in_threads(writer)
    events = ports.log.read(SESSION, 5, -1, 1000)
    assert [e.offset for e in events] == list(range(60))
    assert sorted(texts(ports)) == sorted(f"{name}.{n}" for name in range(20) for n in range(3))
    carried = ports.log.tail(SESSION).head.state
    assert carried == reduce(State(), 0, [e.event for e in events])


# --- read ----------------------------------------------------------------------------------------


def packed(ports: Ports, sizes: Sequence[int]) -> list[str]:
    """Segments of these sizes; returns the text of every event."""
    n = 0
    for events in sizes:
        write(ports, *[say(str(n + i)) for i in range(events)], attempt=str(n))
        n += events
    return [str(i) for i in range(n)]


@pytest.mark.parametrize("sizes", [[16, 16, 16], [1] * 40, [3, 16, 1, 1, 2, 16]])
def test_a_reader_after_any_offset_misses_nothing(ports: Ports, sizes: list[int]) -> None:
    make(ports)
    all_texts = packed(ports, sizes)
    for after in range(-1, len(all_texts) + 1):
        assert texts(ports, after) == all_texts[after + 1 :]
    for limit in (1, 7):
        read: list[str] = []
        while part := texts(ports, len(read) - 1, limit):
            assert len(part) == limit or len(read) + len(part) == len(all_texts)
            read += part
        assert read == all_texts


def test_reading_nothing_is_nothing(ports: Ports) -> None:
    make(ports)
    assert ports.log.read(SESSION, 5, -1, 10) == ()
    write(ports, say("one"))
    assert ports.log.read(SESSION, 5, -1, 0) == ()
    assert ports.log.read(SESSION, 5, 0, 10) == ()
    assert ports.log.read(SESSION, 4, -1, 10) == ()
    assert ports.log.read(SESSION, 6, -1, 10) == ()


@pytest.mark.parametrize("at", [0, 3])
def test_a_segment_is_found_at_the_place_where_it_starts(ports: Ports, at: int) -> None:
    make(ports)
    first = write(ports, say("one"), say("two"), TurnBegan(turn="t", inputs=(0, 1)))
    second = write(ports, say("three"), attempt="a2")
    assert ports.log.segment(SESSION, 5, at) == {0: first, 3: second}[at]


@pytest.mark.parametrize(
    ("session", "incarnation", "at"),
    [(SESSION, 5, 1), (SESSION, 5, 2), (SESSION, 4, 0), (SESSION, 6, 0), ("support.s2", 5, 0)],
)
def test_nothing_is_found_elsewhere(ports: Ports, session: str, incarnation: int, at: int) -> None:
    make(ports)
    write(ports, say("one"), say("two"))
    assert ports.log.segment(session, incarnation, at) is None


def test_a_blanked_segment_says_that_it_is_deleted_and_a_removed_one_is_not_there(
    ports: Ports,
) -> None:
    make(ports)
    first = write(ports, say("one"))
    tombstone = write(ports, SessionDeleted())
    ports.sweeper.blank(SESSION, 5)
    found = ports.log.segment(SESSION, 5, 0)
    assert found == replace(first, events=(), state=State(deleted=True))
    ports.sweeper.clear(SESSION, 5)
    assert ports.log.segment(SESSION, 5, 0) is None
    assert ports.log.segment(SESSION, 5, 1) == tombstone


# --- expiry, deletion, re-creation ---------------------------------------------------------------


def test_a_session_expires_its_tti_after_its_newest_segment(ports: Ports) -> None:
    make(ports, tti_minutes=10)
    made = ports.clock.now()
    assert ports.log.tail(SESSION).live(made + 599_999)
    assert not ports.log.tail(SESSION).live(made + 600_000)
    head = ports.log.tail(SESSION).head
    quiet = Input(policy="silent", texts=("one",))
    ports.log.append(SESSION, 5, segment(head, quiet, written_at=made + 300_000))
    assert ports.log.tail(SESSION).live(made + 899_999)
    assert not ports.log.tail(SESSION).live(made + 900_000)


def test_a_session_without_tti_never_expires(ports: Ports) -> None:
    make(ports)
    assert ports.log.tail(SESSION).live(10**14)


def test_a_deleted_session_is_gone_at_once(ports: Ports) -> None:
    make(ports)
    packed(ports, [2] * 30)
    write(ports, SessionDeleted())
    tail = ports.log.tail(SESSION, window=10**6)
    assert tail.live(0) is None
    assert tail.head.state.deleted
    assert tail.events == ()
    for after, limit in ((-1, 1), (-1, 10), (-1, 1000), (30, 5), (59, 1), (60, 1)):
        assert ports.log.read(SESSION, 5, after, limit) == ()


def test_a_stale_writer_conflicts_everywhere_in_a_deleted_incarnation(ports: Ports) -> None:
    make(ports)
    heads = [ports.log.tail(SESSION).head]
    for n in range(5):
        write(ports, say(str(n)))
        heads.append(ports.log.tail(SESSION).head)
    write(ports, SessionDeleted())
    ports.sweeper.blank(SESSION, 5)
    for head in heads:
        found = ports.log.append(SESSION, 5, segment(head, say("late"), attempt="late"))
        assert isinstance(found, Segment)
        assert found.state.deleted
    assert ports.log.read(SESSION, 5, -1, 100) == ()


def test_a_writer_whose_segment_was_blanked_still_knows_that_it_wrote_it(ports: Ports) -> None:
    make(ports)
    mine = write(ports, say("one"), attempt="mine")
    write(ports, SessionDeleted())
    ports.sweeper.blank(SESSION, 5)
    assert ports.log.append(SESSION, 5, mine) is None
    assert ports.log.read(SESSION, 5, -1, 100) == ()


def test_a_key_can_be_used_again_after_deletion(ports: Ports) -> None:
    make(ports)
    packed(ports, [1] * 3)
    write(ports, SessionDeleted())
    ports.sessions.remove(SESSION, 5)
    assert ports.log.tail(SESSION).head.incarnation == 5
    make(ports, 9, over=5)
    assert ports.log.tail(SESSION, window=1000).head == Head(9, 0, State())
    assert ports.log.tail(SESSION, window=1000).whole
    new = write(ports, say("new"))
    tail = ports.log.tail(SESSION, window=1000)
    assert tail.events == new.recorded()
    assert tail.whole
    assert texts(ports, incarnation=9) == ["new"]
    assert texts(ports, incarnation=5) == []


# --- the sweeper ---------------------------------------------------------------------------------


def test_the_two_rounds_leave_a_bare_tombstone(backend: Backend) -> None:
    ports = backend.ports
    make(ports)
    packed(ports, [2] * 30)
    for turn in range(30):
        ports.beats.beat(SESSION, 5, f"t{turn}")
    tombstone = write(ports, SessionDeleted())
    for _ in range(2):  # each round may be done again
        ports.sweeper.blank(SESSION, 5)
    assert ports.beats.look(SESSION, 5, ["t0"]) == {"t0": 1}
    for _ in range(2):
        ports.sweeper.clear(SESSION, 5)
    assert ports.beats.look(SESSION, 5, ["t0"]) == {"t0": 0}
    tail = ports.log.tail(SESSION)
    assert (tail.head.incarnation, tail.head.at) == (5, 61)
    # What is left is what the tombstone says; the places before it are free.
    for at in (60, 0, 58):
        found = ports.log.append(SESSION, 5, segment(Head(5, at, State()), say("x"), attempt="x"))
        assert found == (tombstone if at == 60 else None)


def test_blanks_have_no_content_but_keep_their_places(table: Backend) -> None:
    make(table.ports)
    packed(table.ports, [2] * 3)
    write(table.ports, SessionDeleted())
    table.ports.sweeper.blank(SESSION, 5)
    assert table.client
    items = table.client.scan(TableName="cueline")["Items"]
    segments = [item for item in items if item["sk"]["S"].startswith("E#")]
    assert [item["sk"]["S"] for item in segments] == [
        f"E#000000000000005#{at:010}" for at in (0, 2, 4, 6)
    ]
    assert [item["events"]["S"] for item in segments] == ["[]"] * 3 + [
        '[{"type":"session_deleted"}]'
    ]


def test_sweeping_leaves_the_next_incarnation_alone(ports: Ports) -> None:
    make(ports)
    packed(ports, [1] * 3)
    write(ports, SessionDeleted())
    make(ports, 6, over=5)
    ports.beats.beat(SESSION, 6, "t")
    for sweep in (ports.sweeper.blank, ports.sweeper.clear):
        sweep(SESSION, 5)
        assert ports.log.tail(SESSION).head == Head(6, 0, State())
    write(ports, say("new"))
    write(ports, say("newer"))
    for sweep in (ports.sweeper.blank, ports.sweeper.clear):
        sweep(SESSION, 5)
        assert texts(ports, incarnation=6) == ["new", "newer"]
    # The tombstone is not the newest any more, and goes.
    assert ports.log.append(SESSION, 5, segment(Head(5, 3, State()), say("x"))) is None
    assert ports.beats.look(SESSION, 6, ["t"]) == {"t": 1}


def test_sweeping_what_was_never_there_does_nothing(ports: Ports) -> None:
    for sweep in (ports.sweeper.blank, ports.sweeper.clear):
        sweep(SESSION, 5)
    assert ports.log.tail(SESSION).head == Head(0, 0, State())


def test_a_segment_removed_in_the_meantime_is_not_brought_back_as_a_blank(
    table: Backend,
) -> None:
    make(table.ports)
    packed(table.ports, [1] * 3)
    write(table.ports, SessionDeleted())
    client = table.client
    assert client
    cleared: list[bool] = []

    def clear_first(**_: object) -> None:
        if not cleared:
            cleared.append(True)
            table.ports.sweeper.clear(SESSION, 5)

    with hooked(client, "before-send.dynamodb.UpdateItem", clear_first):
        table.ports.sweeper.blank(SESSION, 5)
    items = client.scan(TableName="cueline")["Items"]
    assert [i["sk"]["S"] for i in items if i["sk"]["S"][0] == "E"] == [
        "E#000000000000005#0000000003"
    ]


# --- what it costs, and what happens when the store is away --------------------------------------


def test_a_tail_is_one_call_and_an_append_is_one(table: Backend) -> None:
    ports = table.ports
    make(ports)
    packed(ports, [1] * 60)
    head = ports.log.tail(SESSION).head
    table.calls.clear()
    ports.log.tail(SESSION)
    assert table.calls == ["Query"]
    ports.log.tail(SESSION, window=1000)
    assert table.calls == ["Query"] * 2
    ports.log.append(SESSION, 5, segment(head, say("x")))
    assert table.calls == ["Query", "Query", "PutItem"]
    ports.log.append(SESSION, 5, segment(head, say("y"), attempt="b"))
    assert table.calls == ["Query", "Query", "PutItem", "PutItem"]
    table.calls.clear()
    ports.log.read(SESSION, 5, 50, 100)
    assert table.calls == ["Query"]
    table.calls.clear()
    ports.log.read(SESSION, 5, -1, 10)
    assert table.calls == ["Query"] * 2  # the second looks whether it has been deleted
    table.calls.clear()
    ports.beats.beat(SESSION, 5, "t")
    ports.beats.look(SESSION, 5, ["t"])
    assert table.calls == ["UpdateItem", "GetItem"]


def talked(table: Backend, turns: int) -> list[Segment]:
    """A session after so many plain turns, put into the table as its writers would have."""
    make(table.ports)
    head = Head(5, 0, State())
    written: list[Segment] = []
    for n in range(turns):
        asked, turn = head.at, f"{n:032}"
        for events in (
            (
                Input(texts=(f"Question {n}?",), digest="d" * 22),
                TurnBegan(turn=turn, inputs=(asked,)),
            ),
            (Answered(turn=turn, inputs=(asked,), text=f"Answer {n}."),),
        ):
            written.append(segment(head, *events, attempt=f"{head.at:032}"))
            head = Head(5, written[-1].end, written[-1].state)
    assert table.client
    items = [segment_to_item(SESSION, 5, one) for one in written]
    for n in range(0, len(items), 25):
        puts: list[WriteRequestTypeDef] = [
            {"PutRequest": {"Item": item}} for item in items[n : n + 25]
        ]
        table.client.batch_write_item(RequestItems={TABLE: puts})
    return written


@contextmanager
def read_units(table: Backend) -> Iterator[list[int]]:
    """The request units of each query inside, as DynamoDB charges them: 4 KB each, rounded up."""
    units: list[int] = []

    def charge(parsed: Mapping[str, Any], **_: object) -> None:
        units.append(math.ceil(sum(map(size_of, parsed["Items"])) / 4096))

    assert table.client
    with hooked(table.client, "after-call.dynamodb.Query", charge):
        yield units


@pytest.mark.parametrize(("turns", "queries"), [(20, 1), (750, 2), (2500, 2)])
def test_a_window_costs_what_it_holds_however_long_the_log_is(
    table: Backend, turns: int, queries: int
) -> None:
    window = Limits().window_bytes
    written = talked(table, turns)
    with read_units(table) as units:
        tail = table.ports.log.tail(SESSION, window)
    taken = [one for one in written if one.at >= tail.events[0].offset]
    assert tail.events == recorded(taken)
    held = sum(map(stored_size, taken))
    assert tail.whole == (sum(map(stored_size, written)) <= window)
    assert tail.whole or held > window - max(map(stored_size, written))
    assert len(units) == queries
    # The second page asks for a sixteenth more than it will probably need.
    assert sum(units) <= 1 + math.ceil(held / 4096 * 17 / 16) + queries - 1


def test_a_window_is_full_also_where_older_segments_are_much_smaller(table: Backend) -> None:
    ports = table.ports
    small = talked(table, 200)
    large = [write(ports, say("x" * 5000)) for _ in range(60)]
    window = sum(map(stored_size, [*small[50:], *large]))
    with read_units(table) as units:
        tail = ports.log.tail(SESSION, window)
    assert tail.events == recorded([*small[50:], *large])
    assert len(units) == 4  # until what was read last tells how small the older ones are
    assert sum(units) <= 1 + math.ceil(window / 4096 * 17 / 16) + len(units) - 1


def test_a_window_costs_no_more_the_longer_nobody_said_anything(table: Backend) -> None:
    ports, window = table.ports, Limits().window_bytes
    said = talked(table, 10)
    costs: list[tuple[int, int]] = []
    for count in (150, 250):
        listen(ports, count)
        said.append(write(ports, say("and now?")))
        with read_units(table) as units:
            tail = ports.log.tail(SESSION, window)
        assert tail.whole
        left = [r for r in tail.events if not isinstance(r.event, Listening)]
        assert left == list(recorded(said))
        costs.append((len(units), sum(units)))
    # A page of each row, and what was said before them.
    assert [queries for queries, _ in costs] == [2, 3]
    assert costs[1][1] <= 3 * math.ceil(128 * 350 / 4096)


@pytest.mark.parametrize(
    ("code", "status"), [("ProvisionedThroughputExceededException", 400), ("Oops", 503)]
)
def test_a_busy_store_is_tried_three_times_then_unavailable(
    table: Backend, code: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(table.ports)
    client = table.client
    assert client
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)

    def refuse(**_: object) -> object:
        table.calls.append("refused")
        return answer(status, __type=code, message="no")

    with hooked(client, "before-send.dynamodb", refuse):
        for call in (
            lambda: table.ports.log.tail(SESSION),
            lambda: table.ports.log.append(SESSION, 5, segment(Head(5, 0, State()), say("x"))),
            lambda: table.ports.agents.get("support"),
            lambda: table.ports.sessions.remove(SESSION, 5),
            lambda: table.ports.sessions.list("support", 10, None),
        ):
            table.calls.clear()
            with pytest.raises(Unavailable) as raised:
                call()
            assert raised.value.retryable
            assert table.calls.count("refused") == 3


def test_an_answer_that_means_a_bug_is_not_called_unavailable(table: Backend) -> None:
    from botocore.exceptions import ClientError

    assert table.client
    table.client.delete_table(TableName="cueline")
    with pytest.raises(ClientError):
        table.ports.log.tail(SESSION)


def test_a_tail_ends_where_the_newest_compaction_makes_the_rest_needless(backend: Backend) -> None:
    ports, head = backend.ports, Head(5, 0, State())

    def put(*events: Event) -> None:
        nonlocal head
        written = segment(head, *events)
        assert ports.log.append(SESSION, 5, written) is None
        head = Head(5, written.end, written.state)

    for n in range(40):
        put(say(f"message {n}"), TurnBegan(turn=f"t{n}", inputs=(head.at,)))
        put(Answered(turn=f"t{n}", inputs=(head.at - 2,), text="ok"))
    place = head.at
    put(
        Input(compact=CompactionAsked()),
        TurnBegan(turn="c", inputs=(place,)),
        Compacted(turn="c", up_to=place - 10, summary="so far"),
        Finished(turn="c", inputs=(place,)),
    )
    for _ in range(2):  # first without knowing of it, then from memory
        tail = ports.log.tail(SESSION, 400_000)
        assert place - 10 - MAX_EVENTS < tail.events[0].offset <= place - 9
        assert tail.head.at == head.at
        assert not tail.whole
    put(say("more"))
    assert ports.log.tail(SESSION, 400_000).events[-1].event == say("more")
