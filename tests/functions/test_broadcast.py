"""What stands in a session's log is told to its connections, each in order, whatever one does."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cueline.adapters.memory import MemoryConnections, memory_ports
from cueline.doors.access import Access
from cueline.doors.client_commands import broadcast, reaching
from cueline.doors.client_commands.broadcast import Broadcast, Heard
from cueline.doors.client_commands.realtime import Realtime
from cueline.engine.listeners import GRANTS, Connection, Grant, Sent
from cueline.engine.ports import Key, Secret
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    Event,
    EventMarked,
    EventsRemoved,
    Input,
    Listening,
    Mark,
    Posted,
    Recorded,
    SessionDeleted,
    SettingsChanged,
    TurnAbandoned,
    TurnBegan,
)
from cueline.log.fold import reduce
from cueline.log.segment import Segment
from cueline.log.settings import Settings
from cueline.log.state import State
from tests.clock import FakeClock
from tests.contract.backends import agent, session
from tests.listening import Sockets

SESSION, OTHER, INCARNATION = "support.s1", "support.s2", 5
HOURS = 60 * 60 * 1000


class Connections(MemoryConnections):
    """Those of which a test says when they cannot be read."""

    fails: frozenset[str] | set[str] = frozenset()
    """Sessions, and ids of connections."""

    def get(self, connection: str, now: int) -> Connection | None:
        self._check(connection)
        return super().get(connection, now)

    def of(
        self, session: str, incarnation: int, now: int, *, closing: bool = False
    ) -> Sequence[Connection]:
        self._check(session)
        return super().of(session, incarnation, now, closing=closing)

    def mark_closing(self, connection: Connection) -> None:
        self._check(f"mark {connection.id}")
        super().mark_closing(connection)

    def remove(self, connection: Connection) -> None:
        self._check(f"remove {connection.id}")
        super().remove(connection)

    def _check(self, what: str) -> None:
        if what in self.fails:
            raise Unavailable("The table does not answer.")


@dataclass
class Stage:
    """Sessions, who listens to them, and what of their logs the stream has brought."""

    clock: FakeClock = field(default_factory=FakeClock)
    sockets: Sockets = field(default_factory=Sockets)
    ends: dict[str, tuple[int, State]] = field(default_factory=dict)
    checks: bool = False
    """Who may come in."""

    def __post_init__(self) -> None:
        self.ports = memory_ports(self.clock)
        self.ports.agents.create(agent())
        for key in ("s1", "s2"):
            assert self.ports.sessions.create(session(key), over=0)
        self.connections = Connections(self.clock)
        access = Access(self.ports.keys, self.clock, bytes) if self.checks else None
        realtime = Realtime(self.ports, self.connections, self.sockets, access)
        self.realtime = realtime
        self.broadcast = Broadcast(realtime)

    def opens(
        self,
        name: str,
        of: str = SESSION,
        *,
        grants: tuple[Grant, ...] = GRANTS,
        age: int = 60_000,
        incarnation: int = INCARNATION,
        caller: str = "key",
    ) -> str:
        """A connection that has been opened; the gateway's id of it is its name."""
        now = self.clock.now()
        given = Connection(f"{of}.{name}", of, incarnation, caller, grants, now, now + 2 * HOURS)
        self.connections.offer(given, name)
        opened = self.connections.open(given.id, name, name, now - age, now + 2 * HOURS)
        assert opened
        return given.id

    def writes(self, *events: Event, of: str = SESSION) -> Heard:
        """One segment, as the stream has it."""
        at, state = self.ends.get(of, (0, State()))
        after = reduce(state, at, events)
        written = Segment(at, events, after, f"attempt{at}", self.clock.now(), "trace")
        assert self.ports.log.append(of, INCARNATION, written) is None
        self.ends[of] = written.end, after
        return Heard(of, INCARNATION, written)

    def fill(self, count: int) -> None:
        """Says so many numbers, from 0 on."""
        for first in range(0, count, 15):
            self.writes(*(says(str(n)) for n in range(first, first + 15)))

    def joins(self, name: str, of: str = SESSION, after: int | None = None, **how: Any) -> Heard:
        connection = self.opens(name, of, **how)
        return self.writes(self.listens(connection, after), of=of)

    def listens(self, connection: str, after: int | None = None) -> Listening:
        until = self.clock.now() + 2 * HOURS
        return Listening(connection=connection, after=after, until=until)

    def tell(self, *heard: Heard) -> set[int]:
        return self.broadcast.tell(heard)

    def said(self, gateway: str) -> list[Any]:
        """Contents of messages, and names of all other frames."""
        return [
            one["data"]["message"].get("content", one["data"]["message"]["type"])
            if one["event"] == "message_received"
            else one["event"]
            for one in self.sockets.told(gateway)
        ]

    def slow(self, seconds: float) -> None:
        """From now on each frame takes so long."""
        send = self.sockets.send

        def slow(gateway: str, frame: str) -> Sent:
            self.clock.sleep(seconds)
            return send(gateway, frame)

        self.sockets.send = slow  # type: ignore[method-assign]

    def sticks(self, name: str, seconds: float) -> None:
        """From now on all that is done to this one takes so long, and it is never closed."""
        send, close = self.sockets.send, self.sockets.close

        def waits(gateway: str) -> None:
            if gateway == name:
                self.clock.sleep(seconds)

        def slow(gateway: str, frame: str) -> Sent:
            waits(gateway)
            return send(gateway, frame)

        def closing(gateway: str) -> Sent:
            waits(gateway)
            return close(gateway)

        self.sockets.send, self.sockets.close = slow, closing  # type: ignore[method-assign]
        self.sockets.stuck = {name}

    def row(self, name: str) -> Connection | None:
        return self.connections.get(f"{SESSION}.{name}", self.clock.now())


