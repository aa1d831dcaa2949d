"""Keyed inputs: the input and its idempotency key are written together, once."""

from collections.abc import Mapping

import pytest

from cueline.adapters.dynamodb.items import Item
from cueline.engine.ports import Ports
from cueline.errors import TooLarge, Unavailable
from cueline.log.events import Event, Input, SessionDeleted
from cueline.log.fold import reduce
from cueline.log.segment import MAX_BYTES, NOWHERE, Head, Keyed, Segment
from cueline.log.state import State
from tests.contract.backends import (
    SESSION,
    TABLE,
    Backend,
    Loss,
    agent,
    answer,
    atomic_calls,
    cancelled,
    hooked,
    in_threads,
    session,
)

KEY, OTHER = "k" * 22, "o" * 22
DAY = 86_400_000


def made(backend: Backend) -> Backend:
    backend.ports.agents.create(agent())
    assert backend.ports.sessions.create(session(), over=0)
    return backend


@pytest.fixture(name="backend")
def backend_with_a_session(backend: Backend) -> Backend:
    return made(backend)


@pytest.fixture(name="table")
def table_with_a_session(table: Backend) -> Backend:
    return made(table)


def segment(head: Head, *events: Event, attempt: str = "a1") -> Segment:
    state = reduce(head.state, head.at, events)
    return Segment(head.at, events, state, attempt, 1_750_000_000_000)


def say(text: str) -> Input:
    return Input(texts=(text,))


def append(
    ports: Ports, key: str, text: str, *, attempt: str = "", body: str = "b1", at: int | None = None
) -> Segment | Keyed | None:
    """At the head, or at a place that is none any more."""
    head = ports.log.tail(SESSION).head
    head = head if at is None else Head(head.incarnation, at, State())
    new = segment(head, say(text), attempt=attempt or text)
    return ports.log.append(SESSION, head.incarnation, new, Keyed(key, body, head.at))


def texts(ports: Ports) -> list[str]:
    events = ports.log.read(SESSION, ports.log.tail(SESSION).head.incarnation, -1, 1000)
    return [e.event.texts[0] for e in events if isinstance(e.event, Input)]


def test_an_input_is_found_under_its_key(ports: Ports) -> None:
    assert ports.log.keyed(SESSION, 5, KEY) is None
    assert append(ports, OTHER, "one") is None
    assert append(ports, KEY, "two") is None
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b1", 1)
    assert ports.log.keyed(SESSION, 5, OTHER) == Keyed(OTHER, "b1", 0)
    assert texts(ports) == ["one", "two"]


@pytest.mark.parametrize("body", ["b1", "b2"])
@pytest.mark.parametrize("at", [None, 0])
def test_a_taken_key_says_what_it_stands_for_and_nothing_is_written(
    ports: Ports, body: str, at: int | None
) -> None:
    append(ports, KEY, "one")
    append(ports, OTHER, "two")
    # A stale writer hears of the key too, not of the segment in its place.
    assert append(ports, KEY, "again", body=body, at=at) == Keyed(KEY, "b1", 0)
    assert append(ports, OTHER, "again", body=body, at=at) == Keyed(OTHER, "b1", 1)
    assert texts(ports) == ["one", "two"]
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b1", 0)


def test_a_stale_writer_gets_the_segment_in_its_way_and_takes_no_key(ports: Ports) -> None:
    first = segment(Head(5, 0, State()), say("one"))
    assert ports.log.append(SESSION, 5, first) is None
    assert append(ports, KEY, "late", at=0) == first
    assert ports.log.keyed(SESSION, 5, KEY) is None
    assert append(ports, KEY, "late", body="b2") is None
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b2", 1)
    assert texts(ports) == ["one", "late"]


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_a_lost_answer_is_success_when_asked_again(backend: Backend, loss: Loss) -> None:
    ports = backend.ports
    new, keyed = segment(Head(5, 0, State()), say("one")), Keyed(KEY, "b1", 0)

    def write() -> object:
        return ports.log.append(SESSION, 5, new, keyed)

    if loss == "cut":
        with pytest.raises(Unavailable):
            backend.losing(loss, write)
        # What another process of the same caller would find.
        assert ports.log.keyed(SESSION, 5, KEY) == keyed
        assert append(ports, KEY, "again") == keyed
        assert write() is None
    else:
        assert backend.losing(loss, write) is None
    assert texts(ports) == ["one"]


