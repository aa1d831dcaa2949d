"""What turns say while they say it: threads, the gateway's end of WebSockets, and a clock."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cueline.adapters.clock import SystemClock
from cueline.adapters.memory import memory_ports
from cueline.adapters.memory.connections import MemoryConnections
from cueline.doors.access import Access
from cueline.doors.client_commands.frames import MAX_BYTES
from cueline.doors.client_commands.realtime import Realtime
from cueline.doors.client_commands.speech import MOST, LiveListeners, LiveSpeech
from cueline.engine.listeners import GRANTS, Connection, Sent
from cueline.engine.ports import Clock, Key, Secret
from tests.clock import FakeClock
from tests.listening import Sockets

SESSION = "guide.first"


def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.002)


def passes(clock: FakeClock, seconds: float, holds: Callable[[], Any]) -> None:
    """Time, in such steps, until it holds."""

    def step() -> Any:
        clock.sleep(seconds)
        return holds()

    until(step)


class Stage:
    """A session with its connections, and one turn that speaks."""

    def __init__(self, *gateways: str, clock: Clock | None = None, age: int = 60_000) -> None:
        self.clock = clock or SystemClock()
        self.connections: MemoryConnections = MemoryConnections(self.clock)
        self.sockets = Sockets()
        self.ports = memory_ports(self.clock)
        self.checks = False
        """Who may listen."""
        self.age = age
        for gateway in gateways:
            self.comes(gateway)

    def comes(self, gateway: str, *, told: bool = True, key: str = "key") -> Connection:
        now = self.clock.now()
        name = f"{SESSION}.{gateway}"
        self.connections.offer(Connection(name, SESSION, 1, key, GRANTS, now, now + 60_000), "t")
        opened = self.connections.open(name, "t", gateway, now - self.age, now + 7_200_000)
        assert opened
        if told:
            self.connections.tell(opened)
        return opened

    def speech(self, turn: str = "turn") -> LiveSpeech:
        return LiveListeners(self.realtime()).speech(SESSION, 1, turn)

    def realtime(self, **other: Any) -> Realtime:
        """What it stands on, as it is now; `other` is what is not as it was made."""
        access = Access(self.ports.keys, self.clock, bytes) if self.checks else None
        made = Realtime(self.ports, self.connections, self.sockets, access)
        return replace(made, **other)

    def begun(self, turn: str = "turn") -> LiveSpeech:
        speech = self.speech(turn)
        speech.begins()
        return speech

    def messages(self, gateway: str) -> list[dict[str, Any]]:
        told = self.sockets.told(gateway)
        return [one["data"]["message"] for one in told if one["event"] == "message_received"]

    def deltas(self, gateway: str) -> list[dict[str, Any]]:
        return [one for one in self.messages(gateway) if one["action"] == "delta"]

    def text(self, gateway: str, item: str = "turn-0") -> str:
        """As a client puts it together: a delta cuts what it has at the delta's position."""
        text = b""
        for one in self.deltas(gateway):
            if one["item_id"] == item:
                assert one["position"] * 2 <= len(text), "a gap"
                text = text[: one["position"] * 2] + one["content"].encode("utf-16-le")
        return text.decode("utf-16-le")


def speeches() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "speech"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Any:
    before = {*speeches()}
    yield
    until(lambda: before.issuperset(speeches()))


def test_a_turn_is_announced_and_its_first_words_are_told_at_once() -> None:
    stage = Stage("a", clock=FakeClock())  # its time stands still
    speech = stage.begun()
    until(lambda: stage.sockets.told("a"))
    assert stage.sockets.told("a") == [
        {"event": "talk_state_changed", "data": {"state": "preparing", "response_id": "turn"}}
    ]
    speech.says(0, "Hello")
    until(lambda: stage.deltas("a"))
    started, created, delta = stage.sockets.told("a")[1:]
    assert started["data"] == {"state": "started", "response_id": "turn"}
    assert created["data"]["message"]["action"] == "created"
    said = delta["data"]["message"]
    assert (said["item_id"], said["content"], said["position"]) == ("turn-0", "Hello", 0)
    assert "offset" not in said
    speech.ends(cut=True)


