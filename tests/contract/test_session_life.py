"""A session is made, found, deleted, and made again: one life at a time under a key."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from cueline.engine import sessions
from cueline.engine.agent import Agent
from cueline.engine.append import Writer
from cueline.engine.marks import mark_event
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.removal import remove_events
from cueline.engine.runs import try_anew
from cueline.errors import AgentNotFound, SessionExists, SessionNotFound
from cueline.log.events import Event, Input, InputsWithdrawn
from cueline.log.fold import reduce
from cueline.log.segment import Head, Segment, Session, Tail
from cueline.log.state import State
from tests.contract.backends import Backend, atomic_calls

NEW = Session("a", "s", incarnation=0, name="S", created_at=0)
MINUTE = 60_000


@pytest.fixture(autouse=True)
def agent(ports: Ports) -> None:
    ports.agents.create(Agent(key="a", name="A", model="m", created_at=0, updated_at=0))


def say(ports: Ports, text: str = "hi") -> None:
    head = ports.log.tail("a.s").head
    Writer(ports.log, ports.clock, "a.s", "t").append(head, lambda *_: (Input(texts=(text,)),))


def sweeps(backend: Backend) -> list[WakeUp]:
    return [wake_up for wake_up in backend.received() if wake_up.sweep]


def test_a_made_session_is_found(ports: Ports) -> None:
    made = sessions.create(ports, NEW, "t")
    assert (made.incarnation, made.created_at) == (ports.clock.now(), ports.clock.now())
    assert sessions.find(ports, "a", "s")[0] == made
    with pytest.raises(SessionExists):
        sessions.create(ports, NEW, "t")


def test_what_is_not_there_says_what(ports: Ports) -> None:
    with pytest.raises(SessionNotFound):
        sessions.find(ports, "a", "s")
    with pytest.raises(AgentNotFound):
        sessions.find(ports, "b", "s")
    with pytest.raises(AgentNotFound):
        sessions.create(ports, replace(NEW, agent_key="b"), "t")
    with pytest.raises(SessionNotFound):
        sessions.delete(ports, "a", "s", "t")


def test_a_deleted_session_is_swept_and_its_key_begins_a_new_life(
    ports: Ports, backend: Backend
) -> None:
    first = sessions.create(ports, NEW, "t")
    say(ports)
    sessions.delete(ports, "a", "s", "t")
    assert sweeps(backend) == [WakeUp("a.s", sweep=(first.incarnation, 1))]
    sessions.delete(ports, "a", "s", "t")  # the client's own retry
    assert sweeps(backend) == []
    ports.clock.sleep(10)
    with pytest.raises(SessionNotFound):
        sessions.delete(ports, "a", "s", "t")
    second = sessions.create(ports, NEW, "t")
    assert second.incarnation > first.incarnation
    assert sessions.find(ports, "a", "s")[1].head == Head(second.incarnation, 0, State())


def test_a_session_without_events_is_deleted_for_its_late_writers_too(ports: Ports) -> None:
    made = sessions.create(ports, NEW, "t")
    before = ports.log.tail("a.s").head
    sessions.delete(ports, "a", "s", "t")
    events: tuple[Event, ...] = (Input(texts=("late",)),)
    late = Segment(0, events, reduce(before.state, 0, events), "late", 1)
    assert ports.log.append("a.s", made.incarnation, late) is not None


def test_a_delete_that_died_half_way_is_finished_by_the_next(
    ports: Ports, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sessions.create(ports, NEW, "t")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for port, step in ((ports.wake_ups, "send"), (ports.sessions, "remove")):
        with monkeypatch.context() as patch:
            patch.setattr(port, step, die)
            with pytest.raises(KeyboardInterrupt):
                sessions.delete(ports, "a", "s", "t")
        with pytest.raises(SessionNotFound):
            sessions.find(ports, "a", "s")
    backend.received()
    sessions.delete(ports, "a", "s", "t")
    assert sweeps(backend) == [WakeUp("a.s", sweep=(made.incarnation, 1))]
    assert ports.log.tail("a.s").session is None


def test_a_key_can_be_made_again_over_a_delete_that_died(
    ports: Ports, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sessions.create(ports, NEW, "t")
    with monkeypatch.context() as patch:
        patch.setattr(ports.wake_ups, "send", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sessions.delete(ports, "a", "s", "t")
    second = sessions.create(ports, NEW, "t")
    assert sessions.find(ports, "a", "s")[0].incarnation == second.incarnation
    assert sweeps(backend) == [WakeUp("a.s", sweep=(first.incarnation, 1))]


def test_an_expired_session_is_gone_and_gives_way(ports: Ports, backend: Backend) -> None:
    first = sessions.create(ports, replace(NEW, tti_minutes=1), "t")
    say(ports)
    # An input that nobody answered keeps a session alive.
    ports.clock.sleep(60)
    assert sessions.find(ports, "a", "s")
    second_life = replace(NEW, session_key="idle", tti_minutes=1)
    idle = sessions.create(ports, second_life, "t")
    ports.clock.sleep(60)
    with pytest.raises(SessionNotFound):
        sessions.find(ports, "a", "idle")
    again = sessions.create(ports, second_life, "t")
    assert again.incarnation > idle.incarnation > first.incarnation
    assert sweeps(backend) == [WakeUp("a.idle", sweep=(idle.incarnation, 1))]


@pytest.mark.parametrize(
    "act",
    [
        lambda ports, session: mark_event(ports, session, 0, "hidden", "t"),
        lambda ports, session: remove_events(ports, session, 0, "t"),
        lambda ports, _: try_anew(ports, ports.log.tail("a.s"), 0, 30, "t", None),
    ],
    ids=["marked", "removed", "tried anew"],
)
def test_what_lets_a_session_live_on_keeps_the_collector_away(
    ports: Ports, act: Callable[[Ports, Session], object]
) -> None:
    session = sessions.create(ports, replace(NEW, tti_minutes=30), "t")
    for at in (0, 2, 4):
        head = replace(ports.log.tail("a.s").head, incarnation=session.incarnation)
        said = (Input(texts=("hi",)), InputsWithdrawn(inputs=(at,)))
        Writer(ports.log, ports.clock, "a.s", "t").put(head, said)
        ports.clock.sleep(25 * 60)
    act(ports, session)
    session, _ = sessions.find(ports, "a", "s")
    assert session.collect_at > ports.clock.now() // 1000 + 60 * 60


def test_a_sign_of_life_between_look_and_burial_saves_the_session(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sessions.create(ports, replace(NEW, tti_minutes=1), "t")
    ports.clock.sleep(60)
    look = ports.log.tail
    looks: list[Tail] = []

    def tail(session: str, window: int = 0) -> Tail:
        found = look(session, window)
        looks.append(found)
        if len(looks) == 1:  # seen as expired; now somebody who read it earlier writes
            monkeypatch.setattr(ports.log, "tail", look)
            say(ports)
        return found

    monkeypatch.setattr(ports.log, "tail", tail)
    with pytest.raises(SessionExists):
        sessions.create(ports, NEW, "t")
    assert sessions.find(ports, "a", "s")[0].incarnation == made.incarnation


def test_two_who_make_a_session_again_make_one(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.create(ports, replace(NEW, tti_minutes=1), "t")
    ports.clock.sleep(60)
    look = ports.log.tail
    made: list[Session] = []

    def tail(session: str, window: int = 0) -> Tail:
        found = look(session, window)
        monkeypatch.setattr(ports.log, "tail", look)
        made.append(sessions.create(ports, replace(NEW, name="first"), "t"))
        return found

    monkeypatch.setattr(ports.log, "tail", tail)
    with pytest.raises(SessionExists):
        sessions.create(ports, replace(NEW, name="second"), "t")
    assert sessions.find(ports, "a", "s")[0] == made[0]


def test_an_update_is_of_the_newest_version(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions.create(ports, NEW, "t")
    tries = []

    def rename(session: Session) -> Session:
        tries.append(session.version)
        if len(tries) == 1:
            sessions.update(ports, "a", "s", lambda s: replace(s, description="between"))
        return replace(session, name="new")

    changed, _ = sessions.update(ports, "a", "s", rename)
    assert (changed.name, changed.description, tries) == ("new", "between", [0, 1])
    assert sessions.find(ports, "a", "s")[0] == changed


def test_of_many_who_make_a_session_at_once_one_does(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    sessions.create(ports, replace(NEW, tti_minutes=1), "t")
    ports.clock.sleep(60)
    won: list[Session] = []

    def make() -> None:
        with suppress(SessionExists):
            won.append(sessions.create(ports, NEW, "t"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (made,) = won
    assert sessions.find(ports, "a", "s")[0] == made
