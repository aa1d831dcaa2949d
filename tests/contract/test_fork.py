"""A fork is there whole or not at all, whatever dies while it is made."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.collector import collect
from cueline.engine.fork import MOST_EVENTS, WAIT_SECONDS, Source, fork
from cueline.engine.ports import Ports, WakeUp
from cueline.engine.turn import Limits
from cueline.engine.worker import Worker
from cueline.errors import InvalidRequest, SessionExists, SessionNotFound, Unavailable
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Event,
    Finished,
    Input,
    InputsWithdrawn,
    Recorded,
    TurnBegan,
    TurnInterrupted,
    erased,
)
from cueline.log.fold import reduce
from cueline.log.segment import MAX_EVENTS, Head, Segment, Session
from cueline.log.state import State, offsets
from tests.contract.backends import SESSION, Backend, agent, atomic_calls, hooked, in_threads
from tests.models import ScriptedModel

FORK = "support.fork"
NEW = Session("support", "fork", 0, "F", 0, mark="made")


@pytest.fixture
def source(ports: Ports) -> Session:
    return make(ports)


def make(ports: Ports, turns: int = 12) -> Session:
    """A session with so many turns, each of three offsets in two segments."""
    ports.agents.create(agent())
    made = sessions.create(ports, Session("support", "s1", 0, "S", 0), "trace")
    for n in range(turns):
        at = 3 * n
        say(ports, SESSION, Input(texts=(f"question {n}",), digest=f"d{n}"))
        ports.clock.sleep(1)
        answer = Answered(turn=f"t{n}", inputs=(at,), text=f"answer {n}")
        say(ports, SESSION, TurnBegan(turn=f"t{n}", inputs=(at,)), answer)
    return made


def say(ports: Ports, session: str, *events: Event) -> None:
    head = ports.log.tail(session).head
    Writer(ports.log, ports.clock, session, "trace").append(head, lambda *_: events)


def whole(ports: Ports, source: Session) -> Source:
    return Source(source, ports.log.tail(source.id).head.at)


def log(ports: Ports, session: Session) -> Sequence[Recorded]:
    return ports.log.read(session.id, session.incarnation, -1, 10_000)


def segments(ports: Ports, made: Session) -> list[Segment]:
    found: list[Segment] = []
    while one := ports.log.segment(made.id, made.incarnation, found[-1].end if found else 0):
        found.append(one)
    return found


def check(ports: Ports, made: Session) -> None:
    """Its segments are dense, and carry the state that they should."""
    head = Head(made.incarnation, 0, State())
    for segment in segments(ports, made):
        assert segment.at == head.at
        assert segment.state == reduce(head.state, head.at, segment.events)
        head = Head(made.incarnation, segment.end, segment.state)
    assert sessions.find(ports, "support", made.session_key)[0] == made
    assert not head.state.suspended
    assert not head.state.turns


# --- what it holds -------------------------------------------------------------------------------


def test_a_fork_has_the_same_events_at_the_same_offsets(ports: Ports, source: Session) -> None:
    made = fork(ports, NEW, whole(ports, source), "trace")
    check(ports, made)
    original, copies = log(ports, source), log(ports, made)
    assert [r.event for r in copies] == [
        r.event.model_copy(update={"digest": ""}) if isinstance(r.event, Input) else r.event
        for r in original
    ]
    assert [r.offset for r in copies] == list(range(36))
    assert [len(s.events) for s in segments(ports, made)] == [16, 16, 4]
    times = [r.created_at for r in copies]
    assert times == sorted(times)
    assert times[-1] == original[-1].created_at
    assert (made.version, made.mark, made.building) == (0, "made", False)


@pytest.mark.parametrize("end", [0, 1, 2, 3, 15, 16, 17, 35])
def test_it_may_end_anywhere(ports: Ports, source: Session, end: int) -> None:
    made = fork(ports, NEW, Source(source, end), "trace")
    check(ports, made)
    assert ports.log.tail(FORK).head.state.pending == ()
    kept = [r.event for r in log(ports, made)][end:]
    open_ended: dict[int, list[type[Event]]] = {1: [InputsWithdrawn], 2: [TurnInterrupted]}
    assert [type(event) for event in kept] == open_ended.get(end % 3, [])


def test_an_empty_session_has_an_empty_fork(ports: Ports) -> None:
    source = make(ports, turns=0)
    made = fork(ports, NEW, whole(ports, source), "trace")
    check(ports, made)
    assert log(ports, made) == ()


def test_it_can_be_talked_to_and_its_source_too(ports: Ports, source: Session) -> None:
    made = fork(ports, NEW, Source(source, 4), "trace")
    at = ports.log.tail(FORK).head.at
    say(ports, FORK, Input(texts=("more",)), TurnBegan(turn="u", inputs=(at,)))
    say(ports, FORK, Answered(turn="u", inputs=(at,), text="yes"))
    say(ports, SESSION, Input(texts=("other",)))
    check(ports, made)
    assert len(log(ports, source)) == 37


def test_marks_are_copied_and_erased_stays_erased(ports: Ports, source: Session) -> None:
    ports.log.mark(SESSION, source.incarnation, 2, "hidden")
    ports.log.mark(SESSION, source.incarnation, 18, "erased")
    made = fork(ports, NEW, whole(ports, source), "trace")
    copies = log(ports, made)
    assert {r.offset: r.mark for r in copies if r.mark} == {2: "hidden", 18: "erased"}
    assert copies[18].event == erased(Input(texts=("x",)))
    check(ports, made)


def test_large_events_fit(ports: Ports) -> None:
    source = make(ports, turns=0)
    for _ in range(3):
        say(ports, SESSION, Input(policy="silent", texts=("\u3042" * 120_000,)))
        say(ports, SESSION, Input(policy="silent", texts=("small",)))
    made = fork(ports, NEW, whole(ports, source), "trace")
    check(ports, made)
    assert len(log(ports, made)) == 7


def test_a_session_that_is_too_long_is_refused(ports: Ports, source: Session) -> None:
    with pytest.raises(InvalidRequest):
        fork(ports, NEW, Source(source, MOST_EVENTS + 1), "trace")
    assert ports.log.tail(FORK).session is None


def test_a_source_that_goes_away_leaves_no_fork(ports: Ports, source: Session) -> None:
    given = whole(ports, source)
    sessions.delete(ports, "support", "s1", "trace")
    with pytest.raises(SessionNotFound):
        fork(ports, NEW, given, "trace")
    not_there(ports)


# --- compaction ----------------------------------------------------------------------------------


def test_a_summary_is_asked_for_and_waited_for(backend: Backend, source: Session) -> None:
    ports = backend.ports
    given = replace(whole(ports, source), compact=CompactionAsked(up_to=5), payer="key")
    seen: list[WakeUp] = []
    pause = backend.clock.sleep

    def sleep(seconds: float) -> None:
        """The worker comes while the maker waits."""
        pause(seconds)
        tail = ports.log.tail(FORK)
        if tail.head.state.pending and tail.live(ports.clock.now()):
            seen.extend(backend.received())
            at = offsets(tail.head.state.pending)[0]
            summary = Compacted(turn="c", up_to=5, summary="So far.", turns=2, events=4)
            say(ports, FORK, TurnBegan(turn="c", inputs=(at,)), summary)
            say(ports, FORK, Finished(turn="c", inputs=(at,)))

    backend.clock.sleep = sleep  # type: ignore[method-assign]
    began = backend.clock.now()
    made = fork(ports, NEW, given, "trace")
    assert backend.clock.now() - began < 3_000
    check(ports, made)
    asked = log(ports, made)[36].event
    assert asked == Input(compact=CompactionAsked(up_to=5), caller="key")
    assert ports.log.tail(FORK).head.state.compacted == (38, 6)
    assert WakeUp(FORK, guards=37) in seen


def test_who_waits_in_vain_has_a_fork_nevertheless(ports: Ports, source: Session) -> None:
    given = replace(whole(ports, source), compact=CompactionAsked(up_to=5))
    began = ports.clock.monotonic()
    made = fork(ports, NEW, given, "trace")
    assert WAIT_SECONDS <= ports.clock.monotonic() - began < WAIT_SECONDS + 1
    assert offsets(ports.log.tail(made.id).head.state.pending) == (36,)


# --- while it is made ----------------------------------------------------------------------------


class DiedError(Exception):
    pass


def dying(ports: Ports, monkeypatch: pytest.MonkeyPatch, segments: int) -> None:
    """Whoever makes a fork dies once it has written so many segments."""
    append, left = ports.log.append, [segments]

    def die(session: str, *more: Any) -> Any:
        if session == FORK:
            if not left[0]:
                raise DiedError
            left[0] -= 1
        return append(session, *more)

    monkeypatch.setattr(ports.log, "append", die)


def half(
    ports: Ports, source: Session, monkeypatch: pytest.MonkeyPatch, segments: int = 1
) -> Session:
    """Left behind by who died."""
    with monkeypatch.context() as patch:
        dying(ports, patch, segments)
        with pytest.raises(DiedError):
            fork(ports, NEW, whole(ports, source), "trace")
    left = ports.log.tail(FORK)
    assert left.session
    assert left.head.at == segments * MAX_EVENTS
    return left.session


def not_there(ports: Ports) -> None:
    with pytest.raises(SessionNotFound):
        sessions.find(ports, "support", "fork")
    page = sessions.page(ports, "support", lambda _: True, 10, None)
    assert "fork" not in [found.session_key for found in page.items]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_half_a_fork_is_there_for_nobody(
    backend: Backend, source: Session, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    ports = backend.ports
    half(ports, source, monkeypatch, written)
    not_there(ports)
    with pytest.raises(SessionNotFound):
        sessions.delete(ports, "support", "fork", "trace")
    with pytest.raises(SessionNotFound):
        sessions.update(ports, "support", "fork", lambda s: s)


def test_no_worker_touches_it(
    backend: Backend, source: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wake-up of an earlier session under the key may come; the copy has a turn under way."""
    ports = backend.ports
    say(ports, SESSION, *[Input(texts=("more",))] * 2, TurnBegan(turn="open", inputs=(36,)))
    for _ in range(4):
        say(ports, SESSION, *[Input(policy="silent")] * 16)
    half(ports, source, monkeypatch, segments=4)
    before = ports.log.tail(FORK)
    assert before.head.state.turns
    backend.received()
    worker = Worker(ports, ScriptedModel, Limits())
    for wake_up in (WakeUp(FORK), WakeUp(FORK, look={"open": 0})):
        worker.handle(wake_up, 100.0, "trace")
    assert ports.log.tail(FORK) == before
    assert backend.received() == []