def test_more_is_told_together_after_a_pause() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    speech = stage.begun()
    speech.says(0, "one ")
    until(lambda: stage.deltas("a"))
    for word in ("two ", "three ", "four "):
        speech.says(None, word)
    clock.sleep(0.09)
    time.sleep(0.15)
    assert len(stage.deltas("a")) == 1
    clock.sleep(0.02)
    until(lambda: len(stage.deltas("a")) == 2)
    assert stage.deltas("a")[1]["content"] == "two three four "
    assert stage.deltas("a")[1]["position"] == 4
    speech.ends(cut=True)


def test_nobody_is_told_more_than_ten_times_a_second() -> None:
    stage = Stage("a", "b")
    speech = stage.begun()
    began = time.monotonic()
    speech.says(0, "0 ")
    for word in range(1, 600):
        speech.says(None, f"{word} ")
        time.sleep(0.001)
    speech.ends(cut=False)
    took = time.monotonic() - began
    words = "".join(f"{word} " for word in range(600))
    for gateway in ("a", "b"):
        until(lambda gateway=gateway: stage.text(gateway) == words)  # type: ignore[misc]
        assert 3 <= len(stage.deltas(gateway)) <= took * 10 + 2  # the first and the last words


class Slow(Sockets):
    """One WebSocket takes its frames only when a test lets it."""

    def __init__(self, slow: str) -> None:
        super().__init__()
        self.slow, self.lets, self.waits = slow, threading.Event(), threading.Event()

    def send(self, gateway: str, frame: str) -> Sent:
        if gateway == self.slow:
            self.waits.set()
            assert self.lets.wait(10)
        return super().send(gateway, frame)


def test_a_slow_connection_holds_up_nobody_and_then_gets_all_at_once() -> None:
    stage = Stage("slow", "fast")
    stage.sockets = slow = Slow("slow")
    speech = stage.begun()
    assert slow.waits.wait(5)
    speech.says(0, "a")
    for _ in range(30):
        speech.says(None, "b")
        time.sleep(0.01)
    until(lambda: stage.text("fast") == "a" + 30 * "b")
    assert not slow.frames["slow"]
    slow.lets.set()
    until(lambda: stage.deltas("slow"))
    assert [one["content"] for one in stage.deltas("slow")] == ["a" + 30 * "b"]
    speech.ends(cut=True)


def test_one_that_does_not_take_frames_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cueline.doors.client_commands.speech.LONGEST_PAUSE", 0.5)
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    stage.sockets.answering("a", ["busy"])
    speech = stage.begun()
    speech.says(0, "Hello")
    for tries, pause in enumerate((0.2, 0.4, 0.5, 0.5), 1):
        until(lambda tries=tries: stage.sockets.tried["a"] == tries)  # type: ignore[misc]
        time.sleep(0.01)
        clock.sleep(pause - 0.05)
        time.sleep(0.02)
        assert stage.sockets.tried["a"] == tries
        clock.sleep(0.06)
    stage.sockets.answering("a", ["sent"])
    clock.sleep(1)
    until(lambda: stage.text("a") == "Hello")
    speech.ends(cut=True)


def test_what_was_not_taken_whole_is_told_again_from_its_begin() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    text = "x" * (2 * MAX_BYTES)
    stage.sockets.answering("a", ["sent", "sent", "sent", "busy", "sent"])
    speech = stage.speech()
    speech.says(0, text)  # before the thread runs: started, created, and three deltas
    speech.begins()
    until(lambda: stage.sockets.tried["a"] == 4)
    passes(clock, 0.5, lambda: stage.text("a") == text)
    assert [one["position"] for one in stage.deltas("a")].count(0) == 2
    assert [one["action"] for one in stage.messages("a")].count("created") == 1
    speech.ends(cut=True)


def test_many_slow_connections_hold_up_nobody_either() -> None:
    class Stuck(Sockets):
        def send(self, gateway: str, frame: str) -> Sent:
            if gateway != "fast":
                time.sleep(0.4)
                return "busy"
            return super().send(gateway, frame)

    stage = Stage(*(f"slow{n}" for n in range(30)))
    stage.sockets = Stuck()
    speech = stage.begun()
    time.sleep(2)  # by now it is known of all of them
    stage.comes("fast")
    speech.says(0, "0 ")
    until(lambda: stage.text("fast"))
    for word in range(1, 100):
        speech.says(None, f"{word} ")
        time.sleep(0.01)
    assert len(stage.deltas("fast")) >= 5
    speech.ends(cut=True)