def test_a_key_stands_for_its_input_a_day_and_is_free_then(backend: Backend) -> None:
    ports = backend.ports
    backend.clock.ms += 999  # late in its second
    append(ports, KEY, "one")
    backend.clock.ms += DAY
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b1", 0)
    assert append(ports, KEY, "again") == Keyed(KEY, "b1", 0)
    backend.clock.ms += 1
    # The table has not removed it yet, and may not for days.
    assert (5, -1, "") in backend.kept()
    assert ports.log.keyed(SESSION, 5, KEY) is None
    assert append(ports, KEY, "two", body="b2") is None
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b2", 1)
    assert texts(ports) == ["one", "two"]


def test_a_key_belongs_to_one_session_and_one_incarnation_of_it(ports: Ports) -> None:
    append(ports, KEY, "one")
    assert ports.log.keyed("support.s2", 5, KEY) is None
    assert ports.log.keyed("support.s", 5, KEY) is None
    head = ports.log.tail(SESSION).head
    assert ports.log.append(SESSION, 5, segment(head, SessionDeleted())) is None
    ports.sessions.create(session(incarnation=6), over=5)
    assert ports.log.keyed(SESSION, 6, KEY) is None
    assert append(ports, KEY, "new", body="b2") is None
    assert ports.log.keyed(SESSION, 6, KEY) == Keyed(KEY, "b2", 0)
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b1", 0)


def test_the_sweep_removes_the_keys_of_the_deleted_and_no_others(backend: Backend) -> None:
    ports = backend.ports
    for n in range(3):
        append(ports, str(n) * 22, str(n))
    head = ports.log.tail(SESSION).head
    ports.log.append(SESSION, 5, segment(head, SessionDeleted()))
    ports.sessions.create(session(incarnation=6), over=5)
    append(ports, KEY, "new")
    for _ in range(2):  # each round may be done again
        ports.sweeper.blank(SESSION, 5)
    assert ports.log.keyed(SESSION, 5, "0" * 22)
    for _ in range(2):
        ports.sweeper.clear(SESSION, 5)
    assert [place for place in backend.kept() if place[0] == 5] == []
    assert ports.log.keyed(SESSION, 6, KEY) == Keyed(KEY, "b1", 0)
    assert texts(ports) == ["new"]


def test_a_deleted_session_takes_no_keyed_input(ports: Ports) -> None:
    tombstone = segment(Head(5, 0, State()), SessionDeleted())
    ports.log.append(SESSION, 5, tombstone)
    assert append(ports, KEY, "late", at=0) == tombstone
    assert ports.log.keyed(SESSION, 5, KEY) is None


def test_an_input_too_large_leaves_no_key(backend: Backend) -> None:
    calls = len(backend.calls)
    with pytest.raises(TooLarge):
        append(backend.ports, KEY, "x" * MAX_BYTES)
    assert "TransactWriteItems" not in backend.calls[calls:]
    assert backend.ports.log.keyed(SESSION, 5, KEY) is None
    assert append(backend.ports, KEY, "short") is None


# --- keys without an input -----------------------------------------------------------------------


def test_under_a_key_that_was_claimed_nothing_is_taken_in(ports: Ports) -> None:
    nothing = Keyed(KEY, "b1", NOWHERE)
    assert ports.log.claim(SESSION, 5, nothing) == nothing
    assert ports.log.claim(SESSION, 5, Keyed(KEY, "b2", NOWHERE)) == nothing
    assert ports.log.keyed(SESSION, 5, KEY) == nothing
    assert append(ports, KEY, "late") == nothing
    assert append(ports, OTHER, "other") is None
    assert texts(ports) == ["other"]


def test_a_key_that_has_an_input_is_not_claimed(ports: Ports) -> None:
    append(ports, KEY, "one")
    assert ports.log.claim(SESSION, 5, Keyed(KEY, "b1", NOWHERE)) == Keyed(KEY, "b1", 0)
    assert ports.log.keyed(SESSION, 5, KEY) == Keyed(KEY, "b1", 0)


def test_a_claimed_key_is_free_after_a_day_too(backend: Backend) -> None:
    ports = backend.ports
    ports.log.claim(SESSION, 5, Keyed(KEY, "b1", NOWHERE))
    backend.clock.ms += DAY + 1000
    assert ports.log.keyed(SESSION, 5, KEY) is None
    again = Keyed(KEY, "b2", NOWHERE)
    assert ports.log.claim(SESSION, 5, again) == again


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_who_claims_again_because_the_answer_was_lost_hears_the_same(
    backend: Backend, loss: Loss
) -> None:
    nothing = Keyed(KEY, "b1", NOWHERE)
    try:
        claimed = backend.losing(loss, lambda: backend.ports.log.claim(SESSION, 5, nothing))
        assert claimed == nothing
    except Unavailable:
        assert loss == "cut"
    assert backend.ports.log.claim(SESSION, 5, nothing) == nothing


