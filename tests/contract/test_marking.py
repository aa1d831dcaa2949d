"""Marking an event: what is done is announced, what is still worked with is left alone."""

from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.marks import mark_event
from cueline.engine.ports import Ports
from cueline.errors import Conflict, EventNotFound, SessionNotFound, Unavailable
from cueline.log.events import (
    Answered,
    Event,
    EventMarked,
    Input,
    Mark,
    SessionDeleted,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnSuspended,
)
from cueline.log.segment import Session
from tests.contract.backends import SESSION, Backend, Loss, agent, atomic_calls, hooked, in_threads

CALL: dict[str, Any] = {"turn": "t", "call": "call_0", "tool": "pay"}


@pytest.fixture
def session(ports: Ports) -> Session:
    return make(ports)


def make(ports: Ports) -> Session:
    ports.agents.create(agent())
    return sessions.create(ports, Session("support", "s1", 0, "S", 0), "trace")


def say(ports: Ports, *events: Event) -> None:
    head = ports.log.tail(SESSION).head
    Writer(ports.log, ports.clock, SESSION, "trace").append(head, lambda *_: events)


def log(ports: Ports, session: Session) -> list[Event]:
    return [r.event for r in ports.log.read(SESSION, session.incarnation, -1, 1_000)]


def announced(ports: Ports, session: Session) -> list[tuple[int, str]]:
    return [(e.offset, e.mark) for e in log(ports, session) if isinstance(e, EventMarked)]


def talk(ports: Ports) -> None:
    """A turn that has ended: offsets 0 to 5."""
    say(
        ports,
        Input(texts=("hello",)),
        TurnBegan(turn="t", inputs=(0,)),
        Thinking(turn="t", text="hm"),
        ToolInput(**CALL, arguments="{}"),
        ToolOutput(**CALL, output="paid"),
        Answered(turn="t", inputs=(0,), text="hi"),
    )


def test_each_mark_is_set_and_announced(ports: Ports, session: Session) -> None:
    talk(ports)
    marks: list[Mark | None] = ["hidden", None, "erased"]
    assert [mark_event(ports, session, 5, mark, "t").mark for mark in marks] == marks
    assert announced(ports, session) == [(5, "hidden"), (5, "shown"), (5, "erased")]


@pytest.mark.parametrize("mark", ["hidden", "erased", None])
def test_a_repeat_announces_nothing_again(
    ports: Ports, session: Session, mark: Mark | None
) -> None:
    talk(ports)
    for _ in range(3):
        assert mark_event(ports, session, 5, mark, "t").mark == mark
        mark_event(ports, session, 0, "hidden", "t")
    assert announced(ports, session).count((5, mark or "shown")) == 1


@pytest.mark.parametrize("mark", ["hidden", "erased"])
def test_who_dies_before_the_announcement_is_made_up_for_by_a_repeat(
    ports: Ports, session: Session, mark: Mark
) -> None:
    talk(ports)
    ports.log.mark(SESSION, session.incarnation, 5, mark)
    assert mark_event(ports, session, 5, mark, "t").mark == mark
    assert announced(ports, session) == [(5, mark)]


@pytest.mark.parametrize("loss", ["repeated", "cut"])
@pytest.mark.parametrize("mark", ["hidden", "erased"])
def test_lost_answers_change_nothing(table: Backend, loss: Loss, mark: Mark) -> None:
    made = make(table.ports)
    talk(table.ports)
    lost: list[str] = []

    def lose(event_name: str, **_: object) -> float | None:
        """Of each kind of call the first answer."""
        if event_name in lost:
            return None
        lost.append(event_name)
        if loss == "cut":
            raise ConnectionClosedError(endpoint_url="http://dynamodb")
        return 0.0

    assert table.client
    with hooked(table.client, "needs-retry.dynamodb", lose):
        for _ in range(5):
            try:
                assert mark_event(table.ports, made, 5, mark, "t").mark == mark
            except Unavailable:
                assert loss == "cut"
    assert len(lost) == 3
    assert announced(table.ports, made) == [(5, mark)]


def test_the_last_of_many_announcements_is_true(
    backend: Backend, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    talk(backend.ports)
    marks: list[Mark | None] = ["hidden", None]
    in_threads(lambda n: _mark(backend.ports, session, marks[n % 2]), 6)
    [recorded] = backend.ports.log.read(SESSION, session.incarnation, 4, 1)
    assert announced(backend.ports, session)[-1] == (5, recorded.mark or "shown")


def _mark(ports: Ports, session: Session, mark: Mark | None) -> None:
    mark_event(ports, session, 5, mark, "t")


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [1, 6, 99, 2**40])
def test_there_is_nothing_to_mark(ports: Ports, session: Session, offset: int) -> None:
    talk(ports)
    with pytest.raises(EventNotFound):
        mark_event(ports, session, offset, "hidden", "t")
    assert announced(ports, session) == []


@pytest.mark.parametrize("mark", ["hidden", None])
def test_what_is_erased_is_not_there(ports: Ports, session: Session, mark: Mark | None) -> None:
    talk(ports)
    mark_event(ports, session, 5, "erased", "t")
    with pytest.raises(EventNotFound):
        mark_event(ports, session, 5, mark, "t")
    assert announced(ports, session) == [(5, "erased")]


def test_nothing_of_a_deleted_session_is_marked(ports: Ports, session: Session) -> None:
    talk(ports)
    say(ports, SessionDeleted())
    with pytest.raises(SessionNotFound):
        mark_event(ports, session, 5, "hidden", "t")


def refused(ports: Ports, session: Session) -> list[int]:
    """Offsets of what a turn still works with."""
    found = []
    for offset, event in enumerate(log(ports, session)):
        try:
            mark_event(ports, session, offset, "hidden", "t")
        except Conflict:
            found.append(offset)
        except EventNotFound:
            assert isinstance(event, TurnBegan | TurnAbandoned | EventMarked)
    return found


def test_a_running_turn_keeps_what_it_works_with(ports: Ports, session: Session) -> None:
    talk(ports)
    say(ports, Input(texts=("more",)), TurnBegan(turn="u", inputs=(6,)), Input(texts=("queued",)))
    say(ports, ToolInput(**{**CALL, "turn": "u"}, arguments="{}"))
    assert refused(ports, session) == [6, 8, 9]


def test_a_suspended_turn_keeps_what_it_goes_on_with(ports: Ports, session: Session) -> None:
    talk(ports)
    say(
        ports,
        Input(texts=("pay",)),
        TurnBegan(turn="u", inputs=(6,)),
        ToolInput(**{**CALL, "turn": "u"}, arguments="{}", approval=True),
        TurnSuspended(turn="u", inputs=(6,), calls=("call_0",)),
    )
    assert refused(ports, session) == [6, 8]


def test_what_a_dead_turn_did_goes_on_with_the_next(ports: Ports, session: Session) -> None:
    say(
        ports,
        Input(texts=("pay",)),
        TurnBegan(turn="t", inputs=(0,)),
        ToolInput(**CALL, arguments="{}"),
        ToolOutput(**CALL, output="paid"),
        TurnAbandoned(turn="t"),
    )
    assert refused(ports, session) == [0, 2, 3]
