"""METAs: made once, changed by whoever read them last, listed in order."""

import logging
from dataclasses import replace
from itertools import islice
from typing import Any
from zlib import crc32

import pytest

from cueline.engine.ports import Part, Ports
from cueline.errors import AgentNotFound, InvalidPageKey, TooLarge, Unavailable
from cueline.log.segment import MAX_BYTES, Session
from cueline.log.triggers import BuyTime, FollowUp, Guideline
from tests.contract.backends import (
    SESSION,
    TABLE,
    Backend,
    Loss,
    agent,
    cancelled,
    hooked,
    session,
)

MINUTE = 60_000
SAY = (Guideline(action="Ask.", rationale="follow_up"), Guideline(action="ü"))
LONG = (Guideline(action="x" * MAX_BYTES),)


def stored(ports: Ports, key: str = SESSION) -> Session:
    found = ports.log.tail(key).session
    assert found
    return found


@pytest.fixture
def made(ports: Ports) -> Session:
    ports.agents.create(agent())
    assert ports.sessions.create(session(tti_minutes=10), over=0)
    return session(tti_minutes=10)


# --- create --------------------------------------------------------------------------------------


def test_everything_about_a_session_comes_back(ports: Ports) -> None:
    ports.agents.create(agent())
    full = session(
        description="", metadata={"a": [1, {"b": None}], "ü": "\N{SNOWMAN}"}, enabled=False
    )
    assert ports.sessions.create(full, over=0)
    assert stored(ports) == full


TOLD: list[dict[str, Any]] = [
    {"customer": "ada@example.com"},
    {"labels": ("b", "ü")},
    {"consumed": {"client": 7}},
    {"answers": "other"},
    {"mode": "manual"},
    {"follow_ups": ()},
    {"follow_ups": (FollowUp(after_seconds=60), FollowUp(after_seconds=3600, guidelines=SAY))},
    {"buy_time": BuyTime(after_seconds=2.5)},
    {"buy_time": BuyTime(after_seconds=5, times=3, guidelines=SAY)},
]


@pytest.mark.parametrize("fields", TOLD)
def test_each_of_its_settings_comes_back(ports: Ports, fields: dict[str, Any]) -> None:
    ports.agents.create(agent())
    assert ports.sessions.create(session(**fields), over=0)
    assert stored(ports) == session(**fields)
    assert ports.sessions.list("support", 1, None).items == [session(**fields)]
    assert ports.sessions.replace(session(version=1))
    assert stored(ports) == session(version=1)
    for name in fields:
        assert getattr(stored(ports), name) == getattr(session(), name)


def test_one_from_before_those_settings_reads_well(table: Backend) -> None:
    table.ports.agents.create(agent())
    table.ports.sessions.create(session(), over=0)
    assert table.client
    [item] = [i for i in table.client.scan(TableName=TABLE)["Items"] if i["sk"]["S"] == "META"]
    told = {"customer", "labels", "consumed", "answers", "mode", "follow_ups", "buy_time"}
    assert not told.intersection(item)
    assert stored(table.ports) == session()


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ("x" * MAX_BYTES,)},
        {"consumed": {"x" * MAX_BYTES: 1}},
        {"customer": "x" * MAX_BYTES},
        {"follow_ups": (FollowUp(after_seconds=1, guidelines=LONG),)},
        {"buy_time": BuyTime(after_seconds=1, guidelines=LONG)},
    ],
)
def test_all_of_a_session_counts(ports: Ports, fields: dict[str, Any]) -> None:
    ports.agents.create(agent())
    with pytest.raises(TooLarge):
        ports.sessions.create(session(**fields), over=0)
    assert ports.log.tail(SESSION).session is None


def test_a_session_needs_its_agent(ports: Ports) -> None:
    with pytest.raises(AgentNotFound):
        ports.sessions.create(session(), over=0)
    assert ports.log.tail(SESSION).session is None


def test_only_one_of_two_makers_makes_the_session(ports: Ports, made: Session) -> None:
    assert not ports.sessions.create(session(incarnation=6, name="Mine"), over=0)
    assert stored(ports) == made


