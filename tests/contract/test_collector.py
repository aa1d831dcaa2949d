"""What the table drops is judged by the log: ended whole, or put back."""

from dataclasses import replace

from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.collector import collect
from cueline.engine.ports import WakeUp
from cueline.log.events import Answered, Input, SessionDeleted, TurnBegan
from cueline.log.segment import Session
from tests.contract.backends import SESSION, Backend, agent

HOUR = 3600.0


def made(backend: Backend, tti_minutes: int = 60) -> Session:
    backend.ports.agents.create(agent())
    new = Session("support", "s1", 0, "S", 0, tti_minutes=tti_minutes)
    return sessions.create(backend.ports, new, "trace")


def talk(backend: Backend, *, answered: bool = True) -> None:
    writer = Writer(backend.ports.log, backend.ports.clock, SESSION, "trace")
    head = backend.ports.log.tail(SESSION).head
    end = (Answered(turn="t", inputs=(head.at,), text="hi"),) if answered else ()
    writer.append(
        head,
        lambda _, at: (Input(texts=("hello",)), TurnBegan(turn="t", inputs=(at,)), *end),
    )


def drop(backend: Backend, session: Session) -> None:
    """As the table does when the hint has passed, and then tells."""
    backend.ports.sessions.remove(session.id, session.incarnation)
    collect(backend.ports, session, "trace")


def deleted(backend: Backend) -> bool:
    return backend.ports.log.tail(SESSION).head.state.deleted


def test_an_expired_session_is_ended_and_swept(backend: Backend) -> None:
    session = made(backend)
    talk(backend)
    backend.clock.sleep(2 * HOUR)
    drop(backend, session)
    assert deleted(backend)
    assert backend.received() == [WakeUp(SESSION, sweep=(session.incarnation, 1))]


def test_a_session_that_nobody_ever_used_is_ended_too(backend: Backend) -> None:
    session = made(backend)
    backend.clock.sleep(2 * HOUR)
    drop(backend, session)
    assert deleted(backend)


def test_a_live_session_is_put_back_with_all_its_events(backend: Backend) -> None:
    session = made(backend)
    backend.clock.sleep(2 * HOUR)
    talk(backend)
    drop(backend, session)
    found, tail = sessions.find(backend.ports, "support", "s1")
    assert found == session
    assert tail.head.at == 3
    assert backend.received() == []


def test_a_session_with_an_open_turn_is_put_back(backend: Backend) -> None:
    session = made(backend)
    talk(backend, answered=False)
    backend.clock.sleep(5 * HOUR)
    drop(backend, session)
    assert sessions.find(backend.ports, "support", "s1")


def test_without_its_agent_it_is_ended(backend: Backend) -> None:
    session = made(backend)
    talk(backend)
    backend.ports.agents.delete("support")
    drop(backend, session)
    assert deleted(backend)


def test_a_deleted_session_is_swept_again_and_ended_once(backend: Backend) -> None:
    session = made(backend)
    talk(backend)
    sessions.delete(backend.ports, "support", "s1", "trace")
    before = backend.ports.log.tail(SESSION).head
    collect(backend.ports, session, "trace")
    assert backend.ports.log.tail(SESSION).head == before
    assert set(map(repr, backend.received())) == {
        repr(WakeUp(SESSION, sweep=(session.incarnation, 1)))
    }


def test_a_session_that_was_made_anew_is_left_alone(backend: Backend) -> None:
    session = made(backend)
    talk(backend)
    sessions.delete(backend.ports, "support", "s1", "trace")
    backend.clock.sleep(1)
    anew = sessions.create(backend.ports, replace(session, incarnation=0), "trace")
    backend.received()
    collect(backend.ports, session, "trace")
    assert sessions.find(backend.ports, "support", "s1")[0].incarnation == anew.incarnation
    assert backend.received() == []


def test_it_may_come_twice(backend: Backend) -> None:
    session = made(backend)
    talk(backend)
    backend.clock.sleep(2 * HOUR)
    drop(backend, session)
    head = backend.ports.log.tail(SESSION).head
    collect(backend.ports, session, "trace")
    assert backend.ports.log.tail(SESSION).head == head
    events = backend.kept()
    assert sum(SessionDeleted().type in e for _, _, e in events) == 1
