"""Following a session's events, as door 2 does for who waits: on memory and on DynamoDB."""

import json

import pytest

from cueline.doors.triggered_responses.event_wire import ListQuery
from cueline.doors.triggered_responses.listing import Follower
from cueline.doors.triggered_responses.view import View
from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.removal import remove_events
from cueline.errors import SessionNotFound
from cueline.log.events import Posted
from cueline.log.segment import Session
from tests.contract.backends import SESSION, Backend, agent, session


def opened(ports: Ports, **query: object) -> Follower:
    found, tail = sessions.find(ports, "support", "s1")
    view = View(ports, found, tail.head.state)
    return Follower(view, ListQuery.model_validate(query), tail)


def note(ports: Ports, data: object) -> None:
    writer = Writer(ports.log, ports.clock, SESSION, "t")
    head = ports.log.tail(SESSION).head
    assert writer.append_once(head, Posted(kind="custom", source="system", data=data))


def data(events: list[str]) -> list[object]:
    return [json.loads(event)["data"] for event in events]


@pytest.fixture
def made(ports: Ports) -> Session:
    ports.agents.create(agent())
    return sessions.create(ports, session(), "t")


def test_what_is_there_comes_first_and_then_what_is_new_once(made: Session, ports: Ports) -> None:
    for n in range(5):
        note(ports, n + 1)
    follower = opened(ports, min_offset=2)
    assert data(follower.listed()) == [3, 4, 5]
    assert follower.look() == []
    note(ports, 6)
    note(ports, 7)
    assert data(follower.look()) == [6, 7]
    assert follower.look() == []


def test_an_offset_that_is_still_to_come_is_waited_for(made: Session, ports: Ports) -> None:
    follower = opened(ports, min_offset=2)
    assert follower.listed() == []
    for n in range(4):
        note(ports, n + 1)
    assert data(follower.look()) == [3, 4]


def test_what_is_removed_meanwhile_is_not_told(made: Session, ports: Ports) -> None:
    note(ports, 1)
    follower = opened(ports, min_offset=1)
    assert follower.listed() == []
    note(ports, 2)
    remove_events(ports, made, 1, "t")
    note(ports, 3)
    assert data(follower.look())[-1] == 3
    assert data(opened(ports).listed()) == [1, 3]


def test_the_end_of_a_session_ends_it(made: Session, ports: Ports) -> None:
    follower = opened(ports)
    sessions.delete(ports, "support", "s1", "t")
    with pytest.raises(SessionNotFound):
        follower.look()


def test_a_look_that_finds_nothing_is_one_read(table: Backend) -> None:
    table.ports.agents.create(agent())
    sessions.create(table.ports, session(), "t")
    note(table.ports, 1)
    table.calls.clear()
    follower = opened(table.ports)
    assert data(follower.listed()) == [1]
    assert table.calls == ["Query"]
    assert follower.look() == []
    assert table.calls == ["Query", "GetItem"]