def test_who_is_gone_is_left_out_and_forgotten() -> None:
    clock = FakeClock()
    stage = Stage("gone", "here", clock=clock)
    stage.sockets.answering("gone", ["gone"])
    speech = stage.begun()
    until(lambda: stage.connections.get(f"{SESSION}.gone", clock.now()) is None)
    stage.comes("gone")  # as a list that lags would say
    speech.says(0, "Hello")
    clock.sleep(2)
    until(lambda: stage.text("here") == "Hello")
    time.sleep(0.05)
    assert stage.sockets.tried["gone"] == 1
    speech.ends(cut=True)


def test_one_that_has_just_been_opened_is_not_gone() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock, age=2_000)
    stage.sockets.answering("a", ["gone", "sent"])
    speech = stage.begun()
    speech.says(0, "Hello")
    until(lambda: stage.sockets.tried["a"] == 1)
    passes(clock, 0.1, lambda: stage.text("a") == "Hello")
    assert stage.connections.get(f"{SESSION}.a", clock.now())
    speech.ends(cut=True)


def test_who_comes_while_something_is_said_is_told_all_of_it() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    speech = stage.begun()
    speech.says(0, "Once upon ")
    until(lambda: stage.text("a"))
    stage.comes("b")
    stage.comes("untold", told=False)
    speech.says(None, "a time")
    time.sleep(0.05)
    assert not stage.sockets.frames["b"]
    clock.sleep(1.1)
    until(lambda: stage.text("b") == "Once upon a time")
    assert stage.sockets.told("b")[0]["data"] == {"state": "started", "response_id": "turn"}
    assert not stage.sockets.frames["untold"]
    speech.ends(cut=True)


def test_whose_key_is_revoked_hears_no_more_of_what_is_being_said() -> None:
    clock = FakeClock()
    stage = Stage(clock=clock)
    stage.checks = True
    for name in ("mine", "theirs"):
        stage.ports.keys.put(Key(name, "website", (Secret("0" * 64),), 0))
        stage.comes(f"by {name}", key=name)
    speech = stage.begun()
    speech.says(0, "For ")
    until(lambda: stage.text("by mine") == stage.text("by theirs") == "For ")
    stage.ports.keys.remove("mine")
    stage.comes("late", key="mine")
    clock.sleep(1.1)
    speech.says(None, "your ")
    until(lambda: stage.text("by theirs") == "For your ")
    until(lambda: not speech._looking)
    heard = stage.text("by mine")
    speech.says(None, "eyes only")
    passes(clock, 0.1, lambda: stage.text("by theirs") == "For your eyes only")
    assert stage.text("by mine") == heard
    assert not stage.sockets.frames["late"]
    # It is told of that, and ended, with what is stored next.
    assert stage.connections.get(f"{SESSION}.by mine", clock.now())
    speech.ends(cut=True)


def test_while_nothing_is_said_nobody_looks_who_has_come() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    looks = []

    class Counted(MemoryConnections):
        def of(
            self, session: str, incarnation: int, now: int, *, closing: bool = False
        ) -> Sequence[Connection]:
            looks.append(now)
            return super().of(session, incarnation, now, closing=closing)

    stage.connections.__class__ = Counted
    speech = stage.begun()
    until(lambda: looks)
    for _ in range(5):
        clock.sleep(2)
        time.sleep(0.01)
    assert len(looks) == 1
    speech.says(0, "Hello")
    until(lambda: len(looks) == 2)
    speech.ends(cut=True)


def test_while_nobody_listens_it_is_seldom_asked_whether_somebody_does() -> None:
    clock = FakeClock()
    stage = Stage(clock=clock)
    looks: list[int] = []

    class Counted(MemoryConnections):
        def of(
            self, session: str, incarnation: int, now: int, *, closing: bool = False
        ) -> Sequence[Connection]:
            looks.append(now)
            return super().of(session, incarnation, now, closing=closing)

    stage.connections.__class__ = Counted
    speech = stage.begun()
    until(lambda: looks)
    speech.says(0, "word ")
    # So soon after its begin that who opens a session hears it opened, then ever more seldom.
    for waited in (0.25, 0.5, 1.0, 2.0):
        before = len(looks)
        clock.sleep(waited)
        speech.says(None, "word ")
        until(lambda: len(looks) > before)  # noqa: B023 - it is called here only
    clock.sleep(1.9)
    speech.says(None, "word ")
    time.sleep(2.1)  # so long at most it is itself that looks at the clock
    assert len(looks) == 5
    stage.comes("a")
    clock.sleep(0.1)
    until(lambda: stage.text("a") == 6 * "word ")
    speech.ends(cut=True)