# --- at once -------------------------------------------------------------------------------------


def test_of_twenty_with_one_key_one_writes_and_all_hear_of_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    ports = backend.ports
    answers: list[Segment | Keyed | None] = []
    in_threads(lambda n: answers.append(append(ports, KEY, str(n))))
    assert answers.count(None) == 1
    assert answers.count(Keyed(KEY, "b1", 0)) == 19
    assert len(texts(ports)) == 1


def test_of_many_who_claim_a_key_or_append_under_it_all_hear_the_same(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    ports = backend.ports
    heard: list[int] = []

    def work(n: int) -> None:
        if n % 2:
            heard.append(ports.log.claim(SESSION, 5, Keyed(KEY, "b1", NOWHERE)).offset)
        else:
            found = append(ports, KEY, str(n))
            heard.append(found.offset if isinstance(found, Keyed) else 0)

    in_threads(work)
    assert len(heard) == 20
    assert len({*heard}) == 1
    assert len(texts(ports)) == heard[0] + 1


def test_twenty_with_keys_of_their_own_stay_dense(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    ports = backend.ports

    def write(n: int) -> None:
        while append(ports, str(n).zfill(22), str(n)):
            pass

    in_threads(write)
    assert sorted(texts(ports), key=int) == [str(n) for n in range(20)]
    for n in range(20):
        found = ports.log.keyed(SESSION, 5, str(n).zfill(22))
        assert found
        assert texts(ports)[found.offset] == str(n)


# --- what only a table has -----------------------------------------------------------------------


def test_a_keyed_append_is_one_call_and_so_is_a_look_at_a_key(table: Backend) -> None:
    ports = table.ports
    table.calls.clear()
    keyed = Keyed(KEY, "b1", 0)
    assert ports.log.append(SESSION, 5, segment(Head(5, 0, State()), say("x")), keyed) is None
    assert table.calls == ["TransactWriteItems"]
    ports.log.keyed(SESSION, 5, KEY)
    assert table.calls == ["TransactWriteItems", "GetItem"]
    ports.log.append(SESSION, 5, segment(Head(5, 1, State()), say("y")))
    assert table.calls[2:] == ["PutItem"]
    ports.log.claim(SESSION, 5, Keyed(OTHER, "b1", NOWHERE))
    assert table.calls[3:] == ["PutItem"]


def test_keys_are_not_read_with_the_tail_and_hold_no_content(table: Backend) -> None:
    for n in range(5):
        append(table.ports, str(n) * 22, "secret words")
    assert table.client
    read: list[str] = []

    def look(parsed: Mapping[str, list[Item]], **_: object) -> None:
        read.extend(item["sk"]["S"] for item in parsed["Items"])

    with hooked(table.client, "after-call.dynamodb.Query", look):
        table.ports.log.tail(SESSION, 100_000)
    assert len(read) == 6
    assert [sk for sk in read if sk[0] == "R"] == []
    items = [i for i in table.client.scan(TableName=TABLE)["Items"] if i["sk"]["S"][0] == "R"]
    assert len(items) == 5
    for item in items:
        assert set(item) == {"pk", "sk", "body", "offset", "attempt", "ttl"}
        assert "secret" not in str({**item, "attempt": ""})


FAILED, CONFLICT = "ConditionalCheckFailed", "TransactionConflict"


def test_a_keyed_append_waits_for_transactions_in_its_way(table: Backend) -> None:
    # The last but one says that the place is taken; but whether the key is, it cannot know yet.
    passing = [["None", CONFLICT], ["ThrottlingError", "None"], [CONFLICT, FAILED]]
    before = table.clock.now()
    with cancelled(table, *passing) as seen:
        assert append(table.ports, KEY, "one") is None
    assert seen == [4]
    assert table.clock.now() > before
    assert texts(table.ports) == ["one"]


def test_waiting_for_other_transactions_ends(table: Backend) -> None:
    before = table.clock.now()
    with cancelled(table, *[[CONFLICT, "None"]] * 1000), pytest.raises(Unavailable):
        append(table.ports, KEY, "one")
    assert table.clock.now() - before < 5_000


def test_an_append_without_a_key_waits_for_a_transaction_in_its_way(table: Backend) -> None:
    left = [1, 2, 3]

    def refuse(**_: object) -> object:
        return answer(400, __type="TransactionConflictException") if left and left.pop() else None

    assert table.client
    with hooked(table.client, "before-send.dynamodb.PutItem", refuse):
        assert table.ports.log.append(SESSION, 5, segment(Head(5, 0, State()), say("x"))) is None
    assert not left
    assert texts(table.ports) == ["x"]