@pytest.fixture
def stage() -> Stage:
    return Stage()


def says(text: str) -> Input:
    return Input(policy="silent", texts=(text,))


BEGIN = ["session", "avatar_state_changed"]


# --- who comes -----------------------------------------------------------------------------------


def test_who_comes_is_told_where_it_is_and_then_what_comes(stage: Stage) -> None:
    before = stage.writes(says("before"))
    join = stage.joins("ada")
    assert stage.tell(before, join, stage.writes(says("after"))) == set()
    assert stage.said("ada") == [*BEGIN, "after"]
    marker = stage.sockets.told("ada")[0]["data"]["message"]
    assert (marker["offset"], marker["resumed"]) == (1, False)
    assert (marker["session_id"], marker["connection_id"]) == (SESSION, f"{SESSION}.ada")


def test_who_has_come_hears_what_comes_in_later_batches(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    stage.tell(stage.writes(says("one"), says("two")))
    stage.tell(stage.writes(says("three")))
    assert stage.said("ada") == [*BEGIN, "one", "two", "three"]


def test_who_is_open_and_has_not_come_hears_nothing(stage: Stage) -> None:
    stage.opens("ada")
    stage.tell(stage.writes(says("one")))
    assert stage.said("ada") == []


def test_the_first_frame_tells_the_settings(stage: Stage) -> None:
    settings = Settings(instructions="Be kind.", temperature=0.5)
    stage.writes(SettingsChanged(settings=settings))
    stage.tell(stage.joins("ada"), stage.joins("eve", grants=("user_messages",)))
    for gateway, expected in (
        ("ada", {"instructions": "Be kind.", "temperature": 0.5}),
        ("eve", {"temperature": 0.5}),
    ):
        assert stage.sockets.told(gateway)[0]["data"]["message"]["settings"] == expected


def test_changed_settings_are_told_to_each_as_far_as_it_may_know_them(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve", grants=("system_messages",)))
    changed = SettingsChanged(settings=Settings(instructions="Be kind."))
    stage.tell(stage.writes(changed))
    assert stage.sockets.told("ada")[-1]["data"]["settings"] == {"instructions": "Be kind."}
    assert stage.sockets.told("eve")[-1]["data"]["settings"] == {}


@pytest.mark.parametrize("what", ["removed", "expired", "only offered", "of an older session"])
def test_a_join_of_a_connection_that_is_not_there_is_passed_over(stage: Stage, what: str) -> None:
    older = INCARNATION - 1 if what == "of an older session" else INCARNATION
    if what == "only offered":
        now = stage.clock.now()
        given = Connection(f"{SESSION}.ada", SESSION, INCARNATION, "k", GRANTS, now, now + HOURS)
        stage.connections.offer(given, "ada")
    else:
        stage.opens("ada", incarnation=older)
    found = stage.connections.get(f"{SESSION}.ada", stage.clock.now())
    assert found
    if what == "removed":
        stage.connections.remove(found)
    if what == "expired":
        stage.clock.sleep(2 * 60 * 60)
    join = stage.writes(stage.listens(found.id))
    assert stage.tell(join, stage.writes(says("one"))) == set()
    assert stage.said("ada") == []
    assert stage.sockets.tried == {}


def test_a_join_that_a_fork_has_copied_is_the_other_sessions(stage: Stage) -> None:
    join = stage.joins("ada")
    copy = stage.writes(*join.segment.events, of=OTHER)
    assert stage.tell(copy, stage.writes(says("in the fork"), of=OTHER)) == set()
    assert stage.said("ada") == []


def test_the_first_frame_names_the_agent_that_answers(stage: Stage) -> None:
    found = stage.ports.log.tail(SESSION).session
    assert found
    assert stage.ports.sessions.replace(replace(found, answers="other", version=found.version + 1))
    stage.tell(stage.joins("ada"))
    assert stage.sockets.told("ada")[0]["data"]["message"]["agent_id"] == "other"


# --- whose key is taken back ---------------------------------------------------------------------


def key(*, expires_at: int = 0) -> Key:
    return Key("key", "website", (Secret("0" * 64, expires_at),), 0)


def test_whose_key_is_not_valid_any_more_hears_nothing_more() -> None:
    stage = Stage(checks=True)
    stage.ports.keys.put(key(expires_at=stage.clock.now() + 10_000))
    stage.tell(stage.joins("ada"), stage.joins("eve", caller=""), stage.writes(says("one")))
    stage.clock.sleep(10)
    assert stage.tell(stage.writes(says("two")), stage.joins("late")) == set()
    assert stage.said("ada") == [*BEGIN, "one", "session_closing"]
    assert stage.said("late") == ["session_closing"]
    assert stage.said("eve") == [*BEGIN, "one", "two"]
    closing = stage.sockets.told("ada")[-1]["data"]
    assert (closing["reason"], closing["reconnect_after_ms"]) == ("unauthorized", None)
    assert sorted(stage.sockets.closed) == ["ada", "late"]
    assert stage.row("ada") is None


def test_whose_key_is_revoked_hears_nothing_more() -> None:
    stage = Stage(checks=True)
    stage.ports.keys.put(key())
    stage.tell(stage.joins("ada"))
    stage.ports.keys.remove("key")
    stage.tell(stage.writes(says("one")))
    assert stage.said("ada") == [*BEGIN, "session_closing"]
    assert stage.sockets.closed == ["ada"]


# --- who comes back ------------------------------------------------------------------------------


def test_who_comes_back_is_told_what_it_missed_then_what_comes(stage: Stage) -> None:
    stage.writes(says("known"))
    stage.writes(says("missed"), Answered(turn="t", inputs=(0,), text="answer"))
    stage.tell(stage.joins("ada", after=0), stage.writes(says("new")))
    missed = ["missed", "talk_state_changed", "answer", "resumed"]
    assert stage.said("ada") == [*BEGIN, *missed, "new"]
    marker = stage.sockets.told("ada")[0]["data"]["message"]
    assert (marker["offset"], marker["resumed"]) == (0, True)
    resumed = stage.sockets.told("ada")[-2]["data"]
    assert resumed == {"after": 0, "offset": 3, "truncated": False}


def test_what_is_told_again_is_told_in_the_same_frames(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    events: list[Event] = [
        says("hello"),
        TurnBegan(turn="t", inputs=(1,)),
        TurnAbandoned(turn="t"),
        Answered(turn="u", inputs=(1,), text="é" * 40_000, part=1),
        Posted(source="person", text="I too."),
        SettingsChanged(settings=Settings(temperature=1)),
        EventMarked(offset=5, mark="shown"),
    ]
    stage.tell(*(stage.writes(event) for event in events))
    stage.tell(stage.joins("eve", after=0))
    live = stage.sockets.frames["ada"][2:]
    assert len(live) == 10
    assert stage.sockets.frames["eve"][2:-1] == live


def test_nothing_that_was_taken_back_is_told_again(stage: Stage) -> None:
    stage.writes(says("kept"), says("hidden"), says("erased"))
    stage.writes(says("removed"), Answered(turn="t", inputs=(0,), text="removed too"))
    stage.writes(EventsRemoved(first=3))
    marks: list[tuple[int, Mark]] = [(1, "hidden"), (2, "erased")]
    for offset, mark in marks:
        stage.ports.log.mark(SESSION, INCARNATION, offset, mark)
    stage.writes(EventMarked(offset=2, mark="erased"))
    stage.tell(stage.joins("ada", after=-1))
    over = ["talk_state_changed", "events_removed", "message_marked", "resumed"]
    assert stage.said("ada") == [*BEGIN, "kept", *over]


def test_a_resume_within_a_connection_replays_without_a_new_beginning(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.writes(says("one")), stage.writes(says("two")))
    again = stage.writes(stage.listens(f"{SESSION}.ada", after=1))
    stage.tell(again, stage.writes(says("three")))
    assert stage.said("ada") == [*BEGIN, "one", "two", "two", "resumed", "three"]


def test_a_resume_tells_what_came_before_it_first(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    one = stage.writes(says("one"))
    again = stage.writes(stage.listens(f"{SESSION}.ada", after=0))
    stage.tell(one, again)
    assert stage.said("ada") == [*BEGIN, "one", "one", "resumed"]


def test_of_what_was_missed_for_long_the_newest_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "MOST_REPLAYED", 3)
    for n in range(10):
        stage.writes(says(str(n)))
    stage.tell(stage.joins("ada", after=2))
    assert stage.said("ada") == [*BEGIN, "7", "8", "9", "resumed"]
    assert stage.sockets.told("ada")[0]["data"]["message"]["offset"] == 6
    assert stage.sockets.told("ada")[-1]["data"] == {"after": 6, "offset": 10, "truncated": True}


def test_what_is_told_to_who_comes_back_fits_into_the_time_that_it_has(stage: Stage) -> None:
    stage.fill(1_500)
    stage.slow(0.012)
    stage.tell(stage.joins("ada", after=-1))
    assert stage.said("ada") == [*BEGIN, *map(str, range(1_200, 1_500)), "resumed"]
    assert stage.sockets.told("ada")[-1]["data"] == {
        "after": 1_199,
        "offset": 1_500,
        "truncated": True,
    }
    assert stage.row("ada")


def test_a_text_longer_than_all_that_may_be_told_again_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "MOST_REPLAYED", 2)
    stage.writes(says("short"))
    stage.writes(says("long" * 20_000))
    stage.tell(stage.joins("ada", after=-1))
    assert "".join(stage.said("ada")[2:-1]) == "long" * 20_000
    assert stage.sockets.told("ada")[-1]["data"]["after"] == 0


def test_who_asks_again_and_again_is_told_once(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    for n in range(1, 5):
        stage.writes(says(str(n)))
    asked = [stage.writes(stage.listens(f"{SESSION}.ada", after)) for after in (4, 2, 3)]
    said = stage.writes(says("new"))
    last = stage.writes(stage.listens(f"{SESSION}.ada", after=4))
    assert stage.tell(*asked, said, last, stage.writes(says("newer"))) == set()
    assert stage.said("ada") == [*BEGIN, "3", "4", "new", "resumed", "newer"]
    assert stage.sockets.told("ada")[-2]["data"]["after"] == 2


def test_who_comes_and_asks_at_once_begins_where_it_has_asked_for(stage: Stage) -> None:
    stage.writes(says("0"), says("1"))
    join, one = stage.joins("ada"), stage.writes(says("3"))
    asks = stage.writes(stage.listens(f"{SESSION}.ada", after=0))
    stage.tell(join, one, asks, stage.writes(says("5")))
    assert stage.said("ada") == [*BEGIN, "1", "3", "resumed", "5"]
    assert stage.sockets.told("ada")[0]["data"]["message"]["offset"] == 0


def test_who_comes_and_asks_for_less_hears_all_since_it_came(stage: Stage) -> None:
    join = stage.joins("ada")
    more = [stage.writes(says("1")), stage.writes(says("2"))]
    asks = stage.writes(stage.listens(f"{SESSION}.ada", after=1))
    stage.tell(join, *more, asks)
    assert stage.said("ada") == [*BEGIN, "1", "2", "resumed"]


def test_those_who_come_back_are_told_at_the_same_time(stage: Stage) -> None:
    stage.writes(says("missed"))
    joins = [stage.joins(name, after=-1) for name in ("ada", "eve")]
    meet = threading.Barrier(2, timeout=10)
    send = stage.sockets.send

    def slow(gateway: str, frame: str) -> Sent:
        meet.wait()
        return send(gateway, frame)

    stage.sockets.send = slow  # type: ignore[method-assign]
    assert stage.tell(*joins) == set()
    assert stage.said("ada") == stage.said("eve") == [*BEGIN, "missed", "resumed"]


def test_who_asks_behind_the_end_is_told_where_the_end_is(stage: Stage) -> None:
    stage.writes(says("one"))
    stage.tell(stage.joins("ada", after=1_000))
    assert stage.said("ada") == [*BEGIN, "resumed"]
    assert stage.sockets.told("ada")[0]["data"]["message"]["offset"] == 0
    assert stage.sockets.told("ada")[-1]["data"] == {"after": 0, "offset": 1, "truncated": False}


# --- many ----------------------------------------------------------------------------------------


def test_each_of_two_hundred_connections_hears_all_in_order(stage: Stage) -> None:
    names = [f"c{n}" for n in range(200)]
    stage.tell(*(stage.joins(name) for name in names))
    texts = [str(n) for n in range(40)]
    assert stage.tell(*(stage.writes(says(text)) for text in texts)) == set()
    for name in names:
        assert stage.said(name) == [*BEGIN, *texts]


def test_sessions_do_not_hear_each_other(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve", OTHER))
    stage.tell(stage.writes(says("here")), stage.writes(says("there"), of=OTHER))
    assert stage.said("ada") == [*BEGIN, "here"]
    assert stage.said("eve") == [*BEGIN, "there"]


def test_more_sessions_than_threads_are_told_while_each_waits_for_a_socket(stage: Stage) -> None:
    keys = [f"m{n}" for n in range(40)]
    for key in keys:
        assert stage.ports.sessions.create(session(key), over=0)
    joins = [stage.joins(key, f"support.{key}") for key in keys]
    more = [stage.writes(says(key), of=f"support.{key}") for key in keys]
    assert stage.tell(*joins, *more) == set()
    assert all(stage.said(key) == [*BEGIN, key] for key in keys)


def test_connections_are_told_at_the_same_time(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve"))
    meet = threading.Barrier(2, timeout=10)
    send = stage.sockets.send

    def slow(gateway: str, frame: str) -> Sent:
        meet.wait()
        return send(gateway, frame)

    stage.sockets.send = slow  # type: ignore[method-assign]
    stage.tell(stage.writes(says("one")))
    assert stage.said("ada") == stage.said("eve") == [*BEGIN, "one"]


# --- sockets that are not as they should be ------------------------------------------------------


def test_who_has_gone_is_removed_and_the_others_are_told(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve"))
    stage.sockets.answering("ada", ["gone"])
    assert stage.tell(stage.writes(says("one")), stage.writes(says("two"))) == set()
    assert stage.sockets.tried["ada"] == 3
    assert stage.connections.get(f"{SESSION}.ada", stage.clock.now()) is None
    assert stage.said("eve") == [*BEGIN, "one", "two"]


def test_a_young_connection_may_seem_to_have_gone_before_it_is_there(stage: Stage) -> None:
    stage.sockets.answering("ada", ["gone", "gone", "gone", "sent"])
    stage.tell(stage.joins("ada", age=500), stage.writes(says("one")))
    assert stage.said("ada") == [*BEGIN, "one"]


def test_a_young_connection_that_stays_away_is_ended(stage: Stage) -> None:
    begun = stage.clock.now()
    stage.sockets.answering("ada", ["gone"])
    assert stage.tell(stage.joins("ada", age=500), stage.writes(says("one"))) == set()
    assert 2_500 <= stage.clock.now() - begun <= 5_000  # others wait meanwhile
    assert stage.sockets.closed == ["ada"]
    assert stage.connections.get(f"{SESSION}.ada", stage.clock.now()) is None


def test_a_busy_connection_gets_a_second_chance(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    stage.sockets.answering("ada", ["busy", "sent", "busy", "sent"])
    stage.tell(stage.writes(says("one")), stage.writes(says("two")))
    assert stage.said("ada") == [*BEGIN, "one", "two"]


def test_a_connection_that_stays_busy_is_ended_and_can_come_back(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve"))
    stage.sockets.answering("ada", ["sent", "busy"])
    told = [stage.writes(says(text)) for text in ("one", "two", "three")]
    assert stage.tell(*told) == set()
    assert stage.sockets.closed == ["ada"]
    assert stage.said("ada") == [*BEGIN, "one"]
    assert stage.said("eve")[-3:] == ["one", "two", "three"]
    stage.tell(stage.joins("ada2", after=2))
    assert stage.said("ada2") == [*BEGIN, "two", "three", "resumed"]


def test_a_connection_that_takes_too_long_is_ended(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    stage.slow(2)
    stage.tell(*(stage.writes(says(str(n))) for n in range(20)))
    assert stage.said("ada") == [*BEGIN, "0", "1", "2", "session_closing"]
    assert stage.sockets.told("ada")[-1]["data"]["reason"] == "too_slow"
    assert stage.sockets.closed == ["ada"]


def test_what_a_socket_does_is_never_a_failure(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve"))
    send = stage.sockets.send

    def broken(gateway: str, frame: str) -> Sent:
        if gateway == "ada":
            raise RuntimeError
        return send(gateway, frame)

    stage.sockets.send = broken  # type: ignore[method-assign]
    stage.connections.fails = {f"remove {SESSION}.ada"}
    assert stage.tell(stage.writes(says("one"))) == set()
    assert stage.said("eve") == [*BEGIN, "one"]
    assert stage.sockets.closed == ["ada"]


def test_one_that_cannot_be_closed_is_told_nothing_more_and_closed_later(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve"))
    stage.sockets.answering("ada", ["busy", "busy", "sent"])
    stage.sockets.stuck = {"ada"}
    assert stage.tell(stage.writes(says("one"))) == set()
    assert stage.tell(stage.writes(says("two"))) == set()
    assert stage.said("ada") == BEGIN
    row = stage.row("ada")
    assert row
    assert row.closing
    assert stage.sockets.closes["ada"] == 2 + 1
    asks = stage.writes(stage.listens(f"{SESSION}.ada", after=0))
    stage.sockets.stuck = set()
    assert stage.tell(asks, stage.writes(says("three"))) == set()
    assert stage.said("ada") == BEGIN
    assert stage.sockets.closed == ["ada"]
    assert stage.row("ada") is None
    assert stage.said("eve") == [*BEGIN, "one", "two", "three"]


def test_one_that_can_neither_be_closed_nor_marked_is_told_again(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    stage.sockets.answering("ada", ["busy", "busy", "sent"])
    stage.sockets.stuck = {"ada"}
    stage.connections.fails = {f"mark {SESSION}.ada"}
    one = stage.writes(says("one"))
    assert stage.tell(one) == {0}
    assert stage.tell(one) == set()
    assert stage.said("ada") == [*BEGIN, "one"]


def test_a_young_connection_is_waited_for_beside_the_others(stage: Stage) -> None:
    """The rest of its handshake may take a while."""
    stage.tell(stage.joins("eve"))
    heard = threading.Event()
    send, begun = stage.sockets.send, stage.clock.now()

    def opens_late(gateway: str, frame: str) -> Sent:
        if gateway == "ada":
            assert heard.wait(10)
            if stage.clock.now() < begun + 2_500:
                return "gone"
        else:
            heard.set()
        return send(gateway, frame)

    stage.sockets.send = opens_late  # type: ignore[method-assign]
    assert stage.tell(stage.joins("ada", age=0), stage.writes(says("one"))) == set()
    assert stage.said("ada") == stage.said("eve") == [*BEGIN, "one"]


def test_who_did_not_come_in_after_all_is_not_waited_for(stage: Stage) -> None:
    join, begun = stage.joins("ada", age=0), stage.clock.now()

    def refused(gateway: str, frame: str) -> Sent:
        if row := stage.row(gateway):
            stage.connections.remove(row)
        return "gone"

    stage.sockets.send = refused  # type: ignore[method-assign]
    assert stage.tell(join) == set()
    assert stage.clock.now() == begun
    assert stage.sockets.closed == []


def test_whether_a_young_one_is_still_to_come_must_be_known(stage: Stage) -> None:
    join = stage.joins("ada", age=0)

    def fails(gateway: str, frame: str) -> Sent:
        stage.connections.fails = {f"{SESSION}.ada"}
        return "gone"

    stage.sockets.send = fails  # type: ignore[method-assign]
    assert stage.tell(join) == {0}
    assert stage.sockets.closed == []


# --- time ----------------------------------------------------------------------------------------


def test_what_is_not_told_in_time_comes_again_and_nobody_is_ended_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve", OTHER))
    monkeypatch.setattr(broadcast, "BUDGET", 3.0)
    monkeypatch.setattr(broadcast, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(broadcast, "SESSIONS_AT_ONCE", 1)
    heard = [stage.writes(says(text)) for text in ("one", "two", "three", "four")]
    heard.append(stage.writes(says("late"), of=OTHER))
    stage.slow(1.5)
    left = stage.tell(*heard)
    assert left == {3, 4}
    assert stage.said("ada") == [*BEGIN, "one", "two", "three"]
    assert stage.tell(*(heard[n] for n in sorted(left))) == set()
    assert stage.said("ada") == [*BEGIN, "one", "two", "three", "four"]
    assert stage.said("eve") == [*BEGIN, "late"]
    assert stage.sockets.closed == []


def test_a_client_that_floods_takes_no_longer_than_another(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    stage.fill(300)
    stage.slow(0.012)
    begun = stage.clock.monotonic()
    asked = [stage.writes(stage.listens(f"{SESSION}.ada", after=0)) for _ in range(100)]
    assert stage.tell(*asked) == set()
    assert stage.clock.monotonic() - begun < reaching.PATIENCE
    assert stage.said("ada").count("resumed") == 1


def test_a_batch_ends_in_time_however_many_come_back_at_once(stage: Stage) -> None:
    stage.fill(300)
    batch = [stage.joins(f"c{n}", after=0) for n in range(100)]
    stage.slow(0.012)
    begun = stage.clock.monotonic()
    stage.tell(*batch)
    assert stage.clock.monotonic() - begun < broadcast.BUDGET + reaching.PATIENCE


@pytest.mark.parametrize("answers", [("sent",), ("busy", "sent"), ("busy",)])
def test_others_wait_for_the_slowest_a_quarter_of_a_minute_at_most_and_then_hardly(
    stage: Stage, answers: tuple[Sent, ...]
) -> None:
    """However slow its socket is, and the gateway in closing it."""
    stage.tell(stage.joins("ada"), stage.joins("eve", OTHER))
    stage.sockets.answering("ada", [*answers * 10, answers[-1]])
    stage.sticks("ada", 2)
    for most in (15, 2, 2):
        begun = stage.clock.monotonic()
        batch = [stage.writes(says(f"{n}")) for n in range(20)]
        assert stage.tell(*batch, stage.writes(says("x"), of=OTHER)) == set()
        assert stage.clock.monotonic() - begun <= most
    assert stage.said("eve") == [*BEGIN, "x", "x", "x"]


def test_part_of_an_event_is_not_taken_for_all_of_it(stage: Stage) -> None:
    """Its client comes back behind the newest of which there is no more."""
    stage.tell(stage.joins("ada"))
    stage.sockets.answering("ada", ["sent", "busy"])
    stage.tell(stage.writes(Answered(turn="t", inputs=(0,), text="done")))
    told = [one["data"].get("message", one["data"]) for one in stage.sockets.told("ada")]
    newest = max(one["offset"] for one in told if "offset" in one and not one.get("more"))
    stage.tell(stage.joins("ada2", after=newest))
    assert stage.said("ada2") == [*BEGIN, "talk_state_changed", "done", "resumed"]


# --- the end -------------------------------------------------------------------------------------


def test_all_connections_of_a_deleted_session_end(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    last = [stage.joins("eve"), stage.writes(says("bye")), stage.writes(SessionDeleted())]
    stage.tell(*last)
    for name in ("ada", "eve"):
        assert stage.said(name)[-2:] == ["bye", "session_expired"]
        assert stage.connections.get(f"{SESSION}.{name}", stage.clock.now()) is None
    assert sorted(stage.sockets.closed) == ["ada", "eve"]
    assert stage.sockets.told("ada")[-1]["data"] == {"reason": "deleted", "offset": 3}


def test_who_comes_back_before_a_deletion_is_told_only_of_that(stage: Stage) -> None:
    stage.writes(says("gone"))
    join = stage.joins("ada", after=-1)
    stage.tell(join, stage.writes(SessionDeleted()))
    assert stage.said("ada") == [*BEGIN, "resumed", "session_expired"]


def test_in_the_last_ten_minutes_of_a_connection_that_is_said(stage: Stage) -> None:
    almost = 110 * 60 * 1000
    stage.tell(stage.joins("ada", age=almost - 1000), stage.joins("eve", age=almost - 1000))
    stage.tell(stage.writes(says("one")))
    stage.clock.sleep(1)
    stage.tell(stage.writes(says("two")))
    assert stage.said("ada") == [*BEGIN, "one", "two", "session_closing"]
    closing = stage.sockets.told("ada")[-1]["data"]
    assert (closing["reason"], closing["reconnect_after_ms"]) == ("connection_limit", 0)


# --- what comes again ----------------------------------------------------------------------------


def test_a_batch_that_comes_again_gives_the_same_frames(stage: Stage) -> None:
    heard = [stage.joins("ada"), stage.writes(says("one")), stage.joins("eve", after=0)]
    heard.append(stage.writes(says("two")))
    stage.tell(*heard)
    first = {name: [*stage.sockets.frames[name]] for name in ("ada", "eve")}
    stage.sockets.frames.clear()
    assert stage.tell(*heard) == set()
    for name, frames in first.items():
        again = [json.loads(one) for one in stage.sockets.frames[name]]
        known = [json.loads(one) for one in frames]
        assert all(one in known for one in again)
        told = [one for one in known[2:] if one["event"] != "resumed"]
        assert [one for one in again if one in told][-len(told) :] == told


def test_where_connections_cannot_be_read_that_sessions_segments_come_again(stage: Stage) -> None:
    stage.tell(stage.joins("ada"), stage.joins("eve", OTHER))
    mixed = [
        stage.writes(says("a")),
        stage.writes(says("x"), of=OTHER),
        stage.writes(says("b")),
        stage.writes(says("y"), of=OTHER),
    ]
    stage.connections.fails = {SESSION}
    assert stage.tell(*mixed) == {0, 2}
    assert stage.said("ada") == BEGIN
    assert stage.said("eve") == [*BEGIN, "x", "y"]
    stage.connections.fails = frozenset()
    assert stage.tell(mixed[0], mixed[2]) == set()
    assert stage.said("ada") == [*BEGIN, "a", "b"]


def test_from_a_join_that_fails_on_all_come_again_and_what_was_before_is_told(stage: Stage) -> None:
    stage.tell(stage.joins("ada"))
    heard = [stage.writes(says("a")), stage.joins("eve"), stage.writes(says("b"))]
    stage.connections.fails = {f"{SESSION}.eve"}
    assert stage.tell(*heard) == {1, 2}
    assert stage.said("ada") == [*BEGIN, "a"]
    stage.connections.fails = frozenset()
    assert stage.tell(*heard[1:]) == set()
    assert stage.said("ada") == [*BEGIN, "a", "b"]
    assert stage.said("eve") == [*BEGIN, "b"]


def test_where_a_log_cannot_be_read_the_marker_comes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.writes(says("missed"))
    join = stage.joins("ada", after=-1)

    def fails(*_: object) -> Sequence[Recorded]:
        raise Unavailable("The table does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(stage.ports.log, "read", fails)
        assert stage.tell(join) == {0}
    assert stage.said("ada") == []
    assert stage.tell(join) == set()
    assert stage.said("ada") == [*BEGIN, "missed", "resumed"]


def test_nothing_to_tell_is_no_failure(stage: Stage) -> None:
    assert stage.tell() == set()
    assert stage.tell(stage.writes(says("to nobody"))) == set()
    empty = replace(stage.writes(says("blanked")).segment, events=())
    assert stage.tell(Heard(SESSION, INCARNATION, empty)) == set()