class Woken:
    """Counts how often the thread of a speech is woken."""

    def __init__(self, speech: LiveSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        monkeypatch.setattr(speech._changed, "notify", self._notify)
        self._really = threading.Condition.notify.__get__(speech._changed)

    def _notify(self) -> None:
        self.times += 1
        self._really()


@pytest.mark.parametrize("listeners", [0, 1, 20])
def test_text_for_which_nobody_waits_wakes_nobody(
    listeners: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(*(f"s{n}" for n in range(listeners)), clock=FakeClock())
    speech = stage.begun()
    speech.says(0, "first")
    until(lambda: all(stage.deltas(f"s{n}") for n in range(listeners)))
    time.sleep(0.1)
    woken = Woken(speech, monkeypatch)
    for _ in range(1000):  # all within the pause of each listener, on a clock that stands still
        speech.says(None, " more")
    assert woken.times <= 1  # to ask who has come meanwhile
    speech.ends(cut=True)


def test_no_more_than_fifty_listen() -> None:
    stage = Stage(*(f"s{n:02}" for n in range(MOST + 20)))
    speech = stage.begun()
    speech.says(0, "Hello")
    until(lambda: len(stage.sockets.frames) >= MOST)
    speech.says(None, " all")
    until(lambda: {stage.text(one) for one in [*stage.sockets.frames]} == {"Hello all"})
    speech.ends(cut=True)
    until(lambda: not speeches())
    assert len(stage.sockets.frames) == MOST


def test_a_message_that_begins_anew_is_told_from_its_start() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    speech = stage.begun()
    speech.says(0, "The wrong way")
    until(lambda: stage.text("a"))
    speech.says(0, "")
    speech.says(None, "Right")
    clock.sleep(1)
    until(lambda: stage.text("a") == "Right")
    assert [one["position"] for one in stage.deltas("a")] == [0, 0]
    assert [one["action"] for one in stage.messages("a")].count("created") == 1
    speech.ends(cut=True)


def test_each_message_of_a_turn_is_one_of_its_own() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    speech = stage.begun()
    speech.says(0, "I will look.")
    until(lambda: stage.text("a"))
    speech.says(None, " Wait.")  # is stored by now: nobody needs it twice
    speech.says(1, "Found it.")
    clock.sleep(1)
    until(lambda: stage.text("a", "turn-1") == "Found it.")
    assert stage.text("a") == "I will look."
    created = [one["item_id"] for one in stage.messages("a") if one["action"] == "created"]
    assert created == ["turn-0", "turn-1"]
    states = [one["data"].get("state") for one in stage.sockets.told("a")]
    assert states.count("started") == 1
    speech.ends(cut=True)


def test_positions_count_as_javascript_does() -> None:
    clock = FakeClock()
    stage = Stage("a", clock=clock)
    speech = stage.begun()
    speech.says(0, "👋🏽")
    until(lambda: stage.deltas("a"))
    speech.says(None, " é 🌍!\ud83d")  # half of a character
    clock.sleep(1)
    until(lambda: len(stage.deltas("a")) == 2)
    speech.says(None, "\ude00 done")
    clock.sleep(1)
    until(lambda: len(stage.deltas("a")) == 3)
    assert [one["position"] for one in stage.deltas("a")] == [0, 4, 10]
    assert stage.text("a") == "👋🏽 é 🌍!😀 done"
    speech.ends(cut=True)


@pytest.mark.parametrize("sign", ["x", '"', "é", "🌍", "\x00"])
def test_no_frame_is_larger_than_the_gateway_takes(sign: str) -> None:
    stage = Stage("a")
    speech = stage.begun()
    speech.says(0, sign * 70_000)
    until(lambda: stage.text("a") == sign * 70_000)
    assert max(len(one.encode()) for one in stage.sockets.frames["a"]) <= MAX_BYTES
    speech.ends(cut=True)


def test_the_last_words_are_told_at_the_end_without_a_pause() -> None:
    stage = Stage("a", clock=FakeClock())
    speech = stage.begun()
    speech.says(0, "Hello")
    until(lambda: stage.deltas("a"))
    speech.says(None, " you")
    speech.ends(cut=False)
    until(lambda: not speeches())
    assert stage.text("a") == "Hello you"


def test_a_turn_that_is_over_before_anybody_is_found_is_told_by_what_is_stored() -> None:
    stage = Stage("a")
    speech = stage.speech()
    speech.says(0, "Hello")
    speech.ends(cut=False)
    speech.begins()
    until(lambda: not speeches())
    time.sleep(0.05)
    assert not stage.sockets.frames["a"]


def test_who_has_not_heard_a_turn_begin_when_it_ends_is_not_told_that_it_began() -> None:
    """What is stored tells it that the turn is over: that must not come before."""
    stage = Stage("slow", clock=FakeClock())
    stage.sockets = slow = Slow("slow")
    speech = stage.begun()
    assert slow.waits.wait(5)
    speech.says(0, "Hello")
    speech.ends(cut=False)
    slow.lets.set()
    until(lambda: not speeches())
    time.sleep(0.05)
    assert [one["data"].get("state") for one in slow.told("slow")] == ["preparing"]


def test_what_is_cut_is_told_no_further() -> None:
    stage = Stage("slow", "fast")
    stage.sockets = slow = Slow("slow")
    speech = stage.begun()
    speech.says(0, "Hello")
    until(lambda: slow.waits.is_set() and stage.text("fast") == "Hello")
    speech.says(None, " you")
    speech.ends(cut=True)
    speech.ends(cut=False)
    speech.says(None, " there")
    slow.lets.set()
    until(lambda: not speeches())
    time.sleep(0.15)
    assert stage.text("fast") == "Hello"
    assert not stage.deltas("slow")


def test_what_is_left_long_after_the_end_is_not_told() -> None:
    """The process slept meanwhile: by now what was stored has been told."""
    clock = FakeClock()
    stage = Stage("slow", clock=clock)
    stage.sockets = slow = Slow("slow")
    speech = stage.speech()
    speech.says(0, "Hello")
    speech.begins()
    assert slow.waits.wait(5)  # it is about to be told that the turn has begun
    clock.sleep(0.01)
    speech.ends(cut=False)
    clock.sleep(0.4)
    slow.lets.set()
    until(lambda: not speeches())
    time.sleep(0.05)
    assert not stage.deltas("slow")


def test_one_that_does_not_take_the_last_words_is_not_asked_again() -> None:
    stage = Stage("a", clock=FakeClock())
    stage.sockets.answering("a", ["sent", "busy"])
    speech = stage.begun()
    until(lambda: stage.sockets.frames["a"])
    speech.ends(cut=False)
    speech.says(0, "Hello")
    until(lambda: not speeches())
    assert stage.sockets.tried["a"] <= 2


class Broken:
    """A store, or a gateway, of which nothing works."""

    def of(self, session: str, incarnation: int, now: int) -> Sequence[Connection]:
        raise OSError("no table")

    def remove(self, connection: Connection) -> None:
        raise OSError("no table")

    def send(self, gateway: str, frame: str) -> Sent:
        raise OSError("no gateway")


def speak_through(listeners: LiveListeners, at_least: Callable[[], Any]) -> None:
    speech = listeners.speech(SESSION, 1, "turn")
    speech.begins()
    speech.says(0, "secret")
    speech.says(None, " words")
    until(at_least)
    speech.ends(cut=False)
    speech.ends(cut=True)


def test_no_failure_reaches_the_turn(caplog: pytest.LogCaptureFixture) -> None:
    stage, broken = Stage("a"), Broken()
    no_table = LiveListeners(stage.realtime(connections=broken))
    speak_through(no_table, lambda: "wait" in caplog.text)
    no_gateway = LiveListeners(stage.realtime(sockets=broken))
    speak_through(no_gateway, lambda: "was not told" in caplog.text)

    class Forgetful(MemoryConnections):
        def remove(self, connection: Connection) -> None:
            raise OSError("no table")

    stage.sockets.answering("a", ["gone"])
    stage.connections.__class__ = Forgetful
    no_removal = LiveListeners(stage.realtime())
    speak_through(no_removal, lambda: "not removed" in caplog.text)
    assert "secret" not in caplog.text


def test_it_does_without_a_thread_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    speech = Stage("a").begun()
    speech.says(0, "Hello")
    speech.ends(cut=False)
    assert "Nobody is told" in caplog.text


def test_a_turn_never_waits_for_who_listens() -> None:
    stage = Stage("slow")
    stage.sockets = slow = Slow("slow")
    began = time.monotonic()
    speech = stage.begun()
    speech.says(0, "x")
    for _ in range(10_000):
        speech.says(None, "x")
    speech.ends(cut=True)
    assert time.monotonic() - began < 1.5
    slow.lets.set()
