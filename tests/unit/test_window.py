"""The window that a turn answers, put together from what its writer read and wrote."""

import pytest

from cueline.adapters.memory import memory_ports
from cueline.engine.append import Writer
from cueline.engine.ports import Ports
from cueline.engine.window import missing
from cueline.log.events import Answered, Event, Input, TurnBegan
from cueline.log.segment import Segment
from tests.clock import FakeClock

SESSION = "a.s"


def write(ports: Ports, *events: Event) -> Segment:
    writer = Writer(ports.log, ports.clock, SESSION, "trace")
    _, written = writer.append(ports.log.tail(SESSION).head, lambda *_: events)
    assert written
    return written


@pytest.fixture
def ports() -> Ports:
    return memory_ports(FakeClock())


def say(text: str) -> Input:
    return Input(texts=(text,))


def talk(ports: Ports, turn: str, at: int) -> None:
    write(ports, say(turn), TurnBegan(turn=turn, inputs=(at,)))
    write(ports, Answered(turn=turn, inputs=(at,), text="yes"))


@pytest.mark.parametrize("window", [0, 1, 700, 10_000])
def test_all_inputs_of_the_turn_are_there_however_small_the_window(
    ports: Ports, window: int
) -> None:
    talk(ports, "before", 0)
    for n in range(50):
        write(ports, say(str(n)))
    tail = ports.log.tail(SESSION, window)
    began = write(ports, TurnBegan(turn="t", inputs=tuple(range(3, 53))))
    events = missing(ports.log, SESSION, tail, began)
    assert [r.offset for r in events] == list(range(events[0].offset, 54))
    assert events[0].offset == (0 if tail.whole else 3)


@pytest.mark.parametrize("window", [1, 10_000])
def test_what_others_wrote_after_the_look_is_there(ports: Ports, window: int) -> None:
    talk(ports, "before", 0)
    tail = ports.log.tail(SESSION, window)
    for n in range(20):
        write(ports, say(str(n)))
    began = write(ports, TurnBegan(turn="t", inputs=(3,)))
    events = missing(ports.log, SESSION, tail, began)
    assert [r.offset for r in events] == list(range(tail.events[0].offset, 24))