def test_half_a_fork_goes_with_its_meta(
    backend: Backend, source: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = backend.ports
    left = half(ports, source, monkeypatch)
    hour = 3_600
    assert left.collect_at == ports.clock.now() // 1000 + hour
    backend.clock.sleep(hour)
    ports.sessions.remove(FORK, left.incarnation)  # as the table does
    collect(ports, left, "trace")
    assert ports.log.tail(FORK).head.state.deleted
    assert backend.received() == [WakeUp(FORK, sweep=(left.incarnation, 1))]
    ports.sweeper.blank(FORK, left.incarnation)
    ports.sweeper.clear(FORK, left.incarnation)
    assert ports.log.read(FORK, left.incarnation, -1, 99) == ()


def test_a_fork_that_is_whole_is_not_collected(ports: Ports, source: Session) -> None:
    made = fork(ports, NEW, whole(ports, source), "trace")
    found = ports.log.tail(FORK).session
    assert found
    assert found.collect_at == 0
    later = replace(NEW, session_key="later", tti_minutes=60)
    made = fork(ports, later, whole(ports, source), "trace")
    found = ports.log.tail(made.id).session
    assert found
    assert found.collect_at > ports.clock.now() // 1000 + 3_600


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_repeat_buries_it_and_begins_again(
    backend: Backend, source: Session, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    ports = backend.ports
    left = half(ports, source, monkeypatch, written)
    made = fork(ports, NEW, whole(ports, source), "trace")
    assert made.incarnation > left.incarnation
    check(ports, made)
    assert len(log(ports, made)) == 36
    assert WakeUp(FORK, sweep=(left.incarnation, 1)) in backend.received()
    with pytest.raises(SessionExists):
        fork(ports, NEW, whole(ports, source), "trace")


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_who_was_buried_meanwhile_stops(
    ports: Ports, source: Session, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """By a session that somebody else makes under the key, while this one is copied."""
    append, replaced = ports.log.append, ports.sessions.replace
    count, others = [0], list[Session]()

    def come_between() -> None:
        if count[0] == written and not others:
            others.append(NEW)
            others[0] = sessions.create(ports, replace(NEW, name="other"), "trace")
        count[0] += 1

    def wrapped(write: Callable[..., Any]) -> Callable[..., Any]:
        def do(*given: Any) -> Any:
            if not others:
                come_between()
            return write(*given)

        return do

    monkeypatch.setattr(ports.log, "append", wrapped(append))
    monkeypatch.setattr(ports.sessions, "replace", wrapped(replaced))
    with pytest.raises(Unavailable):
        fork(ports, NEW, whole(ports, source), "trace")
    found, tail = sessions.find(ports, "support", "fork")
    assert found == others[0]
    assert tail.head.at == 0


@pytest.mark.parametrize("first", ["builder", "burier"])
def test_who_makes_it_whole_and_who_buries_it_are_never_both_right(
    ports: Ports, source: Session, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """All is copied, and another request has seen that it is not whole yet."""
    replaced, tail = ports.sessions.replace, ports.log.tail
    whole_ones: list[Session] = []

    def die(session: Session) -> bool:
        whole_ones.append(session)
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(ports.sessions, "replace", die)
        with pytest.raises(DiedError):
            fork(ports, NEW, whole(ports, source), "trace")

    def builder_comes_first(session: str) -> Any:
        seen = tail(session)
        if whole_ones:
            assert replaced(whole_ones.pop())
        return seen

    def burier_comes_first(session: Session) -> bool:
        done = replaced(session)
        if whole_ones:
            assert not replaced(whole_ones.pop())
        return done

    with monkeypatch.context() as patch:
        if first == "builder":
            patch.setattr(ports.log, "tail", builder_comes_first)
            with pytest.raises(SessionExists):
                sessions.create(ports, replace(NEW, name="other"), "trace")
        else:
            patch.setattr(ports.sessions, "replace", burier_comes_first)
            sessions.create(ports, replace(NEW, name="other"), "trace")
    found, seen = sessions.find(ports, "support", "fork")
    assert not whole_ones
    assert (found.name, seen.head.at) == (("F", 36) if first == "builder" else ("other", 0))


def test_of_many_who_fork_at_once_each_gets_a_whole_one_or_none(
    backend: Backend, source: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)
    ports = backend.ports
    given, made = whole(ports, source), list[Session]()

    def make_one(_: int) -> None:
        with suppress(SessionExists, Unavailable):
            made.append(fork(ports, NEW, given, "trace"))

    in_threads(make_one, 4)
    assert len(made) <= 1
    if made:
        check(ports, made[0])
        assert len(log(ports, made[0])) == 36
    else:
        not_there(ports)


@pytest.mark.parametrize("nth", range(9))
def test_a_lost_answer_leaves_a_whole_fork_or_none(table: Backend, nth: int) -> None:
    """Of each call in turn; the library tries again, which must not be mistaken for others."""
    ports, client = table.ports, table.client
    assert client
    given = whole(ports, make(ports))
    left = [nth]

    def lose(**_: object) -> float | None:
        left[0] -= 1
        return 0.0 if left[0] == -1 else None

    with hooked(client, "needs-retry.dynamodb", lose):
        made = fork(ports, NEW, given, "trace")
    check(ports, made)
    assert len(log(ports, made)) == 36


@pytest.mark.parametrize("nth", range(9))
def test_a_broken_connection_leaves_a_whole_fork_or_none(table: Backend, nth: int) -> None:
    ports, client = table.ports, table.client
    assert client
    given = whole(ports, make(ports))
    left = [nth]

    def cut(**_: object) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise ConnectionClosedError(endpoint_url="http://dynamodb")

    with hooked(client, "needs-retry.dynamodb", cut), suppress(Unavailable):
        fork(ports, NEW, given, "trace")
    try:
        found, _ = sessions.find(ports, "support", "fork")
    except SessionNotFound:
        found = fork(ports, NEW, given, "trace")
    check(ports, found)
    assert len(log(ports, found)) == 36
