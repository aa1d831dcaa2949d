"""Wake-ups and heartbeats."""

import pytest

from cueline.adapters.wake_ups import wake_up_from_json, wake_up_to_json
from cueline.engine.ports import Ports, WakeUp
from cueline.errors import InvalidRequest
from tests.contract.backends import SESSION, Backend

WAKE_UPS = [
    WakeUp(SESSION),
    WakeUp(SESSION, look={"t1": 0, "t2": 7}),
    WakeUp(SESSION, sweep=(1_750_000_000_000, 1)),
    WakeUp(SESSION, sweep=(5, 2)),
    WakeUp(SESSION, look={"t1": 0}, waited=(1_750_000_000_000, 7)),
    WakeUp(SESSION, triggers=(1_750_000_000_000, 7)),
]


@pytest.mark.parametrize("wake_up", WAKE_UPS)
def test_a_wake_up_arrives_as_it_was_sent(backend: Backend, wake_up: WakeUp) -> None:
    backend.ports.wake_ups.send(wake_up)
    assert backend.received() == [wake_up]


def test_a_delayed_wake_up_does_not_arrive_at_once(backend: Backend) -> None:
    backend.ports.wake_ups.send(WakeUp(SESSION), delay=900)
    backend.ports.wake_ups.send(WakeUp("support.s2"), delay=0)
    assert backend.received() == [WakeUp("support.s2")]
    if not backend.client:
        backend.clock.ms += 899_000
        assert backend.received() == []
        backend.clock.ms += 1_000
        assert backend.received() == [WakeUp(SESSION)]
        assert backend.received() == []


@pytest.mark.parametrize("delay", [-1, 901])
def test_no_wake_up_is_delayed_longer_than_a_queue_can(ports: Ports, delay: int) -> None:
    with pytest.raises(ValueError, match="900"):
        ports.wake_ups.send(WakeUp(SESSION), delay)


@pytest.mark.parametrize("wake_up", WAKE_UPS)
def test_a_body_can_be_read_back(wake_up: WakeUp) -> None:
    assert wake_up_from_json(wake_up_to_json(wake_up)) == wake_up


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "null",
        "look at support.s1",
        '{"session":"support"}',
        '{"session":"support.s1.x"}',
        '{"session":"support.s1\\n"}',
        '{"session":5}',
        '{"session":"support.s1","look":{"t":"1"}}',
        '{"session":"support.s1","look":{"t":-1}}',
        '{"session":"support.s1","look":["t"]}',
        '{"session":"support.s1","sweep":[5]}',
        '{"session":"support.s1","sweep":[5,3]}',
        '{"session":"support.s1","sweep":[5.5,1]}',
        '{"session":"support.s1","waited":[5,-1]}',
        '{"session":"support.s1","triggers":[5]}',
        '{"session":"support.s1","triggers":[5,-1]}',
    ],
)
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest):
        wake_up_from_json(body)


def test_beats_count_for_each_turn_of_each_incarnation(ports: Ports) -> None:
    beats = ports.beats
    assert beats.look(SESSION, 5, []) == {}
    assert beats.look(SESSION, 5, ["t1", "t2"]) == {"t1": 0, "t2": 0}
    for _ in range(3):
        beats.beat(SESSION, 5, "t1")
    beats.beat(SESSION, 6, "t1")
    beats.beat("support.s2", 5, "t1")
    assert beats.look(SESSION, 5, ["t1", "t2"]) == {"t1": 3, "t2": 0}


def test_a_beat_is_forgotten_a_day_later(table: Backend) -> None:
    table.ports.beats.beat(SESSION, 5, "t1")
    assert table.client
    [item] = table.client.scan(TableName="cueline")["Items"]
    assert int(item["ttl"]["N"]) == table.clock.now() // 1000 + 86_400


def test_what_a_newer_version_adds_is_passed_over() -> None:
    assert wake_up_from_json('{"session":"support.s1","later":1}') == WakeUp("support.s1")