def test_a_session_is_made_again_over_what_its_maker_has_seen_end(
    ports: Ports, made: Session
) -> None:
    again = session(incarnation=9)
    assert not ports.sessions.create(again, over=made.incarnation - 1)
    assert ports.sessions.create(again, over=made.incarnation)
    assert not ports.sessions.create(session(incarnation=10), over=made.incarnation)
    assert stored(ports) == again


@pytest.mark.parametrize("loss", ["repeated", "cut"])
def test_a_maker_whose_answer_was_lost_has_made_the_session(backend: Backend, loss: Loss) -> None:
    if not backend.client:
        return  # only a network loses answers
    ports = backend.ports
    ports.agents.create(agent())
    if loss == "repeated":
        assert backend.losing(loss, lambda: ports.sessions.create(session(), over=0))
    else:
        with pytest.raises(Unavailable):
            backend.losing(loss, lambda: ports.sessions.create(session(), over=0))
    assert stored(ports) == session()


def test_a_session_too_large_is_refused_before_anything_is_written(ports: Ports) -> None:
    ports.agents.create(agent())
    pile = "\N{PILE OF POO}" * (MAX_BYTES // 4)
    with pytest.raises(TooLarge):
        ports.sessions.create(session(metadata={"x": pile}), over=0)
    assert ports.log.tail(SESSION).session is None
    with pytest.raises(TooLarge):
        ports.sessions.replace(session(description=pile, version=1, name="xx"))


def test_makers_of_sessions_of_one_agent_wait_for_each_other(table: Backend) -> None:
    table.ports.agents.create(agent())
    conflict, throttle = ["None", "TransactionConflict"], ["ThrottlingError", "None"]
    before = table.clock.now()
    with cancelled(table, conflict, throttle, conflict) as seen:
        assert table.ports.sessions.create(session(), over=0)
    assert seen == [4]
    assert table.clock.now() > before
    assert stored(table.ports) == session()


def test_waiting_for_other_makers_ends(table: Backend) -> None:
    table.ports.agents.create(agent())
    before = table.clock.now()
    with (
        cancelled(table, *[["None", "TransactionConflict"]] * 1000),
        pytest.raises(Unavailable),
    ):
        table.ports.sessions.create(session(), over=0)
    assert table.clock.now() - before < 5_000


def test_a_cancellation_that_nobody_knows_is_a_bug(table: Backend) -> None:
    from botocore.exceptions import ClientError

    table.ports.agents.create(agent())
    with cancelled(table, ["ValidationError", "None"]), pytest.raises(ClientError):
        table.ports.sessions.create(session(), over=0)


# --- change --------------------------------------------------------------------------------------


def test_a_change_names_the_version_that_it_read(ports: Ports, made: Session) -> None:
    changed = replace(made, name="New", version=1)
    assert ports.sessions.replace(changed)
    assert stored(ports) == changed
    assert not ports.sessions.replace(replace(made, name="Stale", version=1))
    assert not ports.sessions.replace(replace(made, name="Early", version=3))
    assert stored(ports) == changed


def test_a_change_does_not_reach_another_incarnation(ports: Ports, made: Session) -> None:
    again = session(incarnation=9)
    ports.sessions.create(again, over=5)
    assert not ports.sessions.replace(replace(made, version=1))
    ports.sessions.remove(SESSION, 5)
    assert stored(ports) == again
    ports.sessions.remove(SESSION, 9)
    assert not ports.sessions.replace(replace(again, version=1))
    assert ports.log.tail(SESSION).session is None
    ports.sessions.remove(SESSION, 9)


def test_a_change_whose_answer_was_lost_is_done(backend: Backend) -> None:
    if not backend.client:
        return
    ports = backend.ports
    ports.agents.create(agent())
    ports.sessions.create(session(), over=0)
    changed = session(name="New", version=1)
    assert backend.losing("repeated", lambda: ports.sessions.replace(changed))
    # The same change by somebody else is not mine.
    assert not ports.sessions.replace(changed)


# --- the collector's hint ------------------------------------------------------------------------


def test_the_hint_is_later_than_the_expiry_and_rarely_moved(
    backend: Backend, made: Session
) -> None:
    ports, clock = backend.ports, backend.clock
    writes = 0
    for _ in range(60):  # an input every 9 minutes, for 9 hours
        clock.ms += 9 * MINUTE
        found = stored(ports)
        assert found.collect_at * 1000 > clock.now()
        ports.sessions.touch(found, clock.now())
        assert stored(ports).collect_at * 1000 >= clock.now() + 40 * MINUTE
        writes += stored(ports).collect_at != found.collect_at
    assert 0 < writes <= 60 * 9 // 30
    if backend.client:
        assert backend.calls.count("UpdateItem") == writes


def test_the_hint_of_another_incarnation_is_left_alone(ports: Ports, made: Session) -> None:
    ports.sessions.create(session(incarnation=9, tti_minutes=1), over=5)
    before = stored(ports).collect_at
    ports.sessions.touch(made, ports.clock.now() + 10 * 60 * MINUTE)
    assert stored(ports).collect_at == before


def test_a_session_without_expiry_has_no_hint(backend: Backend) -> None:
    ports = backend.ports
    ports.agents.create(agent())
    ports.sessions.create(session(), over=0)
    ports.sessions.touch(session(), 10**14)
    ports.sessions.touch(session(tti_minutes=5), 10**14)  # as somebody read it before a change
    assert stored(ports).collect_at == 0
    if backend.client:
        items = backend.client.scan(TableName="cueline")["Items"]
        assert not any("ttl" in item for item in items)


def test_a_hint_that_cannot_be_moved_is_left_for_the_next_time(
    table: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    table.ports.agents.create(agent())
    table.ports.sessions.create(session(tti_minutes=10), over=0)
    found = stored(table.ports)
    with caplog.at_level(logging.WARNING):
        table.losing("cut", lambda: table.ports.sessions.touch(found, 10**13))
    assert "support.s1" in caplog.text


# --- lists ---------------------------------------------------------------------------------------


def test_a_list_is_in_the_order_of_making_whatever_the_page_size(ports: Ports) -> None:
    ports.agents.create(agent())
    ports.agents.create(agent("other"))
    assert ports.sessions.list("support", 10, None).items == []
    keys = ["b", "a", "d", "c", "e"]
    for n, key in enumerate(keys):
        ports.sessions.create(session(key, created_at=1000 + n // 2), over=0)
    ports.sessions.create(Session("other", "x", 5, "Foreign", 1000), over=0)
    in_order = ["a", "b", "c", "d", "e"]
    for limit in (1, 2, 3, 5, 6):
        found, page_key, pages = [], None, 0
        while True:
            page = ports.sessions.list("support", limit, page_key)
            found += [s.session_key for s in page.items]
            pages += 1
            page_key = page.next
            if not page_key:
                break
        assert found == in_order
        assert pages == -(-5 // limit)


def test_a_page_key_survives_the_removal_of_its_session(ports: Ports) -> None:
    ports.agents.create(agent())
    for key in "abc":
        ports.sessions.create(session(key), over=0)
    page = ports.sessions.list("support", 2, None)
    ports.sessions.remove("support.b", 5)
    assert [s.session_key for s in ports.sessions.list("support", 2, page.next).items] == ["c"]


def test_only_its_own_list_takes_a_page_key(ports: Ports) -> None:
    for key in ("support", "other"):
        ports.agents.create(agent(key))
    for key in "ab":
        ports.sessions.create(session(key), over=0)
    given = ports.sessions.list("support", 1, None).next
    assert given
    assert given.replace("-", "").replace("_", "").isalnum()
    assert ports.sessions.list("support", 1, given).items
    agents = ports.agents.list(1, None).next
    for wrong in ("", "x", given + "=", given[:-1], given + "A", f" {given}", agents, "🙂", "W10"):
        with pytest.raises(InvalidPageKey):
            ports.sessions.list("support", 1, wrong)
    with pytest.raises(InvalidPageKey):
        ports.sessions.list("other", 1, given)
    with pytest.raises(InvalidPageKey):
        ports.agents.list(1, given)


# --- all of them ---------------------------------------------------------------------------------


def test_all_sessions_are_those_of_every_agent(ports: Ports) -> None:
    assert list(ports.sessions.all()) == []
    made = [
        Session(agent_key, f"s{n}", 5, f"Talk {n}", 1000 + n)
        for agent_key in ("support", "sales")
        for n in range(30)
    ]
    for agent_key in ("support", "sales"):
        ports.agents.create(agent(agent_key))
    for one in made:
        assert ports.sessions.create(one, over=0)
    ports.sessions.remove("sales.s7", 5)
    ports.sessions.replace(replace(made[0], name="New", version=1))
    found = {one.id: one for one in ports.sessions.all()}
    assert len(found) == len(made) - 1
    assert found["support.s0"].name == "New"
    assert found["sales.s8"] == made[38]


def test_one_that_is_built_or_deleted_is_among_all(ports: Ports, made: Session) -> None:
    ports.sessions.create(session("new", building=True), over=0)
    ports.agents.delete("support")
    assert {(s.session_key, s.building) for s in ports.sessions.all()} == {
        ("s1", False),
        ("new", True),
    }


def test_all_sessions_are_spread_and_read_as_far_as_somebody_asks(table: Backend) -> None:
    table.ports.agents.create(agent())
    for n in range(40):
        table.ports.sessions.create(session(f"s{n}"), over=0)
    assert table.client
    items = table.client.scan(TableName=TABLE, IndexName="SessionsIndex")["Items"]
    assert {item["sk"]["S"] for item in items} == {"META"}
    assert {item["shard"]["S"] for item in items} == {f"sessions#{n}" for n in range(8)}
    table.calls.clear()
    assert next(table.ports.sessions.all(Part(ahead=8)))
    assert table.calls == ["Query"] * 8
    assert len(list(table.ports.sessions.all(Part(ahead=8)))) == 40


@pytest.mark.parametrize("newest_first", [False, True])
def test_all_sessions_go_on_from_any_place(ports: Ports, newest_first: bool) -> None:
    """Also among those that were made in the same millisecond, under the same key."""
    agents, keys = ("sales", "support"), ("a", "a-b", "a0", "b")
    for agent_key in agents:
        ports.agents.create(agent(agent_key))
    made = [
        Session(agent_key, f"{key}{n}", 5, "Talk", 1000 + n // 2)
        for agent_key in agents
        for key in keys
        for n in range(5)
    ]
    for one in made:
        ports.sessions.create(one, over=0)
    ordered = sorted(made, key=lambda s: s.place, reverse=newest_first)
    assert [s.id for s in ports.sessions.all(Part(None, newest_first))] == [s.id for s in ordered]
    for n, one in enumerate(ordered):
        found = ports.sessions.all(Part(one.place, newest_first, ahead=1))
        assert [s.id for s in found] == [s.id for s in ordered[n + 1 :]]


def test_a_part_costs_what_is_looked_at_however_many_there_are(table: Backend) -> None:
    table.ports.agents.create(agent())
    for n in range(400):
        table.ports.sessions.create(Session("support", f"s{n}", 5, "Talk", 1000 + n), over=0)
    middle = Part((1200, "s200#support"), newest_first=True, ahead=10)
    read: list[int] = []

    def count(parsed: dict[str, Any], **_: object) -> None:
        read.append(parsed["Count"])

    assert table.client
    with hooked(table.client, "after-call.dynamodb.Query", count):
        for part, newest in ((Part(ahead=10), 0), (middle, 199)):
            found = [*islice(table.ports.sessions.all(part), 10)]
            assert {s.session_key for s in found} == {f"s{abs(newest - n)}" for n in range(10)}
    assert sum(read) < 2 * 100, read


def test_a_session_stays_in_its_shard(table: Backend) -> None:
    """Whatever Python and process: else a change would leave nothing behind, but another would
    look for it elsewhere."""
    table.ports.agents.create(agent())
    table.ports.sessions.create(session(), over=0)
    assert table.client
    [item] = table.client.scan(TableName=TABLE, IndexName="SessionsIndex")["Items"]
    assert item["shard"]["S"] == f"sessions#{crc32(b'support.s1') % 8}"
