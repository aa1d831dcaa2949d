"""Connections: offered, opened once, told, and gone; and what of a log is marked for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.dynamodb import items
from cueline.engine.listeners import (
    GRANTS,
    LONGEST_CONNECTION,
    RESUME_PAUSE,
    Connection,
    Connections,
)
from cueline.errors import Unavailable
from tests.contract.backends import (
    BACKENDS,
    SESSION,
    TABLE,
    Backend,
    Loss,
    agent,
    atomic_calls,
    cancelled,
    hooked,
    in_threads,
    session,
)

NOW = 1_750_000_000_000
TICKET, OTHER = "a" * 64, "b" * 64
UNTIL = NOW + LONGEST_CONNECTION * 1000
OFFER = Connection(f"{SESSION}.r1", SESSION, 5, "key1", GRANTS, NOW, NOW + 60_000)
OPEN = replace(OFFER, gateway="g1=", opened_at=NOW + 1, expires_at=UNTIL)
TOLD = replace(OPEN, told=True)
CLOSING = replace(TOLD, closing=True)


def opened(connections: Connections, offer: Connection = OFFER, gateway: str = "g1=") -> Connection:
    connections.offer(offer, TICKET)
    found = connections.open(offer.id, TICKET, gateway, NOW + 1, UNTIL)
    assert found
    return found


@pytest.mark.parametrize(
    "offer",
    [
        OFFER,
        replace(OFFER, grants=()),
        replace(OFFER, grants=("settings",), opening="Grüße\n" * 500, after=-1, incarnation=NOW),
        replace(OFFER, after=0, caller=""),
    ],
)
def test_everything_about_a_connection_comes_back(
    connections: Connections, offer: Connection
) -> None:
    connections.offer(offer, TICKET)
    assert connections.get(offer.id, NOW) == offer
    then = opened(connections, offer)
    assert then == replace(offer, gateway="g1=", opened_at=NOW + 1, expires_at=UNTIL)
    assert connections.get(offer.id, NOW) == connections.at("g1=", NOW) == then


def test_an_offer_opens_once(connections: Connections) -> None:
    connections.offer(OFFER, TICKET)
    assert connections.at("g1=", NOW) is None
    assert connections.open(OFFER.id, TICKET, "g1=", NOW + 1, UNTIL) == OPEN
    assert connections.open(OFFER.id, TICKET, "g2=", NOW + 2, UNTIL) is None
    assert connections.at("g1=", NOW + 2) == OPEN
    assert connections.at("g2=", NOW + 2) is None


def test_the_same_websocket_may_ask_again(connections: Connections) -> None:
    opened(connections)
    again = connections.open(OFFER.id, TICKET, "g1=", NOW + 5, UNTIL + 4)
    assert again == replace(OPEN, opened_at=NOW + 5, expires_at=UNTIL + 4)
    assert connections.at("g1=", NOW + 5) == again


@pytest.mark.parametrize(
    ("name", "ticket"),
    [
        (OFFER.id, OTHER),
        (OFFER.id, ""),
        (f"{SESSION}.r2", TICKET),
        ("support.s2.r1", TICKET),
        ("support", TICKET),
        ("", TICKET),
        (".", TICKET),
        ("..", TICKET),
        (f"{SESSION}.", TICKET),
        (f"{SESSION}.r1\n", TICKET),
        (f"{SESSION}.r1.r1", TICKET),
        (f"{SESSION}.{'r' * 3000}", TICKET),
        (f"{'s' * 3000}.s1.r1", TICKET),
        (f"{SESSION}.\N{SNOWMAN}", TICKET),
        (f"{SESSION}.\ud800", TICKET),
    ],
)
def test_whoever_has_not_both_halves_opens_nothing(
    connections: Connections, name: str, ticket: str
) -> None:
    connections.offer(OFFER, TICKET)
    assert connections.open(name, ticket, "g1=", NOW, UNTIL) is None
    assert connections.at("g1=", NOW) is None
    if name != OFFER.id:
        assert connections.get(name, NOW) is None
        assert connections.tell(replace(OFFER, id=name)) is None
        connections.remove(replace(OFFER, id=name))
    assert connections.get(OFFER.id, NOW) == OFFER


def test_what_has_expired_is_not_there(backend: Backend) -> None:
    connections, ends = backend.connections, OFFER.expires_at
    connections.offer(OFFER, TICKET)
    assert connections.get(OFFER.id, ends - 1) == OFFER
    assert connections.get(OFFER.id, ends) is None
    assert connections.open(OFFER.id, TICKET, "g1=", ends, UNTIL) is None
    assert connections.open(OFFER.id, TICKET, "g1=", ends - 1, UNTIL)
    told = connections.tell(OPEN)
    assert connections.at("g1=", UNTIL - 1) == told
    assert connections.of(SESSION, 5, UNTIL - 1) == [told]
    assert connections.at("g1=", UNTIL) is None
    assert connections.of(SESSION, 5, UNTIL) == []
    backend.clock.ms = UNTIL
    assert connections.tell(OPEN) is None


@pytest.mark.parametrize("kind", list(BACKENDS))
def test_of_many_who_open_at_once_one_gets_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_calls(monkeypatch)
    with BACKENDS[kind]() as backend:
        connections = backend.connections
        connections.offer(OFFER, TICKET)
        won: list[Connection] = []

        def work(n: int) -> None:
            if found := connections.open(OFFER.id, TICKET, f"g{n}=", NOW + n, UNTIL):
                won.append(found)

        in_threads(work)
        [winner] = won
        assert connections.get(OFFER.id, NOW) == winner
        there = [connections.at(f"g{n}=", NOW) for n in range(20)]
        assert [found for found in there if found] == [winner]


def test_those_of_a_session_are_the_told_ones_of_its_incarnation(connections: Connections) -> None:
    assert connections.of(SESSION, 5, NOW) == []
    connections.offer(replace(OFFER, id=f"{SESSION}.r0"), TICKET)
    opened(connections)
    assert connections.of(SESSION, 5, NOW) == []
    others = [
        replace(OFFER, id=f"{SESSION}.r2", incarnation=6),
        replace(OFFER, id=f"{SESSION}2.r1", session=f"{SESSION}2"),
        replace(OFFER, id=f"{SESSION}.r3"),
    ]
    for n, other in enumerate(others):
        connections.tell(opened(connections, other, f"other{n}="))
    assert connections.tell(OPEN) == TOLD
    assert connections.tell(TOLD) == TOLD
    assert connections.at("g1=", NOW) == TOLD
    assert [one.id for one in connections.of(SESSION, 5, NOW)] == [OFFER.id, f"{SESSION}.r3"]
    assert [one.id for one in connections.of(SESSION, 6, NOW)] == [f"{SESSION}.r2"]
    assert [one.id for one in connections.of(f"{SESSION}2", 5, NOW)] == [f"{SESSION}2.r1"]


def test_one_that_is_told_is_as_it_is_by_then(connections: Connections) -> None:
    opened(connections)
    assert connections.tell(OFFER) == TOLD


def test_what_only_its_begin_needed_is_dropped_once_it_is_told(backend: Backend) -> None:
    connections = backend.connections
    offer = replace(OFFER, opening="Say hello.", after=3)
    assert opened(connections, offer).opening
    again = connections.open(offer.id, TICKET, "g1=", NOW + 1, UNTIL)
    assert again == replace(OPEN, opening="Say hello.", after=3)
    told = replace(TOLD, after=3)
    assert connections.tell(again) == connections.get(offer.id, NOW) == told
    assert connections.open(offer.id, TICKET, "g1=", NOW + 1, UNTIL) is None
    if backend.client:
        items = backend.client.scan(TableName=TABLE)["Items"]
        assert not [item for item in items if {"ticket", "opening"} & item.keys()]


def test_one_that_is_closing_is_told_nothing_and_can_be_found(connections: Connections) -> None:
    told = connections.tell(opened(connections))
    assert told
    for _ in range(2):
        connections.mark_closing(told)
        assert connections.of(SESSION, 5, NOW) == []
        assert connections.of(SESSION, 5, NOW, closing=True) == [CLOSING]
        assert connections.get(OFFER.id, NOW) == connections.at("g1=", NOW) == CLOSING
        assert connections.tell(told) is None
    connections.remove(CLOSING)
    connections.mark_closing(CLOSING)
    connections.mark_closing(replace(OFFER, id=""))
    assert connections.of(SESSION, 5, NOW, closing=True) == []
    assert connections.at("g1=", NOW) is None


def test_one_that_was_never_told_may_be_closing_too(connections: Connections) -> None:
    connections.mark_closing(opened(connections))
    closing = replace(OPEN, closing=True)
    assert connections.of(SESSION, 5, NOW, closing=True) == [closing]
    assert connections.of(SESSION, 6, NOW, closing=True) == []
    assert connections.of(SESSION, 5, NOW) == []
    assert connections.tell(OPEN) is None


def test_one_that_was_removed_is_gone_and_stays_so(connections: Connections) -> None:
    told = connections.tell(opened(connections))
    assert told
    for _ in range(2):
        connections.remove(told)
        assert connections.get(OFFER.id, NOW) is None
        assert connections.at("g1=", NOW) is None
        assert connections.of(SESSION, 5, NOW) == []
        assert connections.tell(told) is None
        assert connections.open(OFFER.id, TICKET, "g1=", NOW, UNTIL) is None


def test_an_offer_that_is_taken_back_opens_nothing(connections: Connections) -> None:
    connections.offer(OFFER, TICKET)
    connections.remove(OFFER)
    assert connections.open(OFFER.id, TICKET, "g1=", NOW, UNTIL) is None


def test_whoever_removes_what_was_opened_meanwhile_removes_all_of_it(backend: Backend) -> None:
    opened(backend.connections)
    backend.connections.remove(OFFER)
    assert backend.connections.at("g1=", NOW) is None
    if backend.client:
        assert not backend.client.scan(TableName=TABLE)["Items"]


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_what_was_done_is_done_though_its_answer_was_lost(backend: Backend, loss: Loss) -> None:
    connections = backend.connections

    def opens() -> Connection | None:
        return connections.open(OFFER.id, TICKET, "g1=", NOW + 1, UNTIL)

    for write, then in (
        (lambda: connections.offer(OFFER, TICKET), OFFER),
        (opens, OPEN),
        (lambda: connections.tell(OPEN), TOLD),
        (lambda: connections.mark_closing(TOLD), CLOSING),
        (lambda: connections.remove(TOLD), None),
    ):
        try:
            assert backend.losing(loss, write) in (None, then)
        except Unavailable:
            assert loss == "cut"
        assert write() in (None, then)
        assert connections.get(OFFER.id, NOW) == then
        if then == OPEN:
            assert opens() == OPEN
    assert connections.at("g1=", NOW) is None


def test_nobody_takes_a_connection_for_a_part_of_the_log(backend: Backend) -> None:
    ports = backend.ports
    ports.agents.create(agent())
    assert ports.sessions.create(session(), 0)
    before = ports.log.tail(SESSION, 100_000)
    backend.connections.tell(opened(backend.connections))
    assert ports.log.tail(SESSION, 100_000) == before
    assert ports.log.read(SESSION, 5, -1, 10) == ()
    ports.sweeper.blank(SESSION, 5)
    ports.sweeper.clear(SESSION, 5)
    assert backend.connections.at("g1=", NOW) == TOLD


# --- the table -----------------------------------------------------------------------------------


@contextmanager
def asked(table: Backend) -> Iterator[list[tuple[str, Any]]]:
    """The calls inside, and whether each is strongly consistent."""
    seen: list[tuple[str, Any]] = []

    def see(params: dict[str, Any], model: Any, **_: object) -> None:
        seen.append((model.name, params.get("ConsistentRead")))

    assert table.client
    with hooked(table.client, "provide-client-params.dynamodb", see):
        yield seen


def test_nothing_that_is_read_lags_behind_the_writes(table: Backend) -> None:
    connections = table.connections
    connections.offer(OFFER, TICKET)
    with asked(table) as seen:
        connections.open(OFFER.id, TICKET, "g1=", NOW, UNTIL)
    assert seen == [("GetItem", True), ("TransactWriteItems", None)]
    with asked(table) as seen:
        connections.get(OFFER.id, NOW)
    assert seen == [("GetItem", True)]
    with asked(table) as seen:
        connections.at("g1=", NOW)
    assert seen == [("GetItem", True), ("GetItem", True)]
    with asked(table) as seen:
        connections.of(SESSION, 5, NOW)
    assert seen == [("Query", True)]


def test_whoever_opens_while_another_tries_waits_for_what_comes_of_that(table: Backend) -> None:
    table.connections.offer(OFFER, TICKET)
    with cancelled(table, ["TransactionConflict", "None"], ["None", "TransactionConflict"]) as seen:
        assert table.connections.open(OFFER.id, TICKET, "g1=", NOW + 1, UNTIL) == OPEN
    assert seen == [3]


def test_one_that_is_removed_while_it_is_opened_does_not_come_back(table: Backend) -> None:
    table.connections.offer(OFFER, TICKET)

    def remove(**_: object) -> None:
        table.connections.remove(OFFER)

    assert table.client
    with hooked(table.client, "before-send.dynamodb.TransactWriteItems", remove):
        assert table.connections.open(OFFER.id, TICKET, "g1=", NOW + 1, UNTIL) is None
    assert not table.client.scan(TableName=TABLE)["Items"]


def test_a_name_that_none_can_have_is_not_asked_for(table: Backend) -> None:
    with asked(table) as seen:
        assert table.connections.get("support..r1", NOW) is None
        assert table.connections.open("\ud800", TICKET, "g1=", NOW, UNTIL) is None
    assert seen == []
    with pytest.raises(ValueError, match="called"):
        table.connections.offer(replace(OFFER, id=SESSION), TICKET)


def test_the_list_goes_on_page_by_page(table: Backend) -> None:
    for n in range(5):
        large = replace(OFFER, id=f"{SESSION}.r{n}l", opening="x" * 300_000)
        opened(table.connections, large, f"l{n}=")
        told = replace(OFFER, id=f"{SESSION}.r{n}")
        table.connections.tell(opened(table.connections, told, f"g{n}="))
    table.calls.clear()
    found = table.connections.of(SESSION, 5, NOW)
    assert [one.id for one in found] == [f"{SESSION}.r{n}" for n in range(5)]
    assert table.calls == ["Query", "Query"]


def test_the_table_removes_both_items_some_time_after_their_end(table: Backend) -> None:
    table.connections.offer(replace(OFFER, expires_at=NOW + 1), TICKET)
    assert ttls(table) == {f"{items.FIRST_CONNECTION}r1": NOW // 1000 + 601}
    table.connections.open(OFFER.id, TICKET, "g1=", NOW, UNTIL)
    ends = UNTIL // 1000 + 600
    assert ttls(table) == {f"{items.FIRST_CONNECTION}r1": ends, "SOCKET": ends}


def ttls(table: Backend) -> dict[str, int]:
    assert table.client
    found = table.client.scan(TableName=TABLE)["Items"]
    return {items.sk_of(item): items.expires_in(item) for item in found}


def test_a_connection_resumes_once_within_the_pause(connections: Connections) -> None:
    told = opened(connections)
    assert connections.resumes(told, NOW + 1)
    assert not connections.resumes(told, NOW + RESUME_PAUSE)
    assert connections.resumes(told, NOW + RESUME_PAUSE + 1)
    assert connections.get(told.id, NOW) == told
    connections.remove(told)
    assert not connections.resumes(told, NOW + 9 * RESUME_PAUSE)
    assert connections.get(told.id, NOW) is None
    assert not connections.resumes(replace(told, id=""), NOW)


@pytest.mark.parametrize("kind", list(BACKENDS))
def test_of_many_who_resume_at_once_one_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_calls(monkeypatch)
    with BACKENDS[kind]() as backend:
        told = opened(backend.connections)
        resumed: list[bool] = []
        in_threads(lambda _: resumed.append(backend.connections.resumes(told, NOW + 1)), count=8)
    assert sorted(resumed) == [*[False] * 7, True]
